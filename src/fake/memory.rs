//! Shared memory without a device: two views of one mapping, memory of one thread, memory that a hostile peer shares, and
//! memory of an end that dies at any of its stores.

mod checks;
mod cutter;
mod oracle;
mod words;

pub use checks::Bound;
pub use cutter::Cutter;
pub use oracle::{Disturbance, Oracle};
pub use words::Words;

use crate::memory::SharedMemory;
use core::ptr::NonNull;
use std::io;

/// One zeroed mapping of `length` bytes, seen twice, as two VMs see one region.
///
/// It is never unmapped: made for tests, which end.
pub fn loop_back(length: usize) -> io::Result<(SharedMemory, SharedMemory)> {
    let base = map(length)?;
    // SAFETY: page-aligned, `length` bytes mapped readable and writable for ever, in no Rust allocation.
    let first = unsafe { SharedMemory::new(base, length) };
    // SAFETY: as above; the two views share the mapping as two VMs do.
    let second = unsafe { SharedMemory::new(base, length) };
    Ok((first, second))
}

/// Zeroed pages that stay mapped for ever.
pub(super) fn map(length: usize) -> io::Result<NonNull<u8>> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::NORESERVE);
    // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
    let base = unsafe { mmap_anonymous(core::ptr::null_mut(), length, protection, flags) }?;
    NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))
}
