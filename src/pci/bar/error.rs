//! What can be wrong with a base address register.

use core::fmt;

/// Why a base address register cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BarError {
    /// The function is not there, or vanished.
    NoFunction,
    /// A header of a layout other than 0 (device) and 1 (bridge).
    HeaderType(u8),
    /// A header of this layout has fewer registers.
    Index {
        /// The register's number.
        index: u8,
        /// How many there are.
        count: u8,
    },
    /// The register holds the upper half of the 64-bit BAR before it.
    UpperHalf {
        /// The register's number.
        index: u8,
    },
    /// A 64-bit BAR in the last register, where its upper half has no place.
    NoUpperHalf {
        /// The register's number.
        index: u8,
        /// The register.
        value: u32,
    },
    /// A BAR in I/O space.
    Io {
        /// The register's number.
        index: u8,
        /// The register.
        value: u32,
    },
    /// A memory BAR of a type the specification reserves.
    ReservedType {
        /// The register's number.
        index: u8,
        /// The register.
        value: u32,
    },
    /// Nobody gave the BAR an address (no firmware, hot-plug), or there is none.
    Unassigned {
        /// The register's number.
        index: u8,
        /// The register.
        value: u32,
    },
    /// Sizing showed that there is no BAR: no address bit can be written.
    Absent {
        /// The register's number.
        index: u8,
        /// The register.
        value: u32,
    },
    /// Another BAR of the same function lies in this one's memory.
    Overlap {
        /// The BAR's number.
        index: u8,
        /// Its physical address.
        address: u64,
        /// Bytes in it, 1 if not known.
        size: u64,
        /// The other BAR's number.
        other: u8,
        /// Its physical address.
        other_address: u64,
    },
    /// The end of the BAR is behind the last address it can hold.
    Wraps {
        /// The BAR's number.
        index: u8,
        /// Its physical address.
        address: u64,
        /// Bytes in it.
        size: u64,
    },
    /// The address is not a multiple of the size.
    Misaligned {
        /// The BAR's number.
        index: u8,
        /// Its physical address.
        address: u64,
        /// Bytes in it.
        size: u64,
    },
    /// The writable address bits are not the uppermost ones without a gap, so that the BAR has no size.
    NotContiguous {
        /// The BAR's number.
        index: u8,
        /// The writable bits.
        mask: u64,
    },
    /// The read-only bits that tell the BAR's type changed while it was sized.
    TypeChanged {
        /// The BAR's number.
        index: u8,
        /// The register before.
        before: u32,
        /// The register with its address bits set.
        after: u32,
    },
    /// A register did not take its old value back after sizing.
    NotRestored {
        /// The register's offset.
        offset: u16,
        /// What was written.
        written: u32,
        /// What it then read as.
        found: u32,
    },
}

impl fmt::Display for BarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFunction => f.write_str("no PCI function is there"),
            Self::HeaderType(layout) => write!(f, "PCI header layout {layout:#x} is neither 0 nor 1"),
            Self::Index { index, count } => write!(f, "there is no BAR{index}: the header has {count}"),
            Self::UpperHalf { index } => write!(f, "register {index} is the upper half of a 64-bit BAR"),
            Self::NoUpperHalf { index, value } => {
                write!(f, "BAR{index} ({value:#010x}) has 64 bits but no register follows it")
            }
            Self::Io { index, value } => write!(f, "BAR{index} ({value:#010x}) is in I/O space"),
            Self::ReservedType { index, value } => write!(f, "BAR{index} ({value:#010x}) is of a reserved type"),
            Self::Unassigned { index, value } => write!(f, "BAR{index} ({value:#010x}) has no address"),
            Self::Absent { index, value } => write!(f, "BAR{index} ({value:#010x}) does not exist"),
            Self::Overlap { index, address, size, other, other_address } => {
                write!(f, "BAR{other} at {other_address:#x} overlaps BAR{index} at {address:#x} ({size} bytes or more)")
            }
            Self::Wraps { index, address, size } => {
                write!(f, "BAR{index} at {address:#x} with {size} bytes passes the last address")
            }
            Self::Misaligned { index, address, size } => {
                write!(f, "BAR{index} at {address:#x} is not on a multiple of its {size} bytes")
            }
            Self::NotContiguous { index, mask } => write!(f, "BAR{index} has no size: its address bits are {mask:#x}"),
            Self::TypeChanged { index, before, after } => {
                write!(f, "BAR{index} changed its type while it was sized: {before:#010x}, then {after:#010x}")
            }
            Self::NotRestored { offset, written, found } => {
                write!(f, "the register at {offset:#x} took {found:#010x} back instead of {written:#010x}")
            }
        }
    }
}

impl core::error::Error for BarError {}

#[cfg(test)]
mod tests {
    use super::BarError::*;
    use std::string::ToString;

    #[test]
    fn each_error_says_which_register_and_its_value() {
        for (error, text) in [
            (NoFunction, "no PCI function is there"),
            (HeaderType(2), "PCI header layout 0x2 is neither 0 nor 1"),
            (Index { index: 6, count: 2 }, "there is no BAR6: the header has 2"),
            (UpperHalf { index: 3 }, "register 3 is the upper half of a 64-bit BAR"),
            (NoUpperHalf { index: 5, value: 0xC }, "BAR5 (0x0000000c) has 64 bits but no register follows it"),
            (Io { index: 0, value: 0xC001 }, "BAR0 (0x0000c001) is in I/O space"),
            (ReservedType { index: 1, value: 6 }, "BAR1 (0x00000006) is of a reserved type"),
            (Unassigned { index: 2, value: 0xC }, "BAR2 (0x0000000c) has no address"),
            (Absent { index: 4, value: 0 }, "BAR4 (0x00000000) does not exist"),
            (
                Overlap { index: 0, address: 0x1000, size: 256, other: 2, other_address: 0x1080 },
                "BAR2 at 0x1080 overlaps BAR0 at 0x1000 (256 bytes or more)",
            ),
            (
                Wraps { index: 2, address: 0xFFFF_F000, size: 8192 },
                "BAR2 at 0xfffff000 with 8192 bytes passes the last address",
            ),
            (
                Misaligned { index: 2, address: 0x1800, size: 4096 },
                "BAR2 at 0x1800 is not on a multiple of its 4096 bytes",
            ),
            (NotContiguous { index: 2, mask: 0xFFF0_F000 }, "BAR2 has no size: its address bits are 0xfff0f000"),
            (
                TypeChanged { index: 2, before: 0xC, after: 0x4 },
                "BAR2 changed its type while it was sized: 0x0000000c, then 0x00000004",
            ),
            (
                NotRestored { offset: 0x18, written: 0xC, found: 0xFFFF_FFFC },
                "the register at 0x18 took 0xfffffffc back instead of 0x0000000c",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
