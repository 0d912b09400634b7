//! Restarts: of either end, and of the channel within a session.

use super::*;
use Status::{SomeLost, WrongSource};

/// Attaches the Second end anew, as after a reboot, and meets again.
fn reboot_sender(way: &mut Way) {
    let (link, mut channels) = attach(way.spy.window(0, way.spy.len()).unwrap(), End::Second);
    way.sender = channels.protected_sender(0, SOURCE).unwrap();
    way.links.1 = link;
    way.channels.1 = channels;
    connect(&mut way.links.0, &mut way.links.1);
}

#[test]
fn a_message_of_an_earlier_session_is_of_the_wrong_source() {
    let mut way = way();
    way.send([10]);
    let old = way.read(0);
    assert_eq!(way.drain(), [(10, Status::Ok)]);
    reboot_sender(&mut way);
    let restarted = RecvError::PeerRestarted { lost_at_most: SLOTS as u32 };
    assert_eq!(way.receiver.try_recv(&mut [0; 32], 0), Err(restarted));
    way.send([20, 21]);
    way.write(0, old);
    // The same data id, source and sequence: the session alone tells.
    let wrong = WrongSource { data_id: 0x51, source: SOURCE, session: FIRST_SESSION.bits() };
    assert_eq!(way.drain(), [(10, wrong), (21, SomeLost { lost: 1 })]);
}

#[test]
fn each_session_counts_from_0_whichever_end_restarts() {
    let mut way = way();
    for round in 0..4 {
        way.send([1, 2, 3]);
        assert_eq!(way.drain(), [(1, Status::Ok), (2, Status::Ok), (3, Status::Ok)], "round {round}");
        // Not received: lost, and said so by the restart, not by a gap in the new session.
        way.send([4, 5]);
        if round % 2 == 0 {
            reboot_sender(&mut way);
            assert!(matches!(way.receiver.try_recv(&mut [0; 32], 0), Err(RecvError::PeerRestarted { .. })));
        } else {
            let (link, mut channels) = attach(way.spy.window(0, way.spy.len()).unwrap(), End::First);
            way.receiver = channels.protected_receiver(0, EXPECTED, 0).unwrap();
            way.links.0 = link;
            way.channels.0 = channels;
            connect(&mut way.links.0, &mut way.links.1);
            assert!(matches!(way.sender.try_send(b"x"), Err(SendError::PeerRestarted { lost_at_most: 1.. })));
        }
        assert_eq!(way.receiver.state(0), State::NoData, "what came in the last session says nothing about this one");
    }
    way.send([6]);
    assert_eq!(way.drain(), [(6, Status::Ok)]);
}

#[test]
fn a_channel_restarted_within_a_session_counts_on_and_shows_exactly_what_it_lost() {
    let mut way = way();
    way.send([1, 2]);
    assert_eq!(way.drain(), [(1, Status::Ok), (2, Status::Ok)]);
    // By the sender: two are under way.
    way.send([3, 4]);
    assert_eq!(way.sender.resync(), 4);
    assert!(matches!(way.receiver.try_recv(&mut [0; 32], 0), Err(RecvError::PeerResynced { .. })));
    way.send([5]);
    assert_eq!(way.drain(), [(5, SomeLost { lost: 2 })]);
    // By the receiver: three are.
    way.send([6, 7, 8]);
    way.receiver.resync();
    way.links.1.poll(0);
    assert!(matches!(way.sender.try_send(b"x"), Err(SendError::PeerResynced { .. })));
    way.send([9, 10]);
    assert_eq!(way.drain(), [(9, SomeLost { lost: 3 }), (10, Status::Ok)]);
    assert_eq!(way.receiver.counts().lost, 5);
}

#[test]
fn sent_is_received_and_lost_over_violations_and_resyncs() {
    let mut way = way();
    let mut sent = 0;
    for round in 0..50u64 {
        for message in 0..1 + round % 6 {
            sent += u64::from(way.sender.try_send(&[message as u8; 9]).map(Notice::ignore).is_ok());
        }
        if round % 3 == 0 {
            // The next slot's header is struck.
            let slot = way.slot(way.receiver.stats().received as usize);
            way.spy.store(slot, way.spy.load(slot) ^ 0xff);
        }
        way.links.0.poll(0);
        way.links.1.poll(0);
        while let Ok(Some(_)) = way.receiver.try_recv(&mut [0; 32], 0) {}
        if way.receiver.stats().violations > 0 {
            way.receiver.resync();
        }
    }
    // Let the last restart come through, and one more message show what came before it.
    while way.sender.try_send(b"the last").map(Notice::ignore).is_err() {
        way.links.1.poll(0);
    }
    let last = loop {
        match way.receiver.try_recv(&mut [0; 32], 0).map(|checked| checked.map(|checked| checked.bytes == b"the last"))
        {
            Ok(None) => panic!("the last message is gone"),
            Ok(Some(true)) => break sent + 1,
            _ => {}
        }
    };
    let stats = way.receiver.stats();
    assert!(stats.violations > 5 && way.receiver.counts().lost > 0, "{stats:?}");
    assert_eq!(last, stats.received + way.receiver.counts().lost);
}
