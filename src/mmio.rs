//! Physical addresses to pointers, with a caching attribute, and aligned 32-bit register access.

use core::ptr::NonNull;

mod region;
pub use region::{AccessError, Region};

/// How the CPU may cache a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Caching {
    /// Every access reaches the device: BAR0, BAR1, ECAM.
    Uncached,
    /// Ordinary memory: BAR2. The ordering rules of [`crate::channel`] assume it.
    WriteBack,
}

/// Maps physical memory for the driver.
///
/// # Safety
/// The implementor promises, of every pointer that [`map`](Self::map) returns: `length` bytes from it reach
/// exactly the physical range asked for, stay mapped readable and writable until unmapped or for ever, belong
/// to no Rust allocation, and have the caching asked for.
pub unsafe trait Mapper {
    /// Maps `length` bytes from physical address `physical`, neither needing any alignment.
    ///
    /// # Safety
    /// The caller promises that the range is device registers or inter-VM memory that nothing else in this
    /// image uses as ordinary memory.
    unsafe fn map(&mut self, physical: u64, length: u64, caching: Caching) -> Result<NonNull<u8>, MapError>;
}

/// Why a physical range could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MapError {
    /// `length` is 0, or the range passes the end of the physical address space.
    InvalidRange {
        /// First byte.
        physical: u64,
        /// Bytes.
        length: u64,
    },
    /// The mapper does not reach this address.
    Unreachable {
        /// First byte.
        physical: u64,
        /// Bytes.
        length: u64,
    },
    /// No frame was left for a page table.
    OutOfFrames,
    /// No virtual address space was left.
    OutOfAddressSpace {
        /// Bytes that were asked for.
        length: u64,
    },
    /// The virtual page is mapped to something else already.
    AlreadyMapped {
        /// The virtual address.
        virtual_address: u64,
    },
}
