//! A channel's restart within a session, and a session's end, while the other end is in the middle of a call.

use super::*;
use loom::thread;

#[test]
fn a_ring_that_its_sender_restarts_under_a_receivers_eyes_gives_no_message_of_two_generations() {
    explore(Bound::Preemptions(4), &CHANNELS, |mut first, mut second| {
        let (mut sender, mut receiver) = halves(&mut first, &mut second);
        send(&mut sender, 1).unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut [0; 4]), Err(RecvError::BufferTooSmall { need: 16, have: 4 }));
        let sending = thread::spawn(move || {
            assert_eq!(sender.resync(), 1);
            send(&mut sender, 2).unwrap().ignore();
        });
        let mut received = await_message(&mut receiver);
        if received == Ok(1) {
            received = await_message(&mut receiver);
        }
        assert_eq!(received, Err(RecvError::PeerResynced { lost_at_most: 4 }));
        assert_eq!(await_message(&mut receiver), Ok(2));
        sending.join().unwrap();
    });
}

#[test]
fn a_ring_that_its_receiver_restarts_gives_nothing_sent_before() {
    explore(Bound::None, &CHANNELS, |mut first, mut second| {
        let (mut sender, mut receiver) = halves(&mut first, &mut second);
        for _ in 1..=2 {
            send(&mut sender, 1).unwrap().ignore();
        }
        assert_eq!(receiver.try_recv(&mut [0; 4]), Err(RecvError::BufferTooSmall { need: 16, have: 4 }));
        let sending = thread::spawn(move || {
            while let Ok(notice) = send(&mut sender, 1) {
                notice.ignore();
            }
            assert_eq!(sender.stats().resyncs, 1);
            send(&mut sender, 2).unwrap().ignore();
        });
        receiver.resync();
        assert_eq!(await_message(&mut receiver), Ok(2));
        sending.join().unwrap();
    });
}

/// Polls, letting others go on, until the link is up.
fn await_up(link: &mut Link<'_, Memory>) {
    while !link.poll(0).is_up() {
        thread::yield_now();
    }
}

#[test]
fn a_peer_that_attaches_anew_is_noticed_and_nothing_of_its_earlier_life_is_received_after() {
    explore(Bound::Preemptions(1), &CHANNELS, |mut first, mut second| {
        let mut receiver = second.channels.receiver(0).unwrap();
        send(&mut first.channels.sender(0).unwrap(), 1).unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut [0; 4]), Err(RecvError::BufferTooSmall { need: 16, have: 4 }));
        let restarting = thread::spawn(move || {
            // SAFETY: the sender was a temporary value.
            let mut first = unsafe { first.attach_anew() };
            await_up(&mut first.link);
            let mut sender = first.channels.sender(0).unwrap();
            send(&mut sender, 2).unwrap().ignore();
        });
        let mut noticed = false;
        loop {
            let state = second.link.poll(0);
            assert!(matches!(state, LinkState::Up { .. } | LinkState::PeerRestarted | LinkState::Waiting), "{state:?}");
            match receiver.try_recv(&mut [0; 16]) {
                Ok(Some(bytes)) if noticed => break assert_eq!(number(bytes), 2),
                Ok(Some(bytes)) => assert_eq!(number(bytes), 1),
                Ok(None) | Err(RecvError::NotUp) => {}
                Err(RecvError::PeerRestarted { .. }) => noticed = true,
                Err(error) => panic!("{error}"),
            }
            thread::yield_now();
        }
        assert_eq!((second.link.stats().peer_restarts, second.link.stats().violations), (1, 0));
        restarting.join().unwrap();
    });
}

#[test]
fn a_half_on_another_core_than_the_link_follows_it_into_the_next_session() {
    explore(Bound::None, &CHANNELS, |mut first, mut second| {
        let mut receiver = second.channels.receiver(0).unwrap();
        send(&mut first.channels.sender(0).unwrap(), 1).unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut [0; 4]), Err(RecvError::BufferTooSmall { need: 16, have: 4 }));
        // SAFETY: the sender was a temporary value.
        let mut first = unsafe { first.attach_anew() };
        first.link.poll(0);
        let polling = thread::spawn(move || {
            assert_eq!(second.link.poll(0), LinkState::PeerRestarted);
            assert!(second.link.poll(0).is_up());
        });
        loop {
            match receiver.try_recv(&mut [0; 16]) {
                Ok(None) | Err(RecvError::NotUp) => thread::yield_now(),
                Err(RecvError::PeerRestarted { lost_at_most: 4 }) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(receiver.try_recv(&mut [0; 16]), Ok(None));
        polling.join().unwrap();
        await_up(&mut first.link);
        send(&mut first.channels.sender(0).unwrap(), 2).unwrap().ignore();
        assert_eq!(await_message(&mut receiver), Ok(2));
    });
}

#[test]
fn what_a_peer_sent_before_it_closed_is_received_before_the_close_is_answered() {
    explore(Bound::Preemptions(3), &CHANNELS, |mut first, mut second| {
        let (mut sender, mut receiver) = halves(&mut first, &mut second);
        send(&mut sender, 1).unwrap().ignore();
        assert_eq!(await_message(&mut receiver), Ok(1));
        // The receiver's link is on another core than the receiver.
        let closing = thread::spawn(move || {
            send(&mut sender, 2).unwrap().ignore();
            first.link.close();
            assert_eq!(second.link.poll(0), LinkState::Closed);
        });
        assert_eq!(await_message(&mut receiver), Ok(2));
        assert_eq!(await_message(&mut receiver), Err(RecvError::Closed));
        closing.join().unwrap();
    });
}

#[test]
fn a_half_on_another_core_than_the_link_that_sees_the_session_knows_that_its_peer_wants_doorbells() {
    explore(Bound::None, &CHANNELS, |mut first, second| {
        let mut sender = first.channels.sender(0).unwrap();
        // Without a yield on the way: after one, loom shows a thread nothing again that it saw before.
        let meet = |first: &mut Side, second: &mut Side| {
            assert_eq!(first.link.poll(0), LinkState::PeerRestarted);
            second.link.poll(0);
            assert!(second.link.poll(0).is_up());
        };
        // A peer that wants no doorbells comes before.
        // SAFETY: no half of it was taken.
        let mut second = unsafe { second.attach_anew_as(Attach::polled()) };
        meet(&mut first, &mut second);
        assert!(first.link.poll(0).is_up());
        // SAFETY: as above.
        let mut second = unsafe { second.attach_anew() };
        meet(&mut first, &mut second);
        let mut receiver = second.channels.receiver(0).unwrap();
        assert_eq!(receiver.try_recv(&mut [0; 16]), Ok(None));
        assert!(!receiver.arm());
        let sending = thread::spawn(move || match sender.try_send(&message(1)) {
            Ok(notice) => assert!(notice.is_due(), "asleep although there is a message"),
            Err(error) => assert_eq!(error, SendError::NotUp),
        });
        assert!(first.link.poll(0).is_up());
        sending.join().unwrap();
    });
}
