//! What every foreign access has to show, whichever crate it is of.

use crate::device::{Device, Options, Selector};
use crate::fake::config::{ConfigSpace, Cycle, Function};
use crate::fake::machine::{Hypervisor, Machine};
use crate::msix::Message;
use crate::pci::{Address, Buses, Command, ConfigAccess, Header, functions};
use std::vec::Vec;

/// Bus 0 to 5 of segment 0: what the foreign accesses of these tests reach.
pub(in crate::pci) const BUSES: Buses = Buses { segment: 0, first: 0, last: 5 };

/// Panics at a cycle that no foreign access of these tests has to bear.
pub(in crate::pci) fn check_reach(address: Address, offset: u16) {
    assert!(BUSES.contains(address) && offset < 0x100 && offset.is_multiple_of(4), "{address} {offset:#x}");
}

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

/// Functions within reach and out of it, one of them with a Status whose errors are cleared by writing 1.
pub(in crate::pci) fn space() -> ConfigSpace {
    let device = || Function::new(0x1AF4, 0x1110);
    ConfigSpace::new()
        .with(at("00:00.0"), device().register(0x40, 0x1122_3344, u32::MAX))
        .with(at("00:03.0"), device().multi_function())
        .with(at("00:03.7"), device())
        .with(at("05:1f.0"), Function::ivshmem_plain(1 << 20))
        .with(at("06:00.0"), device())
}

/// The same functions are found as without the adapter, but for those out of its reach.
pub(in crate::pci) fn finds_what_is_within_reach(space: &ConfigSpace, access: &impl ConfigAccess) {
    assert_eq!((access.buses(0), access.buses(1)), (Some(BUSES), None));
    let directly: Vec<_> = functions(space).filter(|function| BUSES.contains(function.address)).collect();
    assert_eq!(directly.len(), 4);
    assert_eq!(functions(access).collect::<Vec<_>>(), directly);
}

/// What lies out of reach reads as all-ones, is not written, and is not even asked for.
pub(in crate::pci) fn asks_for_nothing_out_of_reach(space: &ConfigSpace, access: &impl ConfigAccess) {
    space.take_cycles();
    for (address, offset) in [("06:00.0", 0), ("0001:00:00.0", 0), ("00:00.0", 0x100), ("00:00.0", u16::MAX)] {
        assert_eq!(access.read32(at(address), offset), u32::MAX, "{address} {offset:#x}");
        access.write32(at(address), offset, 0);
        access.write16(at(address), offset, 0);
    }
    assert_eq!(space.take_cycles(), []);
}

/// Each half of a register is written without the other, and offsets are rounded down.
pub(in crate::pci) fn writes_halves(space: &ConfigSpace, access: &impl ConfigAccess) {
    let address = at("00:00.0");
    for (offset, value, register) in [
        (0x40, 0xAAAA, 0x1122_AAAA),
        (0x41, 0xBBBB, 0x1122_BBBB),
        (0x42, 0xCCCC, 0xCCCC_BBBB),
        (0x43, 0xDDDD, 0xDDDD_BBBB),
    ] {
        access.write16(address, offset, value);
        assert_eq!(space.read32(address, 0x40), register, "{offset:#x}");
        assert_eq!(access.read32(address, offset), register);
    }
    access.write32(address, 0x43, 0x0102_0304);
    assert_eq!(space.read32(address, 0x40), 0x0102_0304);
}

/// A write of Command clears no error of Status, and on ACRN, where Status is storage, it keeps the rest.
pub(in crate::pci) fn leaves_status_alone(space: &ConfigSpace, access: &impl ConfigAccess) {
    let address = at("00:00.0");
    space.take_cycles();
    // Every bit of Status is set; a real one would clear those of them that were written 1.
    space.script(address, 0x04, [Some(0xFFFF_0001)]);
    Header::new(access, address).set_command(Command::MEMORY);
    let written = space.take_cycles().into_iter().find_map(|cycle| match cycle {
        Cycle::Write32 { offset: 0x04, value, .. } => Some(value),
        _ => None,
    });
    assert_eq!(written, Some(0x06FF_0002));
}

/// A device is opened, interrupts and is closed as without the adapter: same accesses to its registers, same end of its configuration space.
pub(in crate::pci) fn opens_a_device(adapted: impl Fn(&Machine) -> Device) {
    for (hypervisor, function) in [
        (Hypervisor::Qemu, Function::ivshmem_doorbell(1 << 20, 2)),
        (Hypervisor::Acrn, Function::ivshmem_doorbell(2 << 20, 8).plain_storage()),
    ] {
        let machine = || Machine::new(hypervisor, 5, function.clone()).unwrap();
        let (direct, foreign) = (machine(), machine());
        // SAFETY: configuration space and mapper are one model's.
        let opened =
            unsafe { Device::open(&direct, &mut direct.mapper(), Selector::default(), Options::default()) }.unwrap();
        assert_eq!(adapted(&foreign).layout(), opened.layout(), "{hypervisor:?}");
        assert_eq!(foreign.space().contents(), direct.space().contents(), "{hypervisor:?}");
    }
}

/// Interrupts through an adapter are enabled and closed, which leaves configuration space as it was.
pub(in crate::pci) fn interrupts_a_device(machine: &Machine, access: &impl ConfigAccess) {
    // SAFETY: configuration space and mapper are one model's.
    let mut device =
        unsafe { Device::open(access, &mut machine.mapper(), Selector::default(), Options::default()) }.unwrap();
    let before = machine.space().contents();
    let interrupts = device.enable_interrupts(access, &[Message::new(1, 0x40).unwrap()]).unwrap();
    machine.ring(0);
    assert_eq!(machine.count(0x40), 1);
    interrupts.close(access).unwrap();
    assert_eq!(machine.space().contents(), before);
}
