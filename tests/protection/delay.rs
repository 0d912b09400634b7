//! Messages that come late, by the receiver's clock.

use super::*;

/// Receives at `now`: status and age.
fn at(way: &mut Way, now: u64) -> Option<(Status, u64)> {
    let mut buffer = [0; 32];
    way.receiver.try_recv(&mut buffer, now).unwrap().map(|checked| (checked.status, checked.age))
}

#[test]
fn a_message_that_may_be_older_than_its_validity_is_stale() {
    let mut way = way();
    assert_eq!(at(&mut way, 1000), None);
    way.send([1, 2, 3]);
    assert_eq!(at(&mut way, 1001), Some((Status::Ok, 1)));
    assert_eq!(at(&mut way, 1100), Some((Status::Ok, 100)));
    assert_eq!(at(&mut way, 1101), Some((Status::Stale { age: 101 }, 101)));
    // Nothing is there: what comes next is younger.
    assert_eq!(at(&mut way, 5000), None);
    way.send([4]);
    assert_eq!(at(&mut way, 5010), Some((Status::Ok, 10)));
    assert_eq!(way.receiver.counts().stale, 1);
}

#[test]
fn a_stale_message_counts_in_the_sequence() {
    let mut way = way();
    way.send([1, 2]);
    assert_eq!(at(&mut way, 200), Some((Status::Stale { age: 200 }, 200)));
    assert_eq!(at(&mut way, 50), Some((Status::Ok, 50)), "a clock that runs back makes nothing old");
}

#[test]
fn in_a_queue_that_is_never_empty_a_message_is_at_most_two_rings_old() {
    let mut way = way();
    assert_eq!(at(&mut way, 0), None);
    // One a tick, and always one more under way: no call ever finds nothing.
    way.send([0]);
    for now in 1..1000 {
        way.send([0]);
        let (status, age) = at(&mut way, now).unwrap();
        assert!(status == Status::Ok && age <= 2 * SLOTS as u64, "{status:?} at {now}");
    }
    // A flood that fills the ring, which is then left alone for too long, is as old as that.
    while way.sender.try_send(b"flood").map(Notice::ignore).is_ok() {}
    let found = std::iter::from_fn(|| at(&mut way, 2000)).collect::<Vec<_>>();
    assert!(found.len() >= SLOTS - 1, "the ring was full but for what is not acknowledged yet");
    assert!(found.iter().all(|(status, _)| matches!(status, Status::Stale { age } if *age >= 1000)), "{found:?}");
}

#[test]
fn a_message_sent_while_this_end_was_not_yet_up_is_as_old_as_the_last_look() {
    let ((mut la, mut ca), (mut lb, mut cb), _) = ends();
    let mut receiver = ca.protected_receiver(0, EXPECTED, 0).unwrap();
    let mut sender = cb.protected_sender(0, SOURCE).unwrap();
    let mut buffer = [0; 32];
    let mut now = 0;
    // The link takes long to come up; each cycle polls it first. The sender's end is up one cycle earlier.
    let age = loop {
        now += 90;
        la.poll(now);
        match receiver.try_recv(&mut buffer, now) {
            Err(error) => assert_eq!(error, RecvError::NotUp),
            Ok(received) => break received.map(|checked| (checked.status, checked.age)),
        }
        if now > 900 {
            while !lb.poll(now).is_up() {}
            sender.try_send(b"early").unwrap().ignore();
        }
    };
    assert_eq!(sender.stats().sent, 1, "the sender's end came up first, as this test means it to");
    assert_eq!(age, Some((Status::Ok, 90)));
}

#[test]
fn without_a_validity_period_nothing_is_stale() {
    let ((mut la, mut ca), (mut lb, mut cb), _) = ends();
    let mut receiver = ca.protected_receiver(0, Expected { validity: 0, ..EXPECTED }, 0).unwrap();
    let mut sender = cb.protected_sender(0, SOURCE).unwrap();
    connect(&mut la, &mut lb);
    sender.try_send(b"old").unwrap().ignore();
    let mut buffer = [0; 32];
    let checked = receiver.try_recv(&mut buffer, u64::MAX).unwrap().unwrap();
    assert_eq!((checked.status, checked.age), (Status::Ok, u64::MAX));
}

#[test]
fn a_channel_on_which_nothing_comes_has_no_data() {
    let mut way = way();
    way.send([1, 2]);
    assert!(at(&mut way, 10).is_some() && at(&mut way, 10).is_some());
    assert_eq!(way.receiver.state(110), State::Valid);
    assert_eq!(at(&mut way, 111), None);
    assert_eq!(way.receiver.state(111), State::NoData);
    way.send([3, 4]);
    assert_eq!(at(&mut way, 112), Some((Status::Ok, 1)));
    assert_eq!(way.receiver.state(112), State::Init);
    assert_eq!(at(&mut way, 112), Some((Status::Ok, 1)));
    assert_eq!(way.receiver.state(112), State::Valid);
}
