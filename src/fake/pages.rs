//! The pages behind BAR2.

use crate::fake::memory;
use core::ptr::NonNull;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::vec::Vec;

/// Zeroed pages, mapped for ever, since whoever was given their address may keep it. Dropped ones serve again.
#[derive(Debug)]
pub(super) struct Pages {
    start: NonNull<u8>,
    inside: usize,
    length: usize,
}

// SAFETY: the value is an address that stays mapped; what is done with it is up to `SharedMemory`.
unsafe impl Send for Pages {}

/// Those that no machine uses.
static FREE: Mutex<Vec<Pages>> = Mutex::new(Vec::new());

impl Pages {
    /// `length` bytes that begin `inside` bytes behind a page's start.
    pub(super) fn new(inside: usize, length: usize) -> io::Result<Self> {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = free.iter().position(|pages| (pages.inside, pages.length) == (inside, length)) else {
            return Ok(Self { start: memory::map(inside + length)?, inside, length });
        };
        let pages = free.swap_remove(place);
        // SAFETY: the range is mapped, and no machine that lives uses it.
        unsafe { pages.base().write_bytes(0, length) };
        Ok(pages)
    }

    /// Their first byte.
    pub(super) fn base(&self) -> NonNull<u8> {
        // SAFETY: the mapping has more than `inside` bytes.
        unsafe { self.start.byte_add(self.inside) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let &mut Self { start, inside, length } = self;
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(Self { start, inside, length });
    }
}
