//! One word of shared memory: how a pointer to it becomes an access.
//!
//! Under loom the place of each word holds a reference to the atomic that loom follows in its stead, so that all of
//! [`SharedMemory`](super::SharedMemory), with its orderings, runs in the models.

use crate::sync::AtomicU64;
use core::ptr::NonNull;

/// A control word as an atomic.
///
/// # Safety
/// `word` is aligned to 8 and mapped for as long as the reference lives, and this side accesses it as a 64-bit atomic only.
#[cfg(not(loom))]
#[inline]
pub(super) unsafe fn control<'a>(word: NonNull<u64>) -> &'a AtomicU64 {
    // SAFETY: aligned, mapped and accessed as an atomic only, by the caller's promise.
    unsafe { AtomicU64::from_ptr(word.as_ptr()) }
}

/// Loads a payload word.
///
/// # Safety
/// `word` is aligned to 8, mapped, and in no Rust allocation: a racing writer then makes the value arbitrary but the
/// read defined.
#[cfg(not(loom))]
#[inline]
pub(super) unsafe fn read(word: NonNull<u64>) -> u64 {
    // SAFETY: aligned, mapped and outside every Rust allocation, by the caller's promise.
    unsafe { word.read_volatile() }
}

/// Stores a payload word.
///
/// # Safety
/// As [`read`], and this is the word's only writer.
#[cfg(not(loom))]
#[inline]
pub(super) unsafe fn write(word: NonNull<u64>, value: u64) {
    // SAFETY: aligned, mapped and outside every Rust allocation, by the caller's promise.
    unsafe { word.write_volatile(value) };
}

/// The atomic in a control word's place.
///
/// # Safety
/// `word` is aligned to 8, readable, and holds a `&AtomicU64` that lives as long as the reference returned.
#[cfg(loom)]
pub(super) unsafe fn control<'a>(word: NonNull<u64>) -> &'a AtomicU64 {
    // SAFETY: aligned, readable and such a reference, by the caller's promise.
    unsafe { word.cast::<&AtomicU64>().read() }
}

/// Loads the atomic in a payload word's place.
///
/// # Safety
/// As [`control`].
#[cfg(loom)]
pub(super) unsafe fn read(word: NonNull<u64>) -> u64 {
    // SAFETY: the caller's promise is the same.
    let word = unsafe { control(word) };
    // Relaxed: a volatile access orders nothing either.
    word.load(crate::sync::Ordering::Relaxed)
}

/// Stores to the atomic in a payload word's place.
///
/// # Safety
/// As [`control`].
#[cfg(loom)]
pub(super) unsafe fn write(word: NonNull<u64>, value: u64) {
    // SAFETY: the caller's promise is the same.
    let word = unsafe { control(word) };
    // Relaxed: a volatile access orders nothing either.
    word.store(value, crate::sync::Ordering::Relaxed);
}
