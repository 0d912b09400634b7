use super::*;
use crate::fake::config::{ConfigSpace, Cycle, Function};
use crate::fake::ports::PortLatch;
use std::vec::Vec;

fn latch(function: Function) -> PortLatch<ConfigSpace> {
    PortLatch::new(ConfigSpace::new().with(at(), function))
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
    let ports = latch(Function::ivshmem_plain(4096));
    assert_eq!(ports.read32(at(), 0), 0x1110_1AF4);
    assert_eq!(ports.read32(at(), 0), 0x1110_1AF4, "the latch was consumed in between");
    ports.write32(at(), 0x18, 0xFFFF_FFFF);
    ports.write16(at(), 0x04, 0x0006);
    assert_eq!(
        ports.take_accesses(),
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
    assert_eq!(ports.read32(at(), 0x18), 0xFFFF_F00C);
    assert_eq!(ports.read32(at(), 0x04), 0x0000_0006);
}

#[test]
fn a_16_bit_write_goes_to_its_half_of_the_data_port() {
    let ports = latch(Function::new(1, 2).register(0x44, 0, u32::MAX));
    ports.write16(at(), 0x46, 0xABCD);
    assert_eq!(ports.take_accesses(), [(0xCF8, 0x8081_FD44), (0xCFE, 0xABCD)]);
    assert_eq!(ports.read32(at(), 0x44), 0xABCD_0000);
}

#[test]
fn offsets_are_rounded_down_to_the_cycle() {
    let ports = latch(Function::new(1, 2).register(0x44, 0x1234_5678, u32::MAX));
    assert_eq!(ports.read32(at(), 0x47), 0x1234_5678);
    ports.write32(at(), 0x46, 0x8765_4321);
    ports.write16(at(), 0x47, 0xFFFF);
    assert_eq!(ports.read32(at(), 0x44), 0xFFFF_4321);
}

#[test]
fn what_the_mechanism_cannot_reach_reads_as_all_ones_without_any_cycle() {
    let ports = latch(Function::new(1, 2));
    let other_segment = Address::new(1, 0x81, 0x1F, 5).unwrap();
    for (address, offset) in [(at(), 0x100), (at(), 0xFFC), (other_segment, 0)] {
        assert_eq!(ports.read32(address, offset), u32::MAX);
        ports.write32(address, offset, 0);
        ports.write16(address, offset, 0);
    }
    assert_eq!(ports.take_accesses(), []);
    assert_eq!(ports.space().take_cycles(), Vec::<Cycle>::new());
}

#[test]
fn the_mechanism_is_present_if_the_address_port_keeps_its_value() {
    assert!(is_present(&mut &latch(Function::new(1, 2))));
    assert!(!is_present(&mut NoPorts));
}
