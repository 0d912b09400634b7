//! Physical addresses to pointers, with a caching attribute, and aligned 32-bit register access.

use core::fmt;
use core::ptr::NonNull;

pub mod memory_type;
mod offset;
#[cfg(target_arch = "x86_64")]
mod page_table;
mod region;

pub use offset::OffsetMapper;
#[cfg(target_arch = "x86_64")]
pub use page_table::{PageSize, PageTableMapper, PageTableOptions, Placement};
pub use region::{AccessError, Region};

/// The first physical address that no x86_64 CPU can form (Intel SDM vol. 3, 4.1.4: MAXPHYADDR is at most 52).
const PHYSICAL_END: u64 = 1 << 52;

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
    /// The pointer has the same offset within a 4 KiB page as `physical`.
    ///
    /// # Safety
    /// The caller promises that the range is device registers or inter-VM memory that nothing else in this
    /// image uses as ordinary memory.
    unsafe fn map(&mut self, physical: u64, length: u64, caching: Caching) -> Result<NonNull<u8>, MapError>;
}

// SAFETY: every promise is kept by the mapper behind the reference.
unsafe impl<T: Mapper + ?Sized> Mapper for &mut T {
    unsafe fn map(&mut self, physical: u64, length: u64, caching: Caching) -> Result<NonNull<u8>, MapError> {
        // SAFETY: the caller's promise is passed on unchanged.
        unsafe { (**self).map(physical, length, caching) }
    }
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
    /// The virtual page is mapped to something else already, or with other caching.
    AlreadyMapped {
        /// The virtual address.
        virtual_address: u64,
    },
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRange { physical, length } => {
                write!(f, "{length} bytes at physical {physical:#x} are no range of physical addresses")
            }
            Self::Unreachable { physical, length } => {
                write!(f, "{length} bytes at physical {physical:#x} are out of the mapper's reach")
            }
            Self::OutOfFrames => f.write_str("no frame was left for a page table"),
            Self::OutOfAddressSpace { length } => {
                write!(f, "no virtual address space was left for {length} bytes")
            }
            Self::AlreadyMapped { virtual_address } => {
                write!(f, "the page at virtual {virtual_address:#x} is mapped to something else, or with other caching")
            }
        }
    }
}

impl core::error::Error for MapError {}

/// The first address after a range of physical memory, if the range is one.
fn physical_end(physical: u64, length: u64) -> Result<u64, MapError> {
    match physical.checked_add(length) {
        Some(end) if length > 0 && end <= PHYSICAL_END => Ok(end),
        _ => Err(MapError::InvalidRange { physical, length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn each_error_says_the_range_or_the_address() {
        let (physical, length) = (0xE000_0000, 4096);
        for (error, text) in [
            (
                MapError::InvalidRange { physical, length: 0 },
                "0 bytes at physical 0xe0000000 are no range of physical addresses",
            ),
            (
                MapError::Unreachable { physical, length },
                "4096 bytes at physical 0xe0000000 are out of the mapper's reach",
            ),
            (MapError::OutOfFrames, "no frame was left for a page table"),
            (MapError::OutOfAddressSpace { length }, "no virtual address space was left for 4096 bytes"),
            (
                MapError::AlreadyMapped { virtual_address: 0x1000 },
                "the page at virtual 0x1000 is mapped to something else, or with other caching",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn a_range_is_not_empty_and_ends_within_52_bits() {
        let end = 1 << 52;
        assert_eq!(physical_end(end - 1, 1), Ok(end));
        for (physical, length) in [(0, 0), (end, 1), (end - 1, 2), (u64::MAX, 1), (1, u64::MAX)] {
            assert_eq!(physical_end(physical, length), Err(MapError::InvalidRange { physical, length }));
        }
    }

    #[test]
    fn a_mapper_behind_a_reference_maps_the_same() {
        fn map(mut mapper: impl Mapper) -> Result<NonNull<u8>, MapError> {
            // SAFETY: the pointer is only compared.
            unsafe { mapper.map(0x1000, 16, Caching::Uncached) }
        }
        // SAFETY: nothing is accessed through what is mapped.
        let mut mapper = unsafe { OffsetMapper::new(0x7000_0000, 0x2000) };
        let direct = map(mapper);
        assert_eq!(map(&mut mapper), direct);
        assert_eq!(direct.unwrap().addr().get(), 0x7000_1000);
    }
}
