//! Memory mapped from a file, a BAR or a descriptor, as [`SharedMemory`] that cannot outlive its mapping.

use core::ffi::c_void;
use core::ptr::NonNull;
use ivshmem::memory::{Memory, SharedMemory, WindowError};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::sync::Arc;

/// Inter-VM memory, mapped shared and writable; unmapped when the last clone and window is dropped.
///
/// A mailbox attaches to it as it does to the [`SharedMemory`] inside. If the file behind it is truncated, the next access
/// raises SIGBUS, which no check beforehand can rule out: see [`exit_on_bus_error`](crate::exit_on_bus_error).
#[derive(Debug)]
pub struct Mapping {
    memory: SharedMemory,
    pages: Arc<Pages>,
    /// At which byte of the pages `memory` starts.
    start: usize,
}

/// The mapped pages themselves.
#[derive(Debug)]
struct Pages {
    base: NonNull<c_void>,
    length: usize,
}

// SAFETY: the value is only the right to unmap the range; munmap may be called from any thread.
unsafe impl Send for Pages {}
// SAFETY: `&Pages` offers nothing but reading the two numbers.
unsafe impl Sync for Pages {}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: base and length are those of one mmap, and every `Mapping` over it, each with its own count of
        // this value, is gone, so that nothing uses the range any more.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr(), self.length) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

impl Mapping {
    /// Maps `length` bytes of `fd` from byte `offset`, which is a multiple of the page size. A rest of less than 8 bytes is left out.
    pub fn new(fd: impl AsFd, offset: u64, length: usize) -> Result<Self, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a null hint and no MAP_FIXED: the kernel takes a free range, so no existing mapping changes.
        let base =
            unsafe { rustix::mm::mmap(core::ptr::null_mut(), length, protection, MapFlags::SHARED, fd, offset) }?;
        let base = NonNull::new(base).ok_or(Errno::NOMEM)?;
        let pages = Arc::new(Pages { base, length });
        // Only whole words can be shared, and windows are whole words.
        let words = length & !7;
        // SAFETY: base is page-aligned; at least `words` bytes are mapped readable and writable until `pages` is dropped,
        // which `Mapping` holds beside the memory and beside every window of it; no Rust allocation lies there. A
        // read faults only if the file was truncated, and then SIGBUS ends the process: the access never completes.
        let memory = unsafe { SharedMemory::new(base.cast(), words) };
        Ok(Self { memory, pages, start: 0 })
    }

    /// `length` bytes from byte `offset`, both multiples of 8: one mailbox's window among several.
    pub fn window(&self, offset: usize, length: usize) -> Result<Self, WindowError> {
        let memory = self.memory.window(offset, length)?;
        Ok(Self { memory, pages: Arc::clone(&self.pages), start: self.start + offset })
    }

    /// First byte of the memory; for register access, which is not through [`Memory`].
    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: `start` is the sum of the offsets of windows, each inside the one before it, and so inside the pages.
        unsafe { self.pages.base.cast::<u8>().byte_add(self.start) }
    }
}

impl Clone for Mapping {
    fn clone(&self) -> Self {
        self.window(0, self.memory.len()).expect("all of it lies inside it, on whole words")
    }
}

impl Memory for Mapping {
    fn len(&self) -> usize {
        self.memory.len()
    }

    #[inline]
    fn load(&self, offset: usize) -> u64 {
        self.memory.load(offset)
    }

    #[inline]
    fn store(&self, offset: usize, value: u64) {
        self.memory.store(offset, value);
    }

    #[inline]
    fn publish(&self, offset: usize, value: u64) {
        self.memory.publish(offset, value);
    }

    #[inline]
    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        self.memory.copy_out(offset, bytes);
    }

    #[inline]
    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.memory.copy_in(offset, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(length: u64) -> std::fs::File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        file
    }

    #[test]
    fn what_one_mapping_publishes_another_of_the_same_file_loads() {
        let file = file(8192);
        let (ours, theirs) = (Mapping::new(&file, 0, 8192).unwrap(), Mapping::new(&file, 4096, 4096).unwrap());
        ours.publish(4096 + 8, 0x0123_4567_89ab_cdef);
        assert_eq!(theirs.load(8), 0x0123_4567_89ab_cdef);
    }

    #[test]
    fn a_window_outlives_the_mapping_it_came_from() {
        let window = Mapping::new(file(8192), 0, 8192).unwrap().window(4096, 4096).unwrap();
        window.copy_in(0, b"still mapped");
        let mut bytes = [0; 12];
        window.copy_out(0, &mut bytes);
        assert_eq!(&bytes, b"still mapped");
    }

    #[test]
    fn a_clone_is_the_same_memory_and_a_rest_below_8_bytes_is_left_out() {
        let mapping = Mapping::new(file(1003), 0, 1003).unwrap();
        let clone = mapping.clone();
        assert_eq!((mapping.len(), clone.len()), (1000, 1000));
        mapping.publish(992, 5);
        drop(mapping);
        assert_eq!(clone.load(992), 5);
    }

    #[test]
    fn what_cannot_be_mapped_is_the_systems_error() {
        assert_eq!(Mapping::new(file(8), 0, 0).unwrap_err(), Errno::INVAL);
        assert_eq!(Mapping::new(file(8), 1, 8).unwrap_err(), Errno::INVAL);
    }
}
