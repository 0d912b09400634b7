//! Why a device cannot be opened.

use crate::mmio::MapError;
use crate::pci::{Address, BarError, CapabilityError};
use core::fmt;

/// Why a device cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OpenError {
    /// No device fits the selector.
    NotFound {
        /// ivshmem devices that were seen.
        seen: usize,
    },
    /// Nothing is at the address.
    Absent(Address),
    /// The function is another device.
    NotIvshmem {
        /// Vendor ID.
        vendor: u16,
        /// Device ID.
        device: u16,
    },
    /// ivshmem of version 2 (110a:4106), Jailhouse's: other registers at the same offsets, and memory of which parts are read-only.
    Version2(Address),
    /// kvmtool's shared memory device, whose registers are I/O ports.
    Kvmtool {
        /// Class Code.
        class: u32,
        /// The register of BAR0.
        bar0: u32,
    },
    /// QEMU's `ivshmem` device before there were two kinds: its memory may be there only long after the guest was started.
    Revision(u8),
    /// The header is that of a bridge.
    HeaderType(u8),
    /// A class other than memory (05h).
    Class(u32),
    /// A BAR cannot be used.
    Bar(BarError),
    /// The capability list is broken.
    Capability(CapabilityError),
    /// IVPosition is no id, nor became one within the bound.
    Id {
        /// What it reads.
        value: u32,
        /// Reads after which it was given up.
        reads: u32,
    },
    /// The memory is smaller than a page of 4 KiB, so that what shares the page with it would be mapped with it.
    SubPage {
        /// Bytes of memory.
        size: u64,
    },
    /// The memory is larger than the address space.
    MemoryTooLarge(u64),
    /// The device could not be mapped.
    Map(MapError),
    /// The function no longer answers in configuration space: it was unplugged.
    DeviceGone,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { seen } => write!(f, "none of {seen} ivshmem devices is the one selected"),
            Self::Absent(address) => write!(f, "nothing is at {address}"),
            Self::NotIvshmem { vendor, device } => {
                write!(f, "{vendor:04x}:{device:04x} is no ivshmem device of version 1 (1af4:1110)")
            }
            Self::Version2(address) => {
                write!(
                    f,
                    "{address} is an ivshmem device of version 2 (110a:4106, Jailhouse); this driver is for version 1"
                )
            }
            Self::Kvmtool { class, bar0 } => {
                write!(f, "kvmtool's shared memory device (class {class:#08x}): BAR0 ({bar0:#010x}) is in I/O space")
            }
            Self::Revision(revision) => {
                write!(f, "revision {revision} is QEMU's ivshmem of before 2.6; use ivshmem-plain or ivshmem-doorbell")
            }
            Self::HeaderType(layout) => write!(f, "PCI header layout {layout:#x} is not a device's"),
            Self::Class(class) => write!(f, "class {class:#08x} is not that of memory (05)"),
            Self::Bar(error @ BarError::Unassigned { .. }) => {
                write!(f, "{error}: no firmware gave it one; `pci::assign` can")
            }
            Self::Bar(error) => error.fmt(f),
            Self::Capability(error) => error.fmt(f),
            Self::Id { value, reads } => write!(f, "IVPosition is {value:#x} after {reads} reads, and no id"),
            Self::SubPage { size } => write!(f, "{size} bytes of memory are less than a page of 4096"),
            Self::MemoryTooLarge(size) => write!(f, "{size} bytes of memory do not fit the address space"),
            Self::Map(error) => error.fmt(f),
            Self::DeviceGone => DeviceGone.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {}

impl From<BarError> for OpenError {
    fn from(error: BarError) -> Self {
        match error {
            BarError::NoFunction => Self::DeviceGone,
            error => Self::Bar(error),
        }
    }
}

impl From<CapabilityError> for OpenError {
    fn from(error: CapabilityError) -> Self {
        match error {
            CapabilityError::NoFunction => Self::DeviceGone,
            error => Self::Capability(error),
        }
    }
}

impl From<MapError> for OpenError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

impl From<DeviceGone> for OpenError {
    fn from(_: DeviceGone) -> Self {
        Self::DeviceGone
    }
}

/// The function no longer answers in configuration space, or no longer as an ivshmem device: it was unplugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceGone;

impl fmt::Display for DeviceGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the device is gone")
    }
}

impl core::error::Error for DeviceGone {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn each_error_says_what_was_found() {
        let address = Address::new(0, 0, 3, 0).unwrap();
        for (error, text) in [
            (OpenError::NotFound { seen: 2 }, "none of 2 ivshmem devices is the one selected"),
            (OpenError::Absent(address), "nothing is at 0000:00:03.0"),
            (
                OpenError::NotIvshmem { vendor: 0x1AF4, device: 0x1041 },
                "1af4:1041 is no ivshmem device of version 1 (1af4:1110)",
            ),
            (
                OpenError::Version2(address),
                "0000:00:03.0 is an ivshmem device of version 2 (110a:4106, Jailhouse); this driver is for version 1",
            ),
            (
                OpenError::Kvmtool { class: 0xFF_0000, bar0: 0x6201 },
                "kvmtool's shared memory device (class 0xff0000): BAR0 (0x00006201) is in I/O space",
            ),
            (
                OpenError::Revision(0),
                "revision 0 is QEMU's ivshmem of before 2.6; use ivshmem-plain or ivshmem-doorbell",
            ),
            (OpenError::HeaderType(1), "PCI header layout 0x1 is not a device's"),
            (OpenError::Class(0xFF_0000), "class 0xff0000 is not that of memory (05)"),
            (
                BarError::Unassigned { index: 2, value: 0xC }.into(),
                "BAR2 (0x0000000c) has no address: no firmware gave it one; `pci::assign` can",
            ),
            (BarError::HeaderType(2).into(), "PCI header layout 0x2 is neither 0 nor 1"),
            (OpenError::SubPage { size: 2048 }, "2048 bytes of memory are less than a page of 4096"),
            (CapabilityError::Loop { offset: 0x40 }.into(), "the capability list comes back to 0x40"),
            (
                OpenError::Id { value: 0x1_0000, reads: 1_000_000 },
                "IVPosition is 0x10000 after 1000000 reads, and no id",
            ),
            (OpenError::MemoryTooLarge(1 << 40), "1099511627776 bytes of memory do not fit the address space"),
            (MapError::OutOfFrames.into(), "no frame was left for a page table"),
            (DeviceGone.into(), "the device is gone"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn a_function_that_vanished_is_one_error_wherever_it_is_noticed() {
        assert_eq!(OpenError::from(BarError::NoFunction), OpenError::DeviceGone);
        assert_eq!(OpenError::from(CapabilityError::NoFunction), OpenError::DeviceGone);
    }
}
