//! Physical memory that the firmware wrote, read byte by byte.

use super::McfgError;
use crate::mmio::{Caching, Mapper};
use core::ptr::NonNull;

/// Mapped firmware memory.
#[derive(Debug)]
pub(super) struct Memory {
    base: NonNull<u8>,
    length: usize,
    physical: u64,
}

impl Memory {
    /// # Safety
    /// The range is the firmware's memory, and nothing in it changes while the value is used.
    pub(super) unsafe fn map<M: Mapper + ?Sized>(
        physical: u64,
        length: usize,
        mapper: &mut M,
    ) -> Result<Self, McfgError> {
        // SAFETY: the caller promised firmware memory, which the image does not use as its own.
        let base = unsafe { mapper.map(physical, length as u64, Caching::WriteBack) }.map_err(McfgError::Map)?;
        Ok(Self { base, length, physical })
    }

    pub(super) const fn physical(&self) -> u64 {
        self.physical
    }

    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// The `length` bytes from `offset`, or as many of them as there are.
    pub(super) fn part(&self, offset: usize, length: usize) -> Self {
        let offset = offset.min(self.length);
        let length = length.min(self.length.saturating_sub(offset));
        // SAFETY: the offset is inside the mapping, or its end.
        let base = unsafe { self.base.byte_add(offset) };
        Self { base, length, physical: self.physical.saturating_add(offset as u64) }
    }

    /// `N` bytes from `offset`; 0 where the memory has ended.
    pub(super) fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        core::array::from_fn(|index| self.byte(offset.saturating_add(index)))
    }

    /// Checks that all bytes add up to 0, modulo 256.
    pub(super) fn check_sum(&self) -> Result<(), McfgError> {
        match (0..self.length).fold(0, |sum: u8, offset| sum.wrapping_add(self.byte(offset))) {
            0 => Ok(()),
            sum => Err(McfgError::Checksum { physical: self.physical, sum }),
        }
    }

    fn byte(&self, offset: usize) -> u8 {
        if offset >= self.length {
            return 0;
        }
        // SAFETY: the offset is inside the mapping, which has `length` bytes.
        let byte = unsafe { self.base.byte_add(offset) };
        // SAFETY: the byte is mapped and readable, by the mapper's promise; a byte is always aligned. Volatile, since the memory
        // belongs to no Rust allocation and was written by someone else.
        unsafe { byte.read_volatile() }
    }
}
