//! Ringing peers.

use crate::rig::{ID, Rig, messages};
use crate::site::{HOST, Site};
use crate::witness::Witness;
use ivshmem::device::RingError;
use ivshmem::notify::Doorbell;

#[test]
fn a_doorbell_reaches_the_vector_and_the_peer_that_it_names_and_nothing_else() {
    let mut site = Site::new(256);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let doorbell = rig.open().unwrap().doorbell().unwrap();
    for vector in [0, 1, 128, 255] {
        doorbell.ring(HOST, vector).unwrap();
        assert_eq!(site.waiting(), [vector]);
        assert_eq!(site.rung(vector), 1);
    }
    assert_eq!(site.waiting(), []);
}

#[test]
fn doorbells_that_nobody_took_yet_become_one() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let doorbell = rig.open().unwrap().doorbell().unwrap();
    for _ in 0..100 {
        doorbell.ring(HOST, 1).unwrap();
    }
    assert_eq!(site.rung(1), 100, "one wake-up");
    assert_eq!(site.waiting(), []);
}

#[test]
fn a_doorbell_to_nobody_is_dropped_and_its_sender_never_knows() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let doorbell = rig.open().unwrap().doorbell().unwrap();
    // No such peer, no such vector of a peer.
    for (peer, vector) in [(HOST - 1, 0), (0, 0), (u16::MAX, 1), (HOST, 2), (HOST, 255)] {
        assert_eq!(doorbell.ring(peer, vector), Ok(()));
    }
    assert_eq!(site.waiting(), []);
    doorbell.ring(HOST, 0).unwrap();
    assert_eq!(site.waiting(), [0]);
}

#[test]
fn a_vector_that_would_ring_another_one_is_refused() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let doorbell = rig.open().unwrap().doorbell().unwrap();
    for vector in [256, 257, u16::MAX] {
        assert_eq!(doorbell.ring(HOST, vector), Err(RingError::Vector { vector, vectors: 256 }));
    }
    assert_eq!(site.waiting(), []);
    // Why: of a vector that the peer does not have, QEMU takes the lowest 8 bits.
    rig.ring_by_hand(HOST, 257);
    assert_eq!(site.waiting(), [1]);
}

#[test]
fn a_device_can_ring_itself() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let mut device = rig.open().unwrap();
    let messages = messages(2);
    let _interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    device.doorbell().unwrap().ring(ID, 1).unwrap();
    rig.expect(messages[1]);
    Witness::new(&rig).settle(&rig, &site);
    assert_eq!((rig.take(messages[0]), site.waiting()), (None, vec![]));
}
