//! Repetition, loss, re-sequencing, insertion: messages that are whole, but not the ones that were due.

use super::*;
use Status::{Repeated, SomeLost, WrongSequence, WrongSource};

#[test]
fn honest_messages_of_every_length_arrive_whole_and_ok() {
    let mut way = way();
    let mut buffer = [0; 32];
    for round in 0..200usize {
        let message: Vec<u8> = (0..round % 33).map(|byte| (byte + round) as u8).collect();
        way.sender.try_send(&message).unwrap().ignore();
        let checked = way.receiver.try_recv(&mut buffer, 0).unwrap().unwrap();
        assert_eq!((checked.bytes, checked.status), (&message[..], Status::Ok));
    }
    assert_eq!(way.receiver.counts(), StatusCounts { ok: 200, ..StatusCounts::default() });
    assert_eq!(way.receiver.state(0), State::Valid);
    assert_eq!((way.sender.max_len(), way.receiver.max_len()), (32, 32));
    assert_eq!(way.sender.try_send(&[0; 33]), Err(SendError::TooLong { len: 33, max: 32 }));
    way.send([1]);
    assert_eq!(way.receiver.try_recv(&mut [0; 8], 0), Err(RecvError::BufferTooSmall { need: 9, have: 8 }));
    assert_eq!(way.drain(), [(1, Status::Ok)], "a buffer too small loses nothing");
}

#[test]
fn a_message_that_comes_again_is_repeated() {
    let mut way = way();
    way.send([10, 11, 12]);
    way.write(1, way.read(0));
    assert_eq!(way.drain(), [(10, Status::Ok), (10, Repeated { sequence: 0 }), (12, SomeLost { lost: 1 })]);
}

#[test]
fn a_message_from_before_the_last_one_has_the_wrong_sequence() {
    let mut way = way();
    way.send([10, 11, 12, 13]);
    way.write(2, way.read(0));
    let wrong = WrongSequence { expected: 2, found: 0 };
    assert_eq!(way.drain(), [(10, Status::Ok), (11, Status::Ok), (10, wrong), (13, SomeLost { lost: 1 })]);
}

#[test]
fn messages_in_the_wrong_order_are_lost_and_wrong() {
    let mut way = way();
    way.send([10, 11, 12, 13]);
    let (one, two) = (way.read(1), way.read(2));
    way.write(1, two);
    way.write(2, one);
    let wrong = WrongSequence { expected: 3, found: 1 };
    assert_eq!(way.drain(), [(10, Status::Ok), (12, SomeLost { lost: 1 }), (11, wrong), (13, Status::Ok)]);
}

#[test]
fn a_message_lost_on_the_way_is_missed_by_its_number() {
    let mut way = way();
    way.send([10, 11, 12]);
    // Number 1 never was; number 2 is in its place, and then in its own.
    way.write(1, way.read(2));
    assert_eq!(way.drain(), [(10, Status::Ok), (12, SomeLost { lost: 1 }), (12, Repeated { sequence: 2 })]);
    assert_eq!(way.receiver.counts().lost, 1);
}

#[test]
fn what_a_lossy_sender_drops_its_receiver_is_told_exactly() {
    let mut way = way();
    for message in 0..10 {
        let sent = way.sender.try_send_lossy(&[message; 9]).unwrap().map(Notice::ignore);
        assert_eq!(sent.is_some(), message < 8);
    }
    assert_eq!(way.drain().last(), Some(&(7, Status::Ok)));
    way.send([10]);
    assert_eq!(way.drain(), [(10, SomeLost { lost: 2 })]);
    // More than are tolerated at once: the next one after it is in order again.
    way.send(11..18);
    for _ in 0..4 {
        assert!(way.sender.try_send_lossy(b"dropped").unwrap().is_none());
    }
    assert_eq!(way.drain().len(), 7);
    way.send([22, 23]);
    assert_eq!(way.drain(), [(22, WrongSequence { expected: 18, found: 22 }), (23, Status::Ok)]);
    assert_eq!((way.sender.stats().dropped, way.receiver.counts().lost), (6, 6));
}

#[test]
fn a_refused_message_is_not_lost() {
    let mut way = way();
    way.send(0..8);
    for _ in 0..5 {
        assert_eq!(way.sender.try_send(b"refused"), Err(SendError::Full));
    }
    assert_eq!(way.drain().len(), 8);
    way.send([8]);
    assert_eq!(way.drain(), [(8, Status::Ok)]);
}

#[test]
fn a_message_of_another_channel_is_of_the_wrong_source() {
    let mut way = way();
    let mut other = way.channels.1.protected_sender(1, SOURCE).unwrap();
    way.send([10]);
    other.try_send(&[66; 9]).unwrap().ignore();
    let strayed = Snapshot::new(&way.spy, &CHANNELS).channel(1).unwrap().slots_at;
    way.write(0, std::array::from_fn(|word| way.spy.load(strayed + word * 8)));
    let wrong = WrongSource { data_id: 0x52, source: SOURCE, session: FIRST_SESSION.bits() };
    assert_eq!(way.drain(), [(66, wrong)]);
}

#[test]
fn a_message_of_another_sender_is_of_the_wrong_source() {
    let ((mut la, mut ca), (mut lb, mut cb), _) = ends();
    let mut receiver = ca.protected_receiver(0, EXPECTED, 0).unwrap();
    let mut sender = cb.protected_sender(0, SOURCE + 1).unwrap();
    connect(&mut la, &mut lb);
    sender.try_send(b"masquerade").unwrap().ignore();
    let mut buffer = [0; 32];
    let checked = receiver.try_recv(&mut buffer, 0).unwrap().unwrap();
    let wrong = WrongSource { data_id: 0x51, source: SOURCE + 1, session: FIRST_SESSION.bits() };
    assert_eq!((checked.bytes, checked.status), (&b"masquerade"[..], wrong));
    assert_eq!(receiver.counts().wrong_source, 1);
}

#[test]
fn a_channel_of_which_too_many_messages_are_bad_is_invalid_until_enough_are_good() {
    let mut way = way();
    assert_eq!(way.receiver.state(0), State::NoData);
    let mut position = 0;
    let mut next = |good: bool, way: &mut Way| {
        way.send([0]);
        if !good {
            let payload = way.slot(position) + 8 + 24;
            way.spy.store(payload, way.spy.load(payload) ^ 1);
        }
        position += 1;
        assert_eq!(way.receive().unwrap().1.is_good(), good);
        way.receiver.state(0)
    };
    let found = "++-+-+-++++".chars().map(|message| next(message == '+', &mut way)).collect::<Vec<_>>();
    use State::{Init, Invalid as Bad, Valid};
    assert_eq!(found, [Init, Valid, Valid, Valid, Bad, Bad, Bad, Bad, Valid, Valid, Valid]);
}

#[test]
fn a_protected_channel_has_protected_halves_only_and_no_other_has_them() {
    let ((_, mut ca), (_, mut cb), _) = ends();
    let protected = |channel| TakeError::WrongKind { channel, kind: Kind::Queuing, protected: true };
    assert_eq!(ca.receiver(0).err(), Some(protected(0)));
    assert_eq!(cb.sender(0).err(), Some(protected(0)));
    let plain = TakeError::WrongKind { channel: 3, kind: Kind::Queuing, protected: false };
    assert_eq!(ca.protected_sender(3, SOURCE).err(), Some(plain));
    assert_eq!(cb.protected_receiver(3, EXPECTED, 0).err(), Some(plain));
    let direction = TakeError::WrongDirection { channel: 0, from: End::Second };
    assert_eq!(ca.protected_sender(0, SOURCE).err(), Some(direction));
    assert!(ca.protected_receiver(0, EXPECTED, 0).is_ok());
    assert_eq!(ca.protected_receiver(0, EXPECTED, 0).err(), Some(TakeError::Taken { channel: 0 }));
}
