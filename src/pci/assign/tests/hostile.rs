//! Functions that change while they are looked at.

use super::*;
use core::cell::Cell;

/// A function whose BAR is wherever somebody wants to be.
struct InTheWay {
    space: ConfigSpace,
    base: u32,
    looks: Cell<u32>,
    reads: Cell<usize>,
}

impl ConfigAccess for InTheWay {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() < 1_000_000, "this goes on for ever");
        if (address.device(), offset) != (3, 0x10) {
            return self.space.read32(address, offset);
        }
        self.looks.set(self.looks.get() + 1);
        self.base + 4096 * (self.looks.get() - 1)
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        self.space.write32(address, offset, value);
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.space.write16(address, offset, value);
    }
}

#[test]
fn a_function_that_is_in_the_way_wherever_is_looked_is_given_up_on() {
    let address = "00:02.0".parse().unwrap();
    let space = ConfigSpace::new()
        .with(address, Function::new(1, 2).memory32(0, 0, 256))
        .with("00:03.0".parse().unwrap(), Function::new(1, 2));
    let hostile = InTheWay { space, base: 0xC000_0000, looks: Cell::new(0), reads: Cell::new(0) };
    let windows = Windows { mem64: None, ..microvm() };
    assert_eq!(assign(&hostile, address, &windows), Err(AssignError::NoRoom { address, index: 0, size: 256 }));
}
