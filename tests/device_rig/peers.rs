//! Peers that come and go, and a server that goes.

use crate::rig::{ID, Rig, messages};
use crate::site::{HOST, Site, until_rung};
use crate::witness::Witness;
use ivshmem::notify::Doorbell;
use ivshmem_server::Client;
use ivshmem_server::client::{News, RingError};

#[test]
fn a_peer_that_left_is_rung_for_nothing_and_one_that_comes_back_has_another_id() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(2);
    let mut device = rig.open().unwrap();
    let doorbell = device.doorbell().unwrap();
    let _interrupts = device.enable_interrupts(&rig, &messages).unwrap();

    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut peer = Client::connect(site.socket()).unwrap();
        ids.push(peer.id());
        site.meet(peer.id());
        while peer.peers().filter(|(_, vectors)| *vectors == 2).count() < 3 || peer.vectors().len() < 2 {
            peer.wait(None).unwrap().unwrap();
        }
        // It knows the device, so the device's QEMU was told of it; whether QEMU has listened, the doorbell tells.
        peer.ring(ID, 1).unwrap();
        rig.expect(messages[1]);
        until_rung(&peer, || doorbell.ring(peer.id(), 0).unwrap());
        let id = peer.id();
        drop(peer);
        while site.news() != (News::PeerLeft { peer: id }) {}
        assert_eq!(doorbell.ring(id, 0), Ok(()), "nobody tells");
        assert_eq!(site.host.ring(id, 0), Err(RingError::NoPeer(id)));
        // The others go on.
        doorbell.ring(HOST, 1).unwrap();
        assert_eq!((site.waiting(), site.rung(1)), (vec![1], 1));
        site.ring(ID, 0);
        rig.expect(messages[0]);
    }
    // The rig's last peer is HOST + 3.
    assert_eq!(ids, [HOST + 4, HOST + 5, HOST + 6]);
    witness.settle(&rig, &site);
}

#[test]
fn a_server_that_dies_takes_no_doorbell_and_no_memory_with_it() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let messages = messages(2);
    let mut device = rig.open().unwrap();
    let interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    site.close_server();
    while site.news() != News::ServerGone {}
    for vector in [0, 1] {
        device.doorbell().unwrap().ring(HOST, vector).unwrap();
        assert_eq!(site.rung(vector), 1);
        site.ring(ID, vector);
        rig.expect(messages[usize::from(vector)]);
    }
    interrupts.close(&rig).unwrap();
    // The device is opened anew without a server.
    let again = rig.open().unwrap();
    assert_eq!(again.id(), ID);
    assert!(Client::connect(site.socket()).is_err());
}
