//! What an access of another crate lacks: knowledge of its reach, and cycles of 16 bits.

use super::{Address, Buses};

/// Bytes of the configuration space that every mechanism reaches, and all that this crate looks at.
const CONVENTIONAL: u16 = 0x100;
/// Command, in the lower half of a register whose upper half is Status.
const COMMAND: u16 = 0x04;
/// The bits of that register that writing 1 clears: errors that a device has reported.
const CLEARED_BY_ONE: u32 = 0xF900_0000;

/// The offset of a 32-bit cycle that is within reach.
pub(super) fn register(buses: Buses, address: Address, offset: u16) -> Option<u8> {
    let offset = offset & !3;
    if !buses.contains(address) || offset >= CONVENTIONAL {
        return None;
    }
    u8::try_from(offset).ok()
}

/// The 32 bits to write so that the 16 at `offset` become `value`, with those beside it as they were read: on ACRN, where Status is storage
/// as anything, it keeps what it says. But a bit of Status that writing 1 clears is not this write's to clear.
pub(super) fn merged(offset: u16, beside: u32, value: u16) -> u32 {
    let value = u32::from(value);
    match offset & 3 {
        0 | 1 if offset & !3 == COMMAND => beside & 0xFFFF_0000 & !CLEARED_BY_ONE | value,
        0 | 1 => beside & 0xFFFF_0000 | value,
        _ => beside & 0x0000_FFFF | value << 16,
    }
}

#[cfg(test)]
pub(super) mod tests;
