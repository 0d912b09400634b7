//! Ringing a peer.

use super::register;
use crate::mmio::Region;
use crate::notify::Doorbell;
use core::fmt;
use core::sync::atomic::{Ordering, compiler_fence};

/// The Doorbell register of a device. A clone is another handle to it; any CPU may ring at any time.
///
/// Each ring is one VM exit. It is a hint: nobody learns whether the peer exists, has that vector or heard it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DoorbellRegister {
    registers: Region,
    vectors: u16,
}

/// Why a doorbell was not rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RingError {
    /// The device has no MSI-X capability, and no doorbell.
    NoDoorbell,
    /// A vector that the hypervisor's doorbell cannot name, or would take for another one.
    Vector {
        /// The vector.
        vector: u16,
        /// Vectors that can be named: those below this one, at most 256.
        vectors: u16,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDoorbell => f.write_str("the device has no doorbell"),
            Self::Vector { vector, vectors } => {
                write!(f, "this device's doorbell names vectors below {vectors}, not {vector}")
            }
        }
    }
}

impl core::error::Error for RingError {}

impl DoorbellRegister {
    /// `vectors`: how many the hypervisor's doorbell can name.
    pub(super) fn new(registers: Region, vectors: u16) -> Self {
        Self { registers, vectors }
    }
}

impl Doorbell for DoorbellRegister {
    type Error = RingError;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        let out_of_range = RingError::Vector { vector, vectors: self.vectors };
        if vector >= self.vectors {
            return Err(out_of_range);
        }
        // The message's stores stay before this one: the CPU drains earlier write-back stores before an uncached one, and
        // this keeps the compiler from moving them.
        compiler_fence(Ordering::SeqCst);
        let value = u32::from(peer) << 16 | u32::from(vector);
        // Never outside: the region is all of BAR0.
        self.registers.write32(register::DOORBELL, value).map_err(|_| out_of_range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn each_error_says_what_cannot_be_rung() {
        assert_eq!(RingError::NoDoorbell.to_string(), "the device has no doorbell");
        let text = "this device's doorbell names vectors below 8, not 9";
        assert_eq!(RingError::Vector { vector: 9, vectors: 8 }.to_string(), text);
    }
}
