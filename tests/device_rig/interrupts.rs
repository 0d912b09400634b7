//! Being rung: vector table, pending bits and messages.

use crate::rig::{ID, Rig, messages};
use crate::site::Site;
use crate::witness::Witness;
use embedded_hal::delay::DelayNs;
use ivshmem::msix::{Message, MsixError};
use ivshmem::pci::Command;
use std::cell::RefCell;

#[test]
fn each_vector_sends_its_own_message() {
    let mut site = Site::new(8);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let messages = messages(8);
    let _interrupts = rig.open().unwrap().enable_interrupts(&rig, &messages).unwrap();
    for vector in [7, 0, 3] {
        site.ring(ID, vector);
        rig.expect(messages[usize::from(vector)]);
        assert!(messages.iter().all(|message| rig.take(*message).is_none()), "and no other");
    }
}

#[test]
fn a_masked_vectors_doorbells_become_one_message_that_comes_on_unmasking() {
    let mut site = Site::new(64);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(40);
    let mut interrupts = rig.open().unwrap().enable_interrupts(&rig, &messages).unwrap();
    // Bits in both words.
    for vector in [0, 31, 32, 39] {
        assert_eq!(interrupts.pending(vector), Ok(false));
        interrupts.mask(vector).unwrap();
        for _ in 0..10 {
            site.ring(ID, vector);
            witness.settle(&rig, &site);
        }
        let message = messages[usize::from(vector)];
        assert_eq!((interrupts.pending(vector), rig.take(message)), (Ok(true), None));
        interrupts.unmask(vector).unwrap();
        assert_eq!((interrupts.pending(vector), rig.take(message)), (Ok(false), Some(0x40)), "at once");
        witness.settle(&rig, &site);
        assert_eq!(rig.take(message), None, "once");
    }
}

#[test]
fn a_storm_on_one_vector_reaches_it_and_delays_no_other() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(4);
    let mut interrupts = rig.open().unwrap().enable_interrupts(&rig, &messages).unwrap();
    for round in 0..100 {
        for _ in 0..100 {
            site.ring(ID, 0);
        }
        if round == 50 {
            // The storm is at its height: another vector gets through.
            site.ring(ID, 3);
            rig.expect(messages[3]);
            // As a handler does under a storm.
            interrupts.mask(0).unwrap();
            witness.settle(&rig, &site);
            rig.take(messages[0]).expect("the storm before the mask");
        }
    }
    witness.settle(&rig, &site);
    assert_eq!((rig.take(messages[0]), interrupts.pending(0)), (None, Ok(true)), "masked");
    interrupts.unmask(0).unwrap();
    assert_eq!(rig.take(messages[0]), Some(0x40), "5000 doorbells, one message");
    witness.settle(&rig, &site);
    assert_eq!(rig.take(messages[0]), None);
}

#[test]
fn doorbells_before_interrupts_are_enabled_are_lost() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(2);
    let mut device = rig.open().unwrap();
    site.ring(ID, 0);
    witness.settle(&rig, &site);
    let interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    witness.settle(&rig, &site);
    assert_eq!((interrupts.pending(0), rig.take(messages[0])), (Ok(false), None), "so look at the memory once");
    site.ring(ID, 0);
    rig.expect(messages[0]);
}

#[test]
fn vectors_not_in_use_stay_masked_even_if_an_earlier_image_left_them_open() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(4);
    let _left_open = rig.open().unwrap().enable_interrupts(&rig, &messages).unwrap();
    let mut interrupts = rig.open().unwrap().enable_interrupts(&rig, &messages[..1]).unwrap();
    for vector in 1..4 {
        site.ring(ID, vector);
        assert_eq!(interrupts.unmask(vector), Err(MsixError::NotInUse { vector, used: 1 }));
    }
    witness.settle(&rig, &site);
    assert!(messages.iter().all(|message| rig.take(*message).is_none()));
    site.ring(ID, 0);
    rig.expect(messages[0]);
}

#[test]
fn without_bus_master_a_doorbell_is_dropped_and_nothing_tells() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(2);
    let interrupts = rig.open().unwrap().enable_interrupts(&rig, &messages).unwrap();
    let enabled = rig.command();
    assert_eq!(enabled, Command::MEMORY | Command::BUS_MASTER);
    rig.set_command(Command::MEMORY);
    site.ring(ID, 1);
    witness.settle(&rig, &site);
    assert_eq!((interrupts.pending(1), rig.take(messages[1])), (Ok(false), None));
    rig.set_command(enabled);
    witness.settle(&rig, &site);
    assert_eq!(rig.take(messages[1]), None, "lost for good");
    site.ring(ID, 1);
    rig.expect(messages[1]);
}

#[test]
fn vectors_beyond_those_a_doorbell_register_can_name_work_with_pending_bits_behind_a_longer_table() {
    let mut site = Site::new(300);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let mut device = rig.open().unwrap();
    let messages: Vec<_> = (0..300).map(|n| Message::new(n / 224, (32 + n % 224) as u8).unwrap()).collect();
    let mut interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    site.ring(ID, 299);
    rig.expect(messages[299]);
    interrupts.mask(299).unwrap();
    site.ring(ID, 299);
    witness.settle(&rig, &site);
    assert_eq!(
        (interrupts.pending(299), interrupts.pending(298), interrupts.pending(43)),
        (Ok(true), Ok(false), Ok(false))
    );
}

#[test]
fn a_refused_enabling_leaves_configuration_space_bit_for_bit() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let mut device = rig.open().unwrap();
    let before = rig.config();
    let too_many = MsixError::TooManyMessages { messages: 5, vectors: 4 };
    assert_eq!(device.enable_interrupts(&rig, &messages(5)).unwrap_err(), too_many);
    assert_eq!(device.enable_interrupts(&rig, &[]).unwrap_err(), MsixError::NoMessages);
    assert_eq!(rig.config(), before);
}

/// A wait in which QEMU gets on.
struct Turns<'a>(&'a dyn Fn());

impl DelayNs for Turns<'_> {
    fn delay_ns(&mut self, _: u32) {
        (self.0)();
    }
}

#[test]
fn a_self_test_hears_every_vector_but_the_masked_one() {
    let mut site = Site::new(16);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(16);
    let mut device = rig.open().unwrap();
    let mut interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    let counts = RefCell::new([0; 16]);
    let count = |vector: u16| {
        let fired = rig.take(messages[usize::from(vector)]).is_some();
        let count = &mut counts.borrow_mut()[usize::from(vector)];
        *count += u32::from(fired);
        *count
    };
    let settle = || witness.settle(&rig, &site);
    let test = |interrupts: &ivshmem::msix::Interrupts| {
        interrupts.self_test(&device.doorbell().unwrap(), device.id(), count, &mut Turns(&settle), 10)
    };
    let arrived = test(&interrupts);
    assert!(arrived.all(), "{arrived}");
    interrupts.mask(9).unwrap();
    assert_eq!(test(&interrupts).missing().collect::<Vec<_>>(), [9]);
}
