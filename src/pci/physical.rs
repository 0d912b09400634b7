//! Physical memory for the tests of this room, and a mapper that records what was mapped.

use crate::mmio::{Caching, MapError, Mapper};
use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::vec::Vec;

/// Blocks of memory at physical addresses; nothing is in between.
#[derive(Debug, Default)]
pub(super) struct Physical {
    blocks: Vec<Block>,
    /// What was asked for: physical address, bytes, caching.
    pub(super) maps: Vec<(u64, u64, Caching)>,
}

#[derive(Debug)]
struct Block {
    physical: u64,
    base: NonNull<u8>,
    layout: Layout,
}

impl Block {
    fn length(&self) -> u64 {
        self.layout.size() as u64
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated by `add` with this layout, and freed here only.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

impl Physical {
    /// Adds `length` bytes of zeroes at `physical`.
    pub(super) fn add(&mut self, physical: u64, length: usize) {
        let layout = Layout::from_size_align(length, 4096).unwrap();
        // SAFETY: every test asks for at least one byte.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        self.blocks.push(Block { physical, base, layout });
    }

    /// Adds a block with these bytes.
    pub(super) fn add_bytes(&mut self, physical: u64, bytes: &[u8]) {
        self.add(physical, bytes.len());
        self.write(physical, bytes);
    }

    pub(super) fn write(&mut self, physical: u64, bytes: &[u8]) {
        let at = self.find(physical, bytes.len() as u64).expect("memory at the address");
        for (offset, byte) in bytes.iter().enumerate() {
            // SAFETY: `find` checked that the bytes are in one block.
            let to = unsafe { at.byte_add(offset) };
            // SAFETY: as above, and nothing else accesses it during this call.
            unsafe { to.write_volatile(*byte) };
        }
    }

    pub(super) fn read<const N: usize>(&self, physical: u64) -> [u8; N] {
        let at = self.find(physical, N as u64).expect("memory at the address");
        core::array::from_fn(|offset| {
            // SAFETY: `find` checked that the bytes are in one block.
            let from = unsafe { at.byte_add(offset) };
            // SAFETY: as above, and nothing else accesses it during this call.
            unsafe { from.read_volatile() }
        })
    }

    fn find(&self, physical: u64, length: u64) -> Option<NonNull<u8>> {
        self.blocks.iter().find_map(|block| {
            let offset = physical.checked_sub(block.physical)?;
            let end = offset.checked_add(length)?;
            // SAFETY: offset <= end <= the block's length.
            (end <= block.length()).then(|| unsafe { block.base.byte_add(offset as usize) })
        })
    }
}

// SAFETY: a pointer is given out only into a block that holds all bytes asked for, and blocks live as long as this; tests keep
// it until they have done with the pointers. The memory is an allocation, but is accessed through raw pointers only.
unsafe impl Mapper for Physical {
    unsafe fn map(&mut self, physical: u64, length: u64, caching: Caching) -> Result<NonNull<u8>, MapError> {
        self.maps.push((physical, length, caching));
        self.find(physical, length).ok_or(MapError::Unreachable { physical, length })
    }
}
