//! Why a port has no slot for hot-plug, and why what is in one does not come up.

use crate::pci::CapabilityError;
use core::fmt;

/// Why a function is not a port with a slot for hot-plug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SlotError {
    /// Nothing is there, or no bridge.
    NotABridge,
    /// Its capability list is broken.
    Capability(CapabilityError),
    /// It is neither a root port nor a downstream port, or has no slot.
    NoSlot,
    /// The slot does not support hot-plug.
    NotHotPlug {
        /// Slot Capabilities.
        capabilities: u32,
    },
    /// The bus behind it has no number: see [`number_buses`](crate::pci::number_buses).
    NoBus,
}

impl fmt::Display for SlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABridge => f.write_str("no bridge is there"),
            Self::Capability(error) => error.fmt(f),
            Self::NoSlot => f.write_str("the bridge is no PCI Express port with a slot"),
            Self::NotHotPlug { capabilities } => {
                write!(f, "the slot does not support hot-plug: its capabilities are {capabilities:#010x}")
            }
            Self::NoBus => f.write_str("the bus behind the port has no number"),
        }
    }
}

impl core::error::Error for SlotError {}

/// Why what is in a slot does not come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// The slot reports a power fault.
    Power,
    /// The link did not become active within a second.
    Link,
    /// The link is active, but after a second nothing answers in configuration space.
    NoAnswer {
        /// What Vendor ID and Device ID read as.
        identity: u32,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power => f.write_str("the slot reports a power fault"),
            Self::Link => f.write_str("the slot's link did not become active within a second"),
            Self::NoAnswer { identity } => {
                write!(f, "nothing answers in the slot: Vendor ID and Device ID read {identity:#010x}")
            }
        }
    }
}

impl core::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn each_error_says_what_is_there_instead() {
        for (error, text) in [
            (SlotError::NotABridge, "no bridge is there"),
            (SlotError::Capability(CapabilityError::Loop { offset: 0x40 }), "the capability list comes back to 0x40"),
            (SlotError::NoSlot, "the bridge is no PCI Express port with a slot"),
            (
                SlotError::NotHotPlug { capabilities: 0xA003B },
                "the slot does not support hot-plug: its capabilities are 0x000a003b",
            ),
            (SlotError::NoBus, "the bus behind the port has no number"),
        ] {
            assert_eq!(error.to_string(), text);
        }
        for (fault, text) in [
            (Fault::Power, "the slot reports a power fault"),
            (Fault::Link, "the slot's link did not become active within a second"),
            (
                Fault::NoAnswer { identity: u32::MAX },
                "nothing answers in the slot: Vendor ID and Device ID read 0xffffffff",
            ),
        ] {
            assert_eq!(fault.to_string(), text);
        }
    }
}
