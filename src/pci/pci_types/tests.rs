use super::*;
use crate::device::{Device, Options, Selector};
use crate::fake::config::Function;
use crate::fake::machine::{Hypervisor, Machine};
use crate::pci::foreign::tests as shared;
use crate::pci::{functions, size_bar};
use ::pci_types::{Bar, EndpointHeader, PciHeader};

/// An access of a kernel that knows nothing of this crate's, and would fault out of its reach.
struct Kernel<'a, A>(&'a A);

impl<A: ConfigAccess> ConfigRegionAccess for Kernel<'_, A> {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        let address = ours(address).unwrap();
        shared::check_reach(address, offset);
        self.0.read32(address, offset)
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        let address = ours(address).unwrap();
        shared::check_reach(address, offset);
        self.0.write32(address, offset, value);
    }
}

fn theirs<A: ConfigAccess>(access: &A) -> Theirs<Kernel<'_, A>> {
    // SAFETY: `Kernel` bears every register below 100h on these buses.
    unsafe { Theirs::new(Kernel(access), shared::BUSES) }
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
fn their_headers_read_ours() {
    let space = shared::space();
    let access = Ours(&space);
    for function in functions(&space) {
        let header = PciHeader::new(function.address.into());
        assert_eq!(header.id(access), (function.vendor, function.device));
        assert_eq!(header.has_multiple_functions(access), function.multi_function);
        let (revision, base, sub, interface) = header.revision_and_class(access);
        assert_eq!((revision, u32::from_be_bytes([0, base, sub, interface])), (function.revision, function.class));
    }
}

#[test]
fn their_sizing_of_a_bar_gives_what_ours_gives_and_leaves_it() {
    let machine = Machine::new(Hypervisor::Qemu, 5, Function::ivshmem_doorbell(1 << 20, 2)).unwrap();
    let before = machine.space().contents();
    let header = EndpointHeader::from_header(PciHeader::new(Machine::ADDRESS.into()), Ours(&machine)).unwrap();
    let Some(Bar::Memory64 { address, size, prefetchable: true }) = header.bar(2, Ours(&machine)) else {
        panic!("no 64-bit prefetchable BAR2")
    };
    assert_eq!(size, size_bar(&machine, Machine::ADDRESS, 2).unwrap());
    assert_eq!(address, crate::pci::bar(&machine, Machine::ADDRESS, 2).unwrap().address);
    assert_eq!(machine.space().contents(), before);
}

#[test]
fn an_address_keeps_all_its_parts() {
    for text in ["0000:00:00.0", "ffff:ff:1f.7", "1234:81:02.3"] {
        let address: Address = text.parse().unwrap();
        let theirs = PciAddress::from(address);
        assert_eq!((std::format!("{theirs}").as_str(), ours(theirs)), (text, Some(address)));
    }
}
