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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::config::{ConfigSpace, Function};

    #[test]
    fn a_reference_reaches_what_it_refers_to() {
        fn all<T: ConfigAccess>(access: T, at: Address) -> (u32, Option<Buses>) {
            access.write32(at, 0x44, 0x1122_3344);
            access.write16(at, 0x46, 0xAABB);
            (access.read32(at, 0x44), access.buses(0))
        }
        let at = Address::new(0, 0x81, 3, 0).unwrap();
        let space = || ConfigSpace::new().with(at, Function::new(1, 2).register(0x44, 0, u32::MAX));
        let reached = all::<&ConfigSpace>(&space(), at);
        assert_eq!(reached, all::<ConfigSpace>(space(), at));
        assert_eq!(reached.0, 0xAABB_3344);
    }

    #[test]
    fn unless_told_otherwise_the_buses_are_those_of_segment_0() {
        struct Nothing;
        impl ConfigAccess for Nothing {
            fn read32(&self, _: Address, _: u16) -> u32 {
                u32::MAX
            }
            fn write32(&self, _: Address, _: u16, _: u32) {}
            fn write16(&self, _: Address, _: u16, _: u16) {}
        }
        let all = Buses { segment: 0, first: 0, last: 255 };
        assert_eq!((Nothing.buses(0), Nothing.buses(1)), (Some(all), None));
        let at = |segment, bus| Address::new(segment, bus, 0, 0).unwrap();
        assert!(all.contains(at(0, 0)) && all.contains(at(0, 255)) && !all.contains(at(1, 0)));
    }
}
