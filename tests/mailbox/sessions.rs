//! What a session is worth once it has ended: nothing of it comes back, and nothing that was sent in it is forgotten.

use super::{CHANNELS, connect, pair, second_section};
use ivshmem::channel::{wire, *};
use ivshmem::memory::Memory;

#[test]
fn what_a_closed_peer_left_is_not_received_again_after_a_new_attach() {
    let (mut a, mut b, _) = pair();
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let mut sender = cb.sender(0).unwrap();
    {
        let (mut la, mut ca) = a.attach(Attach::polled());
        let mut receiver = ca.receiver(0).unwrap();
        connect(&mut la, &mut lb);
        sender.try_send(b"once").unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(Some(&b"once"[..])));
        lb.close();
    }
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut receiver = ca.receiver(0).unwrap();
    for _ in 0..5 {
        la.poll(0);
        let received = receiver.try_recv(&mut [0; 100]).map(|message| message.map(<[u8]>::to_vec));
        assert!(matches!(received, Err(RecvError::NotUp | RecvError::Closed)), "{received:?}");
    }
    assert_eq!(la.poll(0), LinkState::Closed);
}

#[test]
fn a_life_between_two_polls_is_not_lost() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    lb.poll(0);
    assert_eq!(la.poll(0), LinkState::Waiting);
    // Answered by the other end, Second is up, sends, and closes before First looks again.
    assert!(lb.poll(0).is_up());
    sender.try_send(b"short").unwrap().ignore();
    sender.try_send(b"life").unwrap().ignore();
    lb.close();
    for _ in 0..2 {
        assert_eq!(la.poll(0), LinkState::Closed);
    }
    assert_eq!(la.stats().sessions, 1);
    assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(Some(&b"short"[..])));
    assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(Some(&b"life"[..])));
    assert_eq!(receiver.try_recv(&mut [0; 100]), Err(RecvError::Closed));
}

/// Scribbles on the Second end's link line so that First's link comes down, and mends it.
fn session_that_ended_though_the_peer_stayed(word: usize, value: u64, forgive: bool) {
    let (mut a, mut b, spy) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut from_b, mut to_b) = (ca.receiver(0).unwrap(), ca.sender(1).unwrap());
    let (mut to_a, mut from_a) = (cb.sender(0).unwrap(), cb.receiver(1).unwrap());
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    for _ in 0..3 {
        to_a.try_send(b"old").unwrap().ignore();
        assert_eq!(from_b.try_recv(&mut buffer), Ok(Some(&b"old"[..])));
        to_b.try_send(b"old").unwrap().ignore();
        assert_eq!(from_a.try_recv(&mut buffer), Ok(Some(&b"old"[..])));
    }
    to_a.try_send(b"lost").unwrap().ignore();

    let at = Snapshot::new(&spy, &CHANNELS).link(End::Second).offset + word;
    let honest = spy.load(at);
    spy.store(at, value);
    assert!(!la.poll(0).is_up());
    spy.store(at, honest);
    if forgive {
        la.resync();
    }
    connect(&mut la, &mut lb);
    // Both ends are told, and nothing of the ended session arrives.
    assert_eq!(from_b.try_recv(&mut buffer), Err(RecvError::PeerRestarted { lost_at_most: 8 }));
    assert_eq!(from_b.try_recv(&mut buffer), Ok(None));
    assert_eq!(from_a.try_recv(&mut buffer), Err(RecvError::PeerRestarted { lost_at_most: 8 }));
    assert!(matches!(to_a.try_send(b"new"), Err(SendError::PeerRestarted { .. })));
    assert!(matches!(to_b.try_send(b"new"), Err(SendError::PeerRestarted { .. })));
    for message in [b"new 1", b"new 2"] {
        to_a.try_send(message).unwrap().ignore();
        assert_eq!(from_b.try_recv(&mut buffer), Ok(Some(&message[..])));
        to_b.try_send(message).unwrap().ignore();
        assert_eq!(from_a.try_recv(&mut buffer), Ok(Some(&message[..])));
    }
    assert_eq!(from_b.try_recv(&mut buffer), Ok(None));
}

#[test]
fn a_pair_of_epochs_is_up_at_most_once() {
    use wire::link;
    session_that_ended_though_the_peer_stayed(link::STATE, 77, true);
    session_that_ended_though_the_peer_stayed(link::IDENTITY, 1, true);
    session_that_ended_though_the_peer_stayed(link::SEEN, 0x123, true);
    session_that_ended_though_the_peer_stayed(link::MAGIC, 0, false);
    session_that_ended_though_the_peer_stayed(link::DIGEST, 0, false);
    session_that_ended_though_the_peer_stayed(link::STATE, wire::CLOSED, false);
    session_that_ended_though_the_peer_stayed(link::EPOCH, 0, false);
}

/// More lives than the 12 bits of an epoch that a key has.
const LIVES: u32 = 4100;

#[test]
fn a_message_of_an_earlier_life_is_never_delivered_however_many_lives_passed() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach::polled());
    // Not called again: its line keeps the key of the first session.
    let mut alarms = ca.sender(1).unwrap();
    {
        let (mut lb, _) = b.attach(Attach::polled());
        connect(&mut la, &mut lb);
        alarms.try_send(b"stale").unwrap().ignore();
    }
    for life in 0..LIVES {
        let (mut lb, mut cb) = b.attach(Attach::polled());
        connect(&mut la, &mut lb);
        assert_eq!(cb.receiver(1).unwrap().try_recv(&mut [0; 100]), Ok(None), "life {life}");
    }
}

#[test]
fn a_message_of_an_earlier_life_is_not_delivered_after_somebody_set_the_count_of_lives_back() {
    let (mut a, mut b, spy) = pair();
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut alarms = ca.sender(1).unwrap();
    for life in 0..20 {
        // A hostile predecessor, or zeroed memory, has every life begin with the epoch of the first.
        spy.store(second_section() + wire::link::EPOCH, 0);
        let (mut lb, mut cb) = b.attach(Attach::polled());
        connect(&mut la, &mut lb);
        assert_eq!(cb.receiver(1).unwrap().try_recv(&mut [0; 100]), Ok(None), "life {life}");
        if life % 5 == 0 {
            // Refused once in each session that follows another.
            while alarms.try_send(b"stale").is_err() {}
        }
    }
}

#[test]
fn an_honest_receiver_is_not_accused_of_what_it_acknowledged_in_an_earlier_life_however_many_passed() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut commands = ca.receiver(0).unwrap();
    for life in 0..LIVES {
        let (mut lb, mut cb) = b.attach(Attach::polled());
        connect(&mut la, &mut lb);
        let mut sender = cb.sender(0).unwrap();
        for _ in 0..4 {
            sender.try_send(b"command").unwrap().ignore();
            // Never again: what it acknowledged in the first life stays.
            let received = if life == 0 { commands.try_recv(&mut [0; 100]).unwrap().is_some() } else { true };
            assert!(received);
        }
        lb.poll(0);
        assert_eq!(sender.room(), Ok(if life == 0 { 8 } else { 4 }), "life {life}");
    }
}

#[test]
fn a_sender_goes_no_further_ahead_than_its_receiver_can_follow() {
    for restarts in [1, 126, 127, 128, 200, 255, 256, 300] {
        let (mut a, mut b, _) = pair();
        let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
        let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
        connect(&mut la, &mut lb);
        sender.try_send(b"before").unwrap().ignore();
        assert!(receiver.try_recv(&mut [0; 100]).unwrap().is_some());
        // Restarted as often as it is full, while the receiver is asleep or stopped.
        for _ in 0..restarts {
            while sender.try_send(b"lost").is_ok() {}
            sender.resync();
        }
        assert_eq!(sender.stats().resyncs, restarts.min(126), "{restarts}");
        let mut buffer = [0; 100];
        let lost = receiver.try_recv(&mut buffer);
        assert!(matches!(lost, Err(RecvError::PeerResynced { .. })), "{restarts}: {lost:?}");
        while receiver.try_recv(&mut [0; 100]).unwrap().is_some() {}
        // Followed: it may restart again, and everything arrives.
        sender.resync();
        assert_eq!(sender.stats().resyncs, restarts.min(126) + 1);
        sender.try_send(b"after").unwrap().ignore();
        assert!(matches!(receiver.try_recv(&mut [0; 100]), Err(RecvError::PeerResynced { .. })));
        assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(Some(&b"after"[..])));
    }
}

#[test]
fn a_receiver_goes_no_further_ahead_than_its_sender_can_follow() {
    for restarts in [1, 126, 127, 128, 200, 255, 256, 300] {
        let (mut a, mut b, _) = pair();
        let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
        let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
        connect(&mut la, &mut lb);
        sender.try_send(b"before").unwrap().ignore();
        assert!(receiver.try_recv(&mut [0; 100]).unwrap().is_some());
        for _ in 0..restarts {
            receiver.resync();
            assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(None));
        }
        assert_eq!(receiver.stats().resyncs, restarts.min(126), "{restarts}");
        lb.poll(0);
        let lost = sender.try_send(b"lost");
        assert!(matches!(lost, Err(SendError::PeerResynced { .. })), "{restarts}: {lost:?}");
        // Followed, though this end has not looked: it may restart again.
        receiver.resync();
        assert_eq!(receiver.stats().resyncs, restarts.min(126) + 1);
        lb.poll(0);
        assert!(matches!(sender.try_send(b"lost"), Err(SendError::PeerResynced { .. })));
        sender.try_send(b"after").unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(Some(&b"after"[..])));
    }
}
