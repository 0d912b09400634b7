use super::*;
use crate::fake::config::{ConfigSpace, Cycle, Function};
use std::vec::Vec;

/// Ports in front of a configuration space, whose address latch is consumed by each data access, as on ACRN.
struct FakePorts {
    space: ConfigSpace,
    latch: u32,
    accesses: Vec<(u16, u32)>,
}

impl FakePorts {
    fn new(address: Address, function: Function) -> Self {
        Self { space: ConfigSpace::new().with(address, function), latch: 0, accesses: Vec::new() }
    }

    /// What the latch selects, which a data access consumes.
    fn consume(&mut self) -> Option<(Address, u16)> {
        let latch = core::mem::take(&mut self.latch);
        let [register, function, bus, high] = latch.to_le_bytes();
        assert!(high & 0x7F == 0 && register & 3 == 0, "reserved bits are set in {latch:#x}");
        (high == 0x80).then(|| (Address::new(0, bus, function >> 3, function & 7).unwrap(), register.into()))
    }
}

impl Ports for FakePorts {
    fn read32(&mut self, port: u16) -> u32 {
        self.accesses.push((port, 0));
        match port {
            0xCF8 => self.latch,
            0xCFC => self.consume().map_or(u32::MAX, |(address, offset)| self.space.read32(address, offset)),
            _ => panic!("read of port {port:#x}"),
        }
    }

    fn write32(&mut self, port: u16, value: u32) {
        self.accesses.push((port, value));
        match port {
            0xCF8 => self.latch = value,
            0xCFC => {
                if let Some((address, offset)) = self.consume() {
                    self.space.write32(address, offset, value);
                }
            }
            _ => panic!("write of port {port:#x}"),
        }
    }

    fn write16(&mut self, port: u16, value: u16) {
        self.accesses.push((port, value.into()));
        assert!(matches!(port, 0xCFC | 0xCFE), "16-bit write of port {port:#x}");
        if let Some((address, offset)) = self.consume() {
            self.space.write16(address, offset + (port - 0xCFC), value);
        }
    }
}

/// Ports with nothing behind them, as on QEMU's microvm.
struct NoPorts;

impl Ports for NoPorts {
    fn read32(&mut self, _: u16) -> u32 {
        u32::MAX
    }
    fn write32(&mut self, _: u16, _: u32) {}
    fn write16(&mut self, _: u16, _: u16) {}
}

fn at() -> Address {
    Address::new(0, 0x81, 0x1F, 5).unwrap()
}

#[test]
fn the_address_is_written_before_every_data_access() {
    let mut ports = FakePorts::new(at(), Function::ivshmem_plain(4096));
    assert_eq!(read32(&mut ports, at(), 0), 0x1110_1AF4);
    assert_eq!(read32(&mut ports, at(), 0), 0x1110_1AF4, "the latch was consumed in between");
    write32(&mut ports, at(), 0x18, 0xFFFF_FFFF);
    write16(&mut ports, at(), 0x04, 0x0006);
    assert_eq!(
        ports.accesses,
        [
            (0xCF8, 0x8081_FD00),
            (0xCFC, 0),
            (0xCF8, 0x8081_FD00),
            (0xCFC, 0),
            (0xCF8, 0x8081_FD18),
            (0xCFC, 0xFFFF_FFFF),
            (0xCF8, 0x8081_FD04),
            (0xCFC, 0x0006),
        ]
    );
    assert_eq!(read32(&mut ports, at(), 0x18), 0xFFFF_F00C);
    assert_eq!(read32(&mut ports, at(), 0x04), 0x0000_0006);
}

#[test]
fn a_16_bit_write_goes_to_its_half_of_the_data_port() {
    let mut ports = FakePorts::new(at(), Function::new(1, 2).register(0x44, 0, u32::MAX));
    write16(&mut ports, at(), 0x46, 0xABCD);
    assert_eq!(ports.accesses, [(0xCF8, 0x8081_FD44), (0xCFE, 0xABCD)]);
    assert_eq!(read32(&mut ports, at(), 0x44), 0xABCD_0000);
}

#[test]
fn offsets_are_rounded_down_to_the_cycle() {
    let mut ports = FakePorts::new(at(), Function::new(1, 2).register(0x44, 0x1234_5678, u32::MAX));
    assert_eq!(read32(&mut ports, at(), 0x47), 0x1234_5678);
    write32(&mut ports, at(), 0x46, 0x8765_4321);
    write16(&mut ports, at(), 0x47, 0xFFFF);
    assert_eq!(read32(&mut ports, at(), 0x44), 0xFFFF_4321);
}

#[test]
fn what_the_mechanism_cannot_reach_reads_as_all_ones_without_any_cycle() {
    let mut ports = FakePorts::new(at(), Function::new(1, 2));
    let other_segment = Address::new(1, 0x81, 0x1F, 5).unwrap();
    for (address, offset) in [(at(), 0x100), (at(), 0xFFC), (other_segment, 0)] {
        assert_eq!(read32(&mut ports, address, offset), u32::MAX);
        write32(&mut ports, address, offset, 0);
        write16(&mut ports, address, offset, 0);
    }
    assert_eq!(ports.accesses, []);
    assert_eq!(ports.space.take_cycles(), Vec::<Cycle>::new());
}

#[test]
fn the_mechanism_is_present_if_the_address_port_keeps_its_value() {
    assert!(is_present(&mut FakePorts::new(at(), Function::new(1, 2))));
    assert!(!is_present(&mut NoPorts));
}
