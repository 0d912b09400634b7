//! Why interrupts cannot be used.

use crate::mmio::MapError;
use core::fmt;

/// Why MSI-X cannot be used. The device's memory can still be, polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MsixError {
    /// The function has no MSI-X capability: it is an ivshmem-plain or one that only polls.
    Absent,
    /// A BAR indicator (BIR) of 6 or 7, which the specification reserves.
    ReservedBar {
        /// The indicator.
        bar: u8,
    },
    /// The BAR that the table or the pending bits lie in is not there, not assigned, an I/O BAR, or the upper half of another.
    NoBar {
        /// Its index, 0 to 5.
        bar: u8,
    },
    /// The table or the pending bits end beyond their BAR.
    BeyondBar {
        /// The BAR's index.
        bar: u8,
        /// First byte after the structure, from the BAR's start.
        end: u64,
        /// The most bytes the BAR can have.
        limit: u64,
    },
    /// The table and the pending bits overlap.
    Overlap {
        /// The BAR's index.
        bar: u8,
        /// Byte offset of the table.
        table: u32,
        /// Byte offset of the pending bits.
        pending: u32,
    },
    /// The table or the pending bits lie on the device's registers, or on another BAR.
    OverlapsBar {
        /// Index of the BAR that the structure belongs to.
        bar: u8,
        /// Index of the BAR that it lies on.
        other: u8,
    },
    /// The structures could not be mapped.
    Map(MapError),
    /// No message was given: nothing to enable.
    NoMessages,
    /// More messages were given than the function has vectors.
    TooManyMessages {
        /// Messages given.
        messages: usize,
        /// Vectors there are.
        vectors: u16,
    },
    /// A vector that is not in use.
    NotInUse {
        /// The vector.
        vector: u16,
        /// Vectors in use: those below this one.
        used: u16,
    },
    /// The device did not store a table entry.
    NotStored {
        /// The vector.
        vector: u16,
    },
    /// The device did not take a write to Message Control.
    ControlNotStored {
        /// What Message Control reads as.
        control: u16,
    },
    /// This hypervisor's pending bits always read as 0.
    NoPendingBits,
    /// The function no longer answers in configuration space: it was unplugged.
    DeviceGone,
}

impl fmt::Display for MsixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("the function has no MSI-X capability"),
            Self::ReservedBar { bar } => write!(f, "MSI-X names the reserved BAR indicator {bar}"),
            Self::NoBar { bar } => write!(f, "MSI-X lies in BAR{bar}, which is no assigned memory BAR"),
            Self::BeyondBar { bar, end, limit } => {
                write!(f, "MSI-X ends at byte {end:#x} of BAR{bar}, which has at most {limit:#x}")
            }
            Self::Overlap { bar, table, pending } => {
                write!(f, "the MSI-X table at {table:#x} and the pending bits at {pending:#x} of BAR{bar} overlap")
            }
            Self::OverlapsBar { bar, other } => write!(f, "MSI-X in BAR{bar} lies on BAR{other}"),
            Self::Map(error) => write!(f, "MSI-X cannot be mapped: {error}"),
            Self::NoMessages => f.write_str("no message was given"),
            Self::TooManyMessages { messages, vectors } => {
                write!(f, "{messages} messages were given for {vectors} vectors")
            }
            Self::NotInUse { vector, used } => write!(f, "vector {vector} is not among the {used} in use"),
            Self::NotStored { vector } => write!(f, "the device did not store the table entry of vector {vector}"),
            Self::ControlNotStored { control } => {
                write!(f, "the device did not take a write to Message Control, which reads {control:#06x}")
            }
            Self::NoPendingBits => f.write_str("this hypervisor has no pending bits"),
            Self::DeviceGone => f.write_str("the device is gone"),
        }
    }
}

impl core::error::Error for MsixError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Map(error) => Some(error),
            _ => None,
        }
    }
}

impl From<MapError> for MsixError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::error::Error;
    use std::string::ToString;

    #[test]
    fn each_error_says_the_bar_or_the_vector_and_its_value() {
        for (error, text) in [
            (MsixError::Absent, "the function has no MSI-X capability"),
            (MsixError::ReservedBar { bar: 6 }, "MSI-X names the reserved BAR indicator 6"),
            (MsixError::NoBar { bar: 3 }, "MSI-X lies in BAR3, which is no assigned memory BAR"),
            (
                MsixError::BeyondBar { bar: 1, end: 0x2040, limit: 0x2000 },
                "MSI-X ends at byte 0x2040 of BAR1, which has at most 0x2000",
            ),
            (
                MsixError::Overlap { bar: 1, table: 0, pending: 0x38 },
                "the MSI-X table at 0x0 and the pending bits at 0x38 of BAR1 overlap",
            ),
            (MsixError::OverlapsBar { bar: 1, other: 0 }, "MSI-X in BAR1 lies on BAR0"),
            (MsixError::Map(MapError::OutOfFrames), "MSI-X cannot be mapped: no frame was left for a page table"),
            (MsixError::NoMessages, "no message was given"),
            (MsixError::TooManyMessages { messages: 5, vectors: 4 }, "5 messages were given for 4 vectors"),
            (MsixError::NotInUse { vector: 2, used: 1 }, "vector 2 is not among the 1 in use"),
            (MsixError::NotStored { vector: 7 }, "the device did not store the table entry of vector 7"),
            (
                MsixError::ControlNotStored { control: 3 },
                "the device did not take a write to Message Control, which reads 0x0003",
            ),
            (MsixError::NoPendingBits, "this hypervisor has no pending bits"),
            (MsixError::DeviceGone, "the device is gone"),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.source().is_some(), matches!(error, MsixError::Map(_)));
        }
    }
}
