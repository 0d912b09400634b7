//! The MSI-X capability in configuration space (PCI 3.0, 6.8.2).
//!
//! ```text
//!       31          16 15     8 7      0
//! +0    Message Control   next   11h      bit 15 Enable, bit 14 Function Mask, bits 10-0 vectors - 1
//! +4    table offset            | BIR     bits 2-0 BIR; the offset is the rest, a multiple of 8
//! +8    pending bits offset     | BIR
//! ```

use super::{MsixError, placement};
use crate::pci::{Address, ConfigAccess};

/// Enable, in the upper half of the capability's first word.
const ENABLE: u32 = 1 << 31;
/// Function Mask, in the upper half of the capability's first word.
const FUNCTION_MASK: u32 = 1 << 30;

/// Where a structure lies: a BAR and an offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Location {
    /// BAR indicator, 0 to 7; 6 and 7 are reserved.
    pub bar: u8,
    /// Byte offset, a multiple of 8.
    pub offset: u32,
}

impl Location {
    const fn decode(word: u32) -> Self {
        Self { bar: (word & 7) as u8, offset: word & !7 }
    }
}

/// What an MSI-X capability says, before anything of it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Capability {
    /// Byte offset of the capability in configuration space.
    pub offset: u16,
    /// Vectors, 1 to 2048.
    pub vectors: u16,
    /// Where the table lies.
    pub table: Location,
    /// Where the pending bits lie.
    pub pending: Location,
}

impl Capability {
    /// MSI-X's capability id.
    pub const ID: u8 = 0x11;

    /// Reads the capability at byte `offset` of configuration space: three 32-bit reads.
    pub fn read(access: &(impl ConfigAccess + ?Sized), address: Address, offset: u16) -> Self {
        let word = |at: u16| access.read32(address, offset.saturating_add(at));
        let control = (word(0) >> 16) & 0x7FF;
        Self {
            offset,
            vectors: (control as u16).saturating_add(1),
            table: Location::decode(word(4)),
            pending: Location::decode(word(8)),
        }
    }

    /// Bytes of the table: 16 a vector.
    pub const fn table_bytes(&self) -> u64 {
        placement::table_bytes(self.vectors)
    }

    /// Bytes of the pending bits: whole 64-bit words.
    pub const fn pending_bytes(&self) -> u64 {
        placement::pending_bytes(self.vectors)
    }
}

/// Enables MSI-X with Function Mask clear, or disables it, and reads back that the device took it.
///
/// One 32-bit read-modify-write: the lower half (capability id and next pointer) is read-only.
pub(super) fn set_enable(
    access: &(impl ConfigAccess + ?Sized),
    address: Address,
    offset: u16,
    enable: bool,
) -> Result<(), MsixError> {
    let before = access.read32(address, offset);
    if before == u32::MAX {
        return Err(MsixError::DeviceGone);
    }
    let wanted = if enable { ENABLE } else { 0 };
    access.write32(address, offset, before & !(ENABLE | FUNCTION_MASK) | wanted);
    let after = access.read32(address, offset);
    if after == u32::MAX {
        return Err(MsixError::DeviceGone);
    }
    if after & (ENABLE | FUNCTION_MASK) != wanted {
        return Err(MsixError::ControlNotStored { control: (after >> 16) as u16 });
    }
    Ok(())
}
