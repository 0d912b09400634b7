//! Memory that another VM writes at any moment: the only place that touches it.
//!
//! No reference to this memory is kept anywhere, no slice and no `UnsafeCell`: only aligned 64-bit words through
//! raw pointers, each a reference to an atomic for one access at most. Control words are atomics with the ordering named at the call; payload words are volatile.
//! On x86_64 both compile to plain `mov`; the difference is what the compiler may reorder.
//!
//! There is no read-modify-write: every word has one writer, and TCG with one virtual CPU does not make
//! read-modify-write atomic towards another process.

mod word;

use crate::control;
use crate::sync::{AtomicU64, Ordering};
use core::ptr::NonNull;

/// What the mailbox asks of its memory: aligned 64-bit words, and payload copied in and out.
///
/// Implemented by [`SharedMemory`], and by test doubles that answer each load as a hostile peer would.
/// All offsets are bytes from the start of the window and, but for payload lengths, multiples of 8.
/// A load outside the window answers 0 and a store outside it does nothing; the mailbox checks its layout
/// against [`len`](Memory::len) once, so that neither ever happens.
pub trait Memory {
    /// Bytes in the window.
    fn len(&self) -> usize;

    /// Whether the window has no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads a control word with Acquire: what the writer stored before its [`publish`](Memory::publish) of this value is
    /// visible to later loads.
    fn load(&self, offset: usize) -> u64;

    /// Stores a control word of the caller's own section that publishes nothing.
    fn store(&self, offset: usize, value: u64);

    /// Stores a control word of the caller's own section with Release: earlier stores are visible to whoever loads it.
    fn publish(&self, offset: usize, value: u64);

    /// Copies `bytes.len()` bytes out, whole words at a time, reading each word once.
    ///
    /// `offset` is a multiple of 8; up to 7 bytes after the end, to the next multiple of 8, may be read too.
    fn copy_out(&self, offset: usize, bytes: &mut [u8]);

    /// Copies `bytes` in, whole words at a time; the rest of the last word becomes 0.
    fn copy_in(&self, offset: usize, bytes: &[u8]);
}

impl<M: Memory + ?Sized> Memory for &M {
    #[inline]
    fn len(&self) -> usize {
        (**self).len()
    }

    #[inline]
    fn load(&self, offset: usize) -> u64 {
        (**self).load(offset)
    }

    #[inline]
    fn store(&self, offset: usize, value: u64) {
        (**self).store(offset, value);
    }

    #[inline]
    fn publish(&self, offset: usize, value: u64) {
        (**self).publish(offset, value);
    }

    #[inline]
    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        (**self).copy_out(offset, bytes);
    }

    #[inline]
    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        (**self).copy_in(offset, bytes);
    }
}

/// A window of inter-VM memory (BAR2, or a mapping of the same file on a host).
///
/// Exclusive in the sense of its section: whoever holds it is the only writer, on this side, of what it writes.
#[derive(Debug)]
pub struct SharedMemory {
    base: NonNull<u8>,
    length: usize,
}

/// A window that does not lie inside its memory, or not on whole words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WindowError {
    /// First byte asked for.
    pub offset: usize,
    /// Bytes asked for.
    pub length: usize,
    /// Bytes there are.
    pub available: usize,
}

impl core::fmt::Display for WindowError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { offset, length, available } = self;
        write!(
            f,
            "a window of {length} bytes at offset {offset} does not lie, on whole 8-byte words, in {available} bytes of shared memory"
        )
    }
}

impl core::error::Error for WindowError {}

// SAFETY: every access is one aligned 64-bit atomic or volatile access through a raw pointer to memory that no
// Rust allocation holds; nothing in it belongs to one thread.
unsafe impl Send for SharedMemory {}
// SAFETY: as above. Two threads storing the same payload words would mix bytes, which is what a peer may do
// anyway; it is not undefined behaviour for memory outside every Rust allocation.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// # Safety
    /// - `base` is a multiple of 8, and `length` bytes from it are mapped readable and writable, write-back
    ///   cached, for as long as the value and its windows live, and reading them does not fault.
    /// - The range is part of no Rust allocation: BAR2, or an `mmap` that Rust code touches through this type only.
    pub const unsafe fn new(base: NonNull<u8>, length: usize) -> Self {
        Self { base, length }
    }

    /// The virtual address of the first byte: to look up how it is mapped, not to access it.
    pub fn address(&self) -> usize {
        self.base.addr().get()
    }

    /// Splits off `length` bytes from byte `offset`: a mailbox's window among several.
    ///
    /// Offsets and lengths are multiples of 8.
    pub fn window(&self, offset: usize, length: usize) -> Result<SharedMemory, WindowError> {
        let error = WindowError { offset, length, available: self.length };
        let end = offset.checked_add(length).ok_or(error)?;
        if end > self.length || !offset.is_multiple_of(8) || !length.is_multiple_of(8) {
            return Err(error);
        }
        // SAFETY: offset <= end <= length, so the sum stays in the range `new` was promised.
        let base = unsafe { self.base.byte_add(offset) };
        Ok(SharedMemory { base, length })
    }

    fn word(&self, offset: usize) -> Option<NonNull<u64>> {
        let end = offset.checked_add(8)?;
        if end > self.length || !offset.is_multiple_of(8) {
            return None;
        }
        // SAFETY: offset + 8 <= length, so the sum stays in the range `new` was promised.
        Some(unsafe { self.base.byte_add(offset) }.cast())
    }

    fn atomic(&self, offset: usize) -> Option<&AtomicU64> {
        let word = self.word(offset)?;
        // SAFETY: the word is in bounds, aligned to 8 and mapped as `new` was promised; this side accesses
        // control words as 64-bit atomics only, and the reference does not outlive the call it is made for.
        Some(unsafe { word::control(word) })
    }
}

impl Memory for SharedMemory {
    #[inline]
    fn len(&self) -> usize {
        self.length
    }

    #[inline]
    fn load(&self, offset: usize) -> u64 {
        // Acquire: keeps the payload's loads behind the load of the stamp that announced it.
        self.atomic(offset).map_or(0, |word| word.load(Ordering::Acquire))
    }

    #[inline]
    fn store(&self, offset: usize, value: u64) {
        if let Some(word) = self.atomic(offset) {
            // Relaxed: a later `publish` orders it.
            word.store(value, Ordering::Relaxed);
        }
    }

    #[inline]
    fn publish(&self, offset: usize, value: u64) {
        if let Some(word) = self.atomic(offset) {
            // Release: keeps the payload's stores before the store of the stamp that announces them.
            word.store(value, if control::RELEASE_STORE { Ordering::Release } else { Ordering::Relaxed });
        }
    }

    #[inline]
    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        let mut at = offset;
        for chunk in bytes.chunks_mut(8) {
            let Some(word) = self.word(at) else { return };
            // SAFETY: in bounds, aligned and mapped as `new` was promised, outside every Rust allocation, so a
            // racing writer of another VM makes the value arbitrary but the read defined.
            let value = unsafe { word::read(word) }.to_le_bytes();
            if let Ok(whole) = <&mut [u8; 8]>::try_from(&mut *chunk) {
                *whole = value;
            } else {
                for (to, from) in chunk.iter_mut().zip(value) {
                    *to = from;
                }
            }
            at = at.wrapping_add(8);
        }
    }

    #[inline]
    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let mut at = offset;
        for chunk in bytes.chunks(8) {
            let Some(word) = self.word(at) else { return };
            let mut value = [0; 8];
            if let Ok(whole) = <[u8; 8]>::try_from(chunk) {
                value = whole;
            } else {
                for (to, from) in value.iter_mut().zip(chunk) {
                    *to = *from;
                }
            }
            // SAFETY: in bounds, aligned and mapped as `new` was promised; single writer of this word.
            unsafe { word::write(word, u64::from_le_bytes(value)) };
            at = at.wrapping_add(8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::memory::loop_back;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec;

    #[test]
    fn a_window_lies_inside_and_on_whole_words() {
        let (memory, _) = loop_back(4096).unwrap();
        let window = memory.window(64, 128).unwrap();
        window.store(120, 7);
        assert_eq!((window.len(), memory.load(184)), (128, 7));
        for (offset, length) in [(0, 4104), (4096, 8), (4, 8), (0, 12), (usize::MAX - 7, 8), (8, usize::MAX - 7)] {
            assert_eq!(memory.window(offset, length).err(), Some(WindowError { offset, length, available: 4096 }));
        }
    }

    #[test]
    fn a_window_error_says_what_was_asked_and_what_there_is() {
        let error = WindowError { offset: 4, length: 12, available: 4096 };
        let text =
            "a window of 12 bytes at offset 4 does not lie, on whole 8-byte words, in 4096 bytes of shared memory";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn a_reference_to_memory_is_the_memory() {
        fn all(memory: impl Memory) -> (usize, bool, u64, [u8; 3]) {
            memory.store(8, 1);
            memory.publish(16, 0x0706_0504);
            memory.copy_in(24, &[9, 8, 7]);
            let mut bytes = [0; 3];
            memory.copy_out(24, &mut bytes);
            (memory.len(), memory.is_empty(), memory.load(16), bytes)
        }
        let (memory, peer) = loop_back(4096).unwrap();
        assert_eq!(all(&memory), (4096, false, 0x0706_0504, [9, 8, 7]));
        assert_eq!((peer.load(8), peer.load(16), peer.load(24)), (1, 0x0706_0504, 0x0007_0809));
        assert!(memory.window(4096, 0).unwrap().is_empty());
    }

    #[test]
    fn accesses_outside_or_misaligned_touch_nothing() {
        let (memory, _) = loop_back(4096).unwrap();
        let window = memory.window(0, 64).unwrap();
        for offset in [64, 60, 1, usize::MAX, usize::MAX - 7] {
            window.store(offset, u64::MAX);
            window.publish(offset, u64::MAX);
            window.copy_in(offset, &[0xff; 9]);
            assert_eq!(window.load(offset), 0);
        }
        // A copy that begins inside stops at the end.
        window.copy_in(56, &[0xff; 16]);
        let mut bytes = [1; 16];
        window.copy_out(56, &mut bytes);
        assert_eq!(bytes, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 1, 1, 1, 1, 1, 1]);
        for offset in (0..4096).step_by(8).filter(|offset| *offset != 56) {
            assert_eq!(memory.load(offset), 0, "{offset}");
        }
    }

    proptest! {
        #[test]
        fn bytes_survive_and_the_last_word_is_padded_with_zeros(bytes: vec::Vec<u8>, word in 0usize..64) {
            let (memory, peer) = loop_back(4096).unwrap();
            for offset in (0..4096).step_by(8) {
                memory.store(offset, u64::MAX);
            }
            memory.copy_in(word * 8, &bytes);
            let mut padded = vec![1; bytes.len().next_multiple_of(8)];
            peer.copy_out(word * 8, &mut padded);
            prop_assert_eq!(&padded[..bytes.len()], &bytes[..]);
            prop_assert!(padded[bytes.len()..].iter().all(|byte| *byte == 0));
            prop_assert_eq!(peer.load(word * 8 + padded.len()), u64::MAX);
        }
    }
}
