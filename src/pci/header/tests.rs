use super::*;
use crate::fake::config::{ConfigSpace, Cycle, Function as Fake};
use std::format;

fn at() -> Address {
    "00:04.0".parse().unwrap()
}

#[test]
fn a_function_says_who_it_is() {
    let fake = Fake::new(0x1AF4, 0x1110).class(0x05_0102, 7).header_type(1).multi_function();
    let function = Function::read(&ConfigSpace::new().with(at(), fake), at()).unwrap();
    let Function { address, vendor, device, revision, class, header_type, multi_function } = function;
    assert_eq!((address, vendor, device, revision), (at(), 0x1AF4, 0x1110, 7));
    assert_eq!((class, header_type, multi_function), (0x05_0102, 1, true));
}

#[test]
fn vendor_ffff_and_0_mean_nobody_after_one_read() {
    for vendor in [0xFFFF, 0] {
        let space = ConfigSpace::new().with(at(), Fake::new(vendor, 0x1234));
        assert_eq!(Function::read(&space, at()), None);
        assert_eq!(space.take_cycles().len(), 1);
    }
}

#[test]
fn command_is_written_with_16_bits_so_that_status_stays_on_acrn() {
    let fake = Fake::ivshmem_doorbell(4096, 1).plain_storage();
    let space = ConfigSpace::new().with(at(), fake);
    let header = Header::new(&space, at());
    header.set_command(header.command() | Command::MEMORY | Command::BUS_MASTER);
    let last = space.take_cycles().pop();
    assert_eq!(last, Some(Cycle::Write16 { address: at(), offset: 4, value: 6 }));
    assert_eq!(header.command(), Command::MEMORY | Command::BUS_MASTER);
    assert_eq!(header.status(), Status::CAPABILITIES);
}

#[test]
fn unknown_command_bits_are_written_back_as_they_were() {
    let space = ConfigSpace::new().with(at(), Fake::new(1, 2).command(0xF8B8));
    let header = Header::new(&space, at());
    space.take_cycles();
    header.set_command(header.command() | Command::MEMORY);
    assert_eq!(space.take_cycles().pop(), Some(Cycle::Write16 { address: at(), offset: 4, value: 0xF8BA }));
}

#[test]
fn the_subsystem_is_vendor_and_id() {
    let space = ConfigSpace::new().with(at(), Fake::new(1, 2).subsystem(0x8086, 0x1000));
    assert_eq!(Header::new(&space, at()).subsystem(), (0x8086, 0x1000));
}

#[test]
fn flags_show_their_names() {
    assert_eq!(format!("{:?}", Command::MEMORY | Command::BUS_MASTER), "Command(MEMORY | BUS_MASTER)");
}
