//! Words that no honest peer writes, and the way back from them.

use super::{CHANNELS, connect, pair, second_section};
use ivshmem::channel::wire::{self, Header};
use ivshmem::channel::*;
use ivshmem::memory::Memory;

#[test]
fn violations_latch_count_once_leave_other_channels_alone_and_end_with_resync() {
    let (mut a, mut b, spy) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut other) = (ca.receiver(0).unwrap(), ca.receiver(2).unwrap());
    let (mut sender, mut other_sender) = (cb.sender(0).unwrap(), cb.sender(2).unwrap());
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    sender.try_send(b"good").unwrap().ignore();
    assert!(receiver.try_recv(&mut buffer).unwrap().is_some());

    let snapshot = Snapshot::new(&spy, &CHANNELS);
    assert_eq!(snapshot.slot(0, 0).unwrap().stamp, 1);
    let slot = snapshot.channel(0).unwrap().slots_at + 128; // 8 + 100 bytes round up to 128.
    type Attack = (fn(&mut Header), fn(u64) -> PeerViolation);
    let attacks: [Attack; 4] = [
        (|header| header.length = 101, |_| PeerViolation::Length { found: 101, max: 100 }),
        (|header| header.kind = 1, |_| PeerViolation::Kind { found: 1 }),
        (|header| header.stamp = 3, |found| PeerViolation::Header { expected_stamp: 2, found }),
        (|header| header.tag ^= 1, |found| PeerViolation::Header { expected_stamp: 2, found }),
    ];
    for (count, (attack, violation)) in attacks.into_iter().enumerate() {
        let key = snapshot.channel(0).unwrap().acknowledged.key;
        let mut header = Header { stamp: 2, length: 100, kind: 0, tag: key.tag() };
        attack(&mut header);
        spy.store(slot, header.to_word());
        let violation = violation(header.to_word());
        for _ in 0..3 {
            assert_eq!(receiver.try_recv(&mut buffer), Err(RecvError::Violated(violation)));
        }
        assert_eq!(receiver.stats().violations, count as u32 + 1);
        other_sender.try_send(b"alive").unwrap().ignore();
        assert_eq!(other.try_recv(&mut buffer), Ok(Some(&b"alive"[..])));

        // The receiver asks for a new ring; the sender notices by the half ring at the latest.
        receiver.resync();
        let mut refused = 0;
        for _ in 0..8 {
            match sender.try_send(b"again") {
                Ok(notice) => notice.ignore(),
                Err(error) => {
                    assert!(matches!(error, SendError::PeerResynced { lost_at_most: 1..=5 }), "{error}");
                    refused += 1;
                    break;
                }
            }
        }
        assert_eq!(refused, 1);
        assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
        sender.try_send(b"new").unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"new"[..])));
    }
    assert!(la.poll(0).is_up());
}

#[test]
fn an_impossible_acknowledgement_closes_the_sender_until_resync() {
    let (mut a, mut b, spy) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    for _ in 0..4 {
        sender.try_send(b"four").unwrap().ignore();
    }
    let acknowledged = wire::CHANNEL_LINES; // The First end's line of channel 0.
    let key = Snapshot::new(&spy, &CHANNELS).channel(0).unwrap().acknowledged.key;
    let forged = wire::Keyed { count: 5, key };
    spy.store(acknowledged, forged.to_word());
    let violation = PeerViolation::Acknowledged { found: 5, before: 0, sent: 4 };
    assert_eq!(sender.try_send(b"x"), Err(SendError::Violated(violation)));
    assert_eq!(sender.try_send(b"x"), Err(SendError::Violated(violation)));
    assert_eq!(sender.resync(), 4);
    assert_eq!(receiver.try_recv(&mut buffer), Err(RecvError::PeerResynced { lost_at_most: 8 }));
    for i in 0..100u8 {
        sender.try_send(&[i]).unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&[i][..])));
    }
}

#[test]
fn a_link_line_no_honest_peer_writes_is_a_violation_with_its_value() {
    let section = second_section();
    for (word, value, violation) in [
        (wire::link::STATE, 3, PeerViolation::State { found: 3 }),
        (wire::link::IDENTITY, 5, PeerViolation::Identity { found: 5 }),
    ] {
        let (mut a, mut b, spy) = pair();
        let ((mut la, mut ca), (mut lb, _)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
        let mut sender = ca.sender(1).unwrap();
        connect(&mut la, &mut lb);
        spy.store(section + word, value);
        assert_eq!(la.poll(0), LinkState::Violated(violation));
        assert_eq!(sender.try_send(b"x"), Err(SendError::NotUp));
        assert_eq!(la.stats().violations, 1);
        // It latches, even if the word is mended, until resync or a new epoch.
        spy.store(section + word, 1);
        if word == wire::link::IDENTITY {
            spy.store(section + word, 0);
        }
        assert_eq!(la.poll(0), LinkState::Violated(violation));
        la.resync();
        connect(&mut la, &mut lb);
    }
}

#[test]
fn the_acknowledgement_is_looked_at_once_a_poll_and_from_half_the_ring_on() {
    let (mut a, mut b, spy) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(None));
    let key = Snapshot::new(&spy, &CHANNELS).channel(0).unwrap().acknowledged.key;
    let forge = |count| spy.store(wire::CHANNEL_LINES, wire::Keyed { count, key }.to_word());
    forge(9);
    for _ in 0..4 {
        sender.try_send(b"not looked").unwrap().ignore();
    }
    let violation = PeerViolation::Acknowledged { found: 9, before: 0, sent: 4 };
    assert_eq!(sender.try_send(b"x"), Err(SendError::Violated(violation)));
    // With room, it is the next poll after which it is found.
    forge(0);
    sender.resync();
    assert!(matches!(receiver.try_recv(&mut [0; 100]), Err(RecvError::PeerResynced { .. })));
    let key = Snapshot::new(&spy, &CHANNELS).channel(0).unwrap().acknowledged.key;
    sender.try_send(b"one").unwrap().ignore();
    spy.store(wire::CHANNEL_LINES, wire::Keyed { count: 7, key }.to_word());
    sender.try_send(b"two").unwrap().ignore();
    lb.poll(0);
    let violation = PeerViolation::Acknowledged { found: 7, before: 0, sent: 2 };
    assert_eq!(sender.try_send(b"x"), Err(SendError::Violated(violation)));
}

#[test]
fn in_a_slot_used_before_only_its_last_header_is_no_violation() {
    let forgeries: [fn(&mut Header); 2] = [|header| header.stamp = 5, |header| header.tag ^= 1];
    for forge in forgeries {
        let (mut a, mut b, spy) = pair();
        let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
        let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
        connect(&mut la, &mut lb);
        let mut buffer = [0; 100];
        for _ in 0..8 {
            sender.try_send(b"a round").unwrap().ignore();
            assert!(receiver.try_recv(&mut buffer).unwrap().is_some());
        }
        assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
        let snapshot = Snapshot::new(&spy, &CHANNELS);
        let mut header = snapshot.slot(0, 0).unwrap();
        forge(&mut header);
        spy.store(snapshot.channel(0).unwrap().slots_at, header.to_word());
        let violation = PeerViolation::Header { expected_stamp: 9, found: header.to_word() };
        assert_eq!(receiver.try_recv(&mut buffer), Err(RecvError::Violated(violation)));
    }
}
