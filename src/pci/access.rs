//! What every way of reaching configuration space has in common.

use super::Address;

/// Buses `first` to `last`, both included, of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Buses {
    /// PCI segment group.
    pub segment: u16,
    /// The first bus.
    pub first: u8,
    /// The last bus.
    pub last: u8,
}

impl Buses {
    /// Whether `address` is on one of these buses.
    pub const fn contains(&self, address: Address) -> bool {
        address.segment() == self.segment && self.first <= address.bus() && address.bus() <= self.last
    }
}

/// Access to PCI configuration space, in 32-bit cycles except the 16-bit Command write.
///
/// `offset` is in bytes, 0 to 0xFFC, and is rounded down to the cycle's size. A function that is not there, a bus out of reach and an
/// offset that the mechanism cannot reach (port I/O ends at 0xFF) all read as all-ones; writes there do nothing.
pub trait ConfigAccess {
    /// One 32-bit read.
    fn read32(&self, address: Address, offset: u16) -> u32;

    /// One 32-bit write.
    fn write32(&self, address: Address, offset: u16, value: u32);

    /// One 16-bit write. ACRN clears Status when Command is written with 32 bits.
    fn write16(&self, address: Address, offset: u16, value: u16);

    /// The `index`-th range of buses within reach, from 0, in ascending order and without overlap; `None` after the last.
    ///
    /// This is what [`functions`](super::functions) walks. Unless overridden: every bus of segment 0.
    fn buses(&self, index: usize) -> Option<Buses> {
        (index == 0).then_some(Buses { segment: 0, first: 0, last: u8::MAX })
    }
}

impl<T: ConfigAccess + ?Sized> ConfigAccess for &T {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        (**self).read32(address, offset)
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        (**self).write32(address, offset, value);
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        (**self).write16(address, offset, value);
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        (**self).buses(index)
    }
}
