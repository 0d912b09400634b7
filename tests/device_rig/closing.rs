//! Closing and reset: what is given back, and what stays.

use crate::rig::{BARS, DEVICE, ID, Rig, messages};
use crate::site::{LIMIT, Site};
use crate::witness::Witness;
use ivshmem::memory::Memory;
use ivshmem::pci::Command;
use std::time::Instant;

#[test]
fn closing_gives_configuration_space_back_bit_for_bit_and_masks_every_vector() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(3);
    for before in [Command::MEMORY, Command::MEMORY | Command::BUS_MASTER | Command::SERR] {
        rig.set_command(before);
        let mut device = rig.open().unwrap();
        let config = rig.config();
        let interrupts = device.enable_interrupts(&rig, &messages).unwrap();
        assert_eq!(rig.command(), before | Command::BUS_MASTER);
        interrupts.close(&rig).unwrap();
        assert_eq!(rig.config(), config);
        for entry in 0..4 {
            assert_eq!(rig.qemu.read32(BARS[1] + 16 * entry + 12), 1, "vector {entry}");
        }
        for vector in 0..4 {
            site.ring(ID, vector);
        }
        witness.settle(&rig, &site);
        assert!(messages.iter().all(|message| rig.take(*message).is_none()));
        // And once more.
        let interrupts = device.enable_interrupts(&rig, &messages).unwrap();
        site.ring(ID, 2);
        rig.expect(messages[2]);
        interrupts.close(&rig).unwrap();
    }
}

#[test]
fn a_vector_rung_while_masked_and_closed_over_comes_after_the_next_enabling() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(2);
    let mut device = rig.open().unwrap();
    let mut interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    interrupts.mask(1).unwrap();
    site.ring(ID, 1);
    witness.settle(&rig, &site);
    interrupts.close(&rig).unwrap();
    assert_eq!(rig.take(messages[1]), None);
    // QEMU keeps pending bits while MSI-X is off: a spurious interrupt of the next life, which means nothing.
    let interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    rig.expect(messages[1]);
    assert_eq!(interrupts.pending(1), Ok(false));
}

#[test]
fn a_reset_takes_bars_and_interrupts_away_and_leaves_id_and_memory() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let messages = messages(2);
    let mut device = rig.open().unwrap();
    let interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    device.memory().unwrap().publish(64, 0xDEAD);
    // The reset control register of the chipset; QEMU resets from its main loop.
    rig.qemu.out8(0xCF9, 6);
    let start = Instant::now();
    while !rig.command().is_empty() {
        assert!(start.elapsed() < LIMIT, "no reset");
    }
    // Whoever goes on with an earlier value meets nothing that harms.
    assert_eq!(interrupts.pending(0), Ok(false));
    interrupts.close(&rig).unwrap();
    assert!(rig.open().is_err(), "no BAR is assigned");

    rig.assign(DEVICE, BARS.map(Some));
    let mut device = rig.open().unwrap();
    assert_eq!((device.id(), device.memory().unwrap().load(64)), (ID, 0xDEAD));
    let _interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    site.ring(ID, 1);
    rig.expect(messages[1]);
}
