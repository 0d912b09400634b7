//! Why BARs stay unassigned.

use crate::pci::{Address, BarError, BridgeError};
use core::fmt;

/// Why the BARs of a function stay unassigned, of which configuration space is as it was; or why a bus has no number, and then the others
/// keep theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AssignError {
    /// A BAR cannot be used, wherever it were.
    Bar {
        /// Whose.
        address: Address,
        /// What is wrong with it.
        error: BarError,
    },
    /// No window has room for the BAR.
    NoRoom {
        /// Whose.
        address: Address,
        /// The BAR's number.
        index: u8,
        /// Bytes in it.
        size: u64,
    },
    /// No window has room for that of a bridge on the way.
    NoWindow {
        /// The bridge.
        address: Address,
        /// Which of its two windows.
        prefetchable: bool,
        /// Bytes that the function needs of it.
        size: u64,
    },
    /// A bridge on the way cannot be programmed.
    Bridge {
        /// The bridge.
        address: Address,
        /// What is wrong.
        error: BridgeError,
    },
    /// A BAR did not take its address.
    NotTaken {
        /// Whose.
        address: Address,
        /// The register's offset.
        offset: u16,
        /// What was written.
        written: u32,
        /// What it then read as.
        found: u32,
    },
    /// More functions than can be looked after.
    TooManyFunctions {
        /// How many can.
        most: usize,
    },
    /// The bus is behind more bridges than can be looked after.
    TooDeep {
        /// The bus.
        bus: u8,
    },
    /// No bus number is left for the bus behind this bridge, which stays without one.
    NoBus(Address),
    /// A bridge on the way no longer answers.
    Gone(Address),
}

impl fmt::Display for AssignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bar { address, error } => write!(f, "{address}: {error}"),
            Self::NoRoom { address, index, size } => {
                write!(f, "{address}: no window has room for BAR{index} of {size} bytes")
            }
            Self::NoWindow { address, prefetchable, size } => {
                let kind = if *prefetchable { "prefetchable " } else { "" };
                write!(f, "{address}: the bridge has no {kind}window, and there is no room for one of {size} bytes")
            }
            Self::Bridge { address, error } => write!(f, "{address}: {error}"),
            Self::NotTaken { address, offset, written, found } => {
                write!(f, "{address}: the register at {offset:#x} took {found:#010x} instead of {written:#010x}")
            }
            Self::TooManyFunctions { most } => write!(f, "there are more than {most} PCI functions"),
            Self::TooDeep { bus } => write!(f, "bus {bus:#04x} is behind too many bridges"),
            Self::NoBus(address) => write!(f, "{address}: no bus number is left for the bus behind the bridge"),
            Self::Gone(address) => write!(f, "{address}: the bridge is gone"),
        }
    }
}

impl core::error::Error for AssignError {}

#[cfg(test)]
mod tests {
    use super::AssignError::*;
    use super::*;
    use std::string::ToString;

    #[test]
    fn each_error_says_whose_and_how_much() {
        let address = Address::new(0, 1, 2, 0).unwrap();
        for (error, text) in [
            (Bar { address, error: BarError::HeaderType(2) }, "0000:01:02.0: PCI header layout 0x2 is neither 0 nor 1"),
            (NoRoom { address, index: 2, size: 4096 }, "0000:01:02.0: no window has room for BAR2 of 4096 bytes"),
            (
                NoWindow { address, prefetchable: true, size: 1 << 20 },
                "0000:01:02.0: the bridge has no prefetchable window, and there is no room for one of 1048576 bytes",
            ),
            (
                NoWindow { address, prefetchable: false, size: 256 },
                "0000:01:02.0: the bridge has no window, and there is no room for one of 256 bytes",
            ),
            (
                Bridge { address, error: BridgeError::NoPrefetchable },
                "0000:01:02.0: the bridge has no prefetchable window",
            ),
            (
                NotTaken { address, offset: 0x18, written: 0xC000_000C, found: 0xC },
                "0000:01:02.0: the register at 0x18 took 0x0000000c instead of 0xc000000c",
            ),
            (TooManyFunctions { most: 256 }, "there are more than 256 PCI functions"),
            (TooDeep { bus: 9 }, "bus 0x09 is behind too many bridges"),
            (NoBus(address), "0000:01:02.0: no bus number is left for the bus behind the bridge"),
            (Gone(address), "0000:01:02.0: the bridge is gone"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
