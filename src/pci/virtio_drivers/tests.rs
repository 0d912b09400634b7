use super::*;
use crate::device::{Device, Options, Selector};
use crate::fake::config::Function;
use crate::fake::machine::{Hypervisor, Machine};
use crate::pci::foreign::tests as shared;
use crate::pci::{functions, size_bar};
use ::virtio_drivers::transport::pci::bus::{BarInfo, MemoryBarType, PciRoot};
use std::string::ToString;
use std::vec::Vec;

/// An access of a kernel that knows nothing of this crate's, and would panic out of its reach.
struct Kernel<'a, A>(&'a A);

impl<A: ConfigAccess> Kernel<'_, A> {
    fn checked(function: DeviceFunction, offset: u8) -> Address {
        let address = Address::new(0, function.bus, function.device, function.function).unwrap();
        shared::check_reach(address, offset.into());
        address
    }
}

impl<A: ConfigAccess> ConfigurationAccess for Kernel<'_, A> {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        self.0.read32(Self::checked(function, offset), offset.into())
    }

    fn write_word(&mut self, function: DeviceFunction, offset: u8, value: u32) {
        self.0.write32(Self::checked(function, offset), offset.into(), value);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self(self.0)
    }
}

fn theirs<A: ConfigAccess>(access: &A) -> Theirs<Kernel<'_, A>> {
    Theirs::new(Kernel(access), shared::BUSES)
}

#[test]
fn their_access_finds_what_is_within_its_reach() {
    let space = shared::space();
    shared::finds_what_is_within_reach(&space, &theirs(&space));
}

#[test]
fn their_access_is_asked_for_nothing_out_of_its_reach() {
    let space = shared::space();
    shared::asks_for_nothing_out_of_reach(&space, &theirs(&space));
}

#[test]
fn their_access_writes_each_half_without_the_other() {
    let space = shared::space();
    shared::writes_halves(&space, &theirs(&space));
}

#[test]
fn command_through_their_access_leaves_status_alone() {
    let space = shared::space();
    shared::leaves_status_alone(&space, &theirs(&space));
}

#[test]
fn a_device_through_their_access_is_the_device() {
    shared::opens_a_device(|machine| {
        // SAFETY: configuration space and mapper are one model's.
        let device =
            unsafe { Device::open(&theirs(machine), &mut machine.mapper(), Selector::default(), Options::default()) };
        device.unwrap()
    });
}

#[test]
fn interrupts_through_their_access_are_the_devices() {
    let machine = Machine::new(Hypervisor::Qemu, 5, Function::ivshmem_doorbell(1 << 20, 2)).unwrap();
    shared::interrupts_a_device(&machine, &theirs(&machine));
}

#[test]
fn their_enumeration_of_a_bus_finds_what_ours_finds() {
    let space = shared::space();
    let root = PciRoot::new(Ours::new(&space, 0));
    for bus in 0..=6 {
        let theirs: Vec<_> =
            root.enumerate_bus(bus).map(|(function, info)| (function.to_string(), info.class)).collect();
        let ours = functions(&space).filter(|function| function.address.bus() == bus);
        // They show no segment.
        let ours = ours.map(|function| (function.address.to_string()[5..].to_string(), (function.class >> 16) as u8));
        assert_eq!(theirs, ours.collect::<Vec<_>>(), "bus {bus}");
    }
}

#[test]
fn their_sizing_of_a_bar_gives_what_ours_gives_and_leaves_it() {
    let machine = Machine::new(Hypervisor::Qemu, 5, Function::ivshmem_doorbell(1 << 20, 2)).unwrap();
    let before = machine.space().contents();
    let (address, size) = (0xE0_0000_0000, size_bar(&machine, Machine::ADDRESS, 2).unwrap());
    let bar = PciRoot::new(Ours::new(&machine, 0)).bar_info(theirs_address(), 2).unwrap();
    let expected = BarInfo::Memory { address_type: MemoryBarType::Width64, prefetchable: true, address, size };
    assert_eq!(bar, Some(expected));
    assert_eq!(machine.space().contents(), before);
}

fn theirs_address() -> DeviceFunction {
    super::theirs(Machine::ADDRESS)
}

#[test]
fn what_is_no_function_reads_as_all_ones_and_is_not_written() {
    let space = shared::space();
    let mut access = Ours::new(&space, 0);
    space.take_cycles();
    for (device, function) in [(32, 0), (0, 8), (255, 255)] {
        let nowhere = DeviceFunction { bus: 0, device, function };
        assert_eq!(access.read_word(nowhere, 0), u32::MAX);
        access.write_word(nowhere, 0x40, 0);
    }
    assert_eq!(space.take_cycles(), []);
}

#[test]
fn a_segment_is_that_segment() {
    let address: Address = "0001:00:00.0".parse().unwrap();
    let buses = [0, 1].map(|segment| crate::pci::Buses { segment, first: 0, last: 255 });
    let space = crate::fake::config::ConfigSpace::with_buses(buses.to_vec()).with(address, Function::new(7, 8));
    let function = super::theirs(address);
    assert_eq!([0, 1].map(|segment| Ours::new(&space, segment).read_word(function, 0)), [u32::MAX, 0x0008_0007]);
}
