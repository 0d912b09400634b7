//! A section that somebody else writes too: a peer that does not keep to its own, or a third VM.

use super::{CHANNELS, connect, pair, second_section};
use ivshmem::channel::{wire, *};
use ivshmem::memory::{Memory, SharedMemory};

/// Every word of the First end's section but its link line, or all of it.
fn scribble(spy: &SharedMemory, value: u64, from: usize) {
    (from..second_section()).step_by(8).for_each(|offset| spy.store(offset, value));
}

#[test]
fn words_of_this_ends_section_that_others_change_change_nothing_here() {
    for value in [0, u64::MAX, 0x0101_0101_0101_0101] {
        let (mut a, mut b, spy) = pair();
        let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
        let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), ca.sender(1).unwrap());
        let mut peer = cb.sender(0).unwrap();
        connect(&mut la, &mut lb);
        let mut buffer = [0; 100];
        assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
        for _ in 0..8 {
            peer.try_send(&[7; 9]).unwrap().ignore();
        }
        for sent in 0..8 {
            scribble(&spy, value, 0);
            assert!(la.poll(0).is_up());
            assert_eq!(
                receiver.try_recv(&mut buffer),
                Ok(Some(&[7; 9][..])),
                "what the peer sent is in its own section"
            );
            // Its own account says how much room there is: 8 messages, since nobody acknowledges any.
            assert!(sender.try_send(&[sent; 100]).is_ok());
            let _either = receiver.arm();
        }
        assert_eq!(sender.try_send(b"x"), Err(SendError::Full));
        assert_eq!((receiver.stats().received, receiver.stats().violations), (8, 0));
        assert_eq!((sender.stats().sent, sender.stats().violations, la.stats().violations), (8, 0, 0));
    }
}

#[test]
fn what_others_wrote_there_is_healed_by_the_next_store_or_attach_of_either_end() {
    let (mut a, mut b, spy) = pair();
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let mut peer = cb.sender(0).unwrap();
    let (mut la, mut ca) = a.attach(Attach::polled());
    connect(&mut la, &mut lb);
    let mut receiver = ca.receiver(0).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    // Heartbeat and acknowledgement lie behind the link line's words; each is written again in its rhythm.
    scribble(&spy, 0, wire::HEARTBEAT);
    la.poll(0);
    assert_ne!(spy.load(wire::HEARTBEAT), 0);
    for _ in 0..2 {
        peer.try_send(b"12").unwrap().ignore();
        assert!(receiver.try_recv(&mut buffer).unwrap().is_some());
    }
    let acknowledged = Snapshot::new(&spy, &CHANNELS).channel(0).unwrap().acknowledged;
    assert_eq!(acknowledged.count, 2);
    // The whole section: an attach of the peer, or of this end, writes all that matters.
    scribble(&spy, u64::MAX, 0);
    assert!(la.poll(0).is_up(), "nothing here");
    lb.poll(0);
    assert!(!lb.poll(0).is_up());
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let mut peer = cb.sender(0).unwrap();
    connect(&mut la, &mut lb);
    assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::PeerRestarted { .. })));
    peer.try_send(b"healed").unwrap().ignore();
    assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"healed"[..])));
    scribble(&spy, u64::MAX, 0);
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut receiver = ca.receiver(0).unwrap();
    connect(&mut la, &mut lb);
    while peer.try_send(b"again").is_err() {}
    assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"again"[..])));
}

#[test]
fn a_link_that_is_up_has_channels_that_are_not_closed() {
    let (mut a, mut b, spy) = pair();
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let mut sender = cb.sender(0).unwrap();
    // A third VM, or an accident: Second's own words say that it closed. It heals them when it meets First.
    spy.store(second_section() + wire::link::STATE, wire::CLOSED);
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut receiver = ca.receiver(0).unwrap();
    la.poll(0);
    assert_eq!(la.poll(0), LinkState::Closed);
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None), "the link is up");
    sender.try_send(b"x").unwrap().ignore();
    assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"x"[..])));
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
}
