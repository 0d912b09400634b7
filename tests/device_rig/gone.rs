//! A device that no longer decodes, and one that is no longer there.

use crate::rig::{BARS, ID, Rig, messages};
use crate::site::{HOST, Site};
use crate::witness::Witness;
use ivshmem::device::{DeviceGone, OpenError};
use ivshmem::memory::Memory;
use ivshmem::msix::MsixError;
use ivshmem::notify::Doorbell;
use ivshmem::pci::Command;

#[test]
fn without_decode_registers_read_zero_doorbells_are_dropped_and_the_device_is_present() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let messages = messages(4);
    let mut device = rig.open().unwrap();
    let mut interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    let doorbell = device.doorbell().unwrap();
    rig.set_command(Command::empty());

    assert_eq!(rig.qemu.read32(BARS[0] + 8), 0, "not all-ones: IVPosition tells nothing");
    assert_eq!(doorbell.ring(HOST, 1), Ok(()));
    assert_eq!(site.waiting(), []);
    assert_eq!(device.check_present(&rig), Ok(()));
    assert_eq!(interrupts.pending(0), Ok(false));
    assert_eq!(interrupts.mask(0), Ok(()));
    // The memory is reached by the host process still, and by the guest no more.
    rig.peer_memory().publish(0, 7);
    assert_eq!(rig.qemu.read32(BARS[2]), 0);

    // Enabling puts decode and Bus Master back.
    drop(interrupts);
    let _interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    assert_eq!(rig.command(), Command::MEMORY | Command::BUS_MASTER);
    assert_eq!(rig.qemu.read32(BARS[2]), 7);
    doorbell.ring(HOST, 1).unwrap();
    assert_eq!(site.waiting(), [1]);
}

#[test]
fn a_table_that_does_not_decode_is_an_error_and_no_interrupt() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let mut device = rig.open().unwrap();
    // Firmware, or another driver, moved BAR1 away from under this one.
    let moved = [Some(BARS[0]), Some(0xFEA8_0000), Some(BARS[2])];
    rig.assign(crate::rig::DEVICE, moved);
    let before = rig.config();
    assert_eq!(device.enable_interrupts(&rig, &messages(2)).unwrap_err(), MsixError::NotStored { vector: 0 });
    assert_eq!(rig.config(), before, "configuration space is as it was");
}

#[test]
fn an_ejected_device_is_gone_for_every_call_and_nothing_spins() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(4);
    let mut device = rig.open().unwrap();
    let doorbell = device.doorbell().unwrap();
    let memory = device.memory().unwrap();
    let mut interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    site.ring(ID, 0);
    rig.expect(messages[0]);

    rig.eject();
    assert!(rig.config().iter().all(|register| *register == u32::MAX), "{:x?}", rig.config());
    assert_eq!(device.check_present(&rig), Err(DeviceGone));
    assert_eq!(doorbell.ring(HOST, 0), Ok(()));
    assert_eq!((interrupts.mask(0), interrupts.unmask(0)), (Ok(()), Ok(())));
    rig.take_trace();
    assert_eq!(device.enable_interrupts(&rig, &messages).unwrap_err(), MsixError::DeviceGone);
    assert_eq!(interrupts.close(&rig), Err(MsixError::DeviceGone));
    assert_eq!(rig.open().unwrap_err(), OpenError::Absent(crate::rig::DEVICE));
    assert!(rig.take_trace().len() < 30, "accesses to a device that is gone");

    // Its peers are not told: QEMU goes on holding the server's connection. What they ring, nobody hears.
    site.ring(ID, 0);
    witness.settle(&rig, &site);
    assert_eq!(site.host.process().unwrap(), None);
    assert_eq!((rig.take(messages[0]), site.waiting()), (None, vec![]));
    // The memory that is mapped is memory still.
    memory.publish(8, 9);
    assert_eq!(rig.peer_memory().load(8), 9);
}
