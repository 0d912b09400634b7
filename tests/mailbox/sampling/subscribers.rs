//! Subscribers: readers that are no end of the mailbox, and write nothing.

use super::super::connect;
use super::{CHANNELS, LENGTH, ends};
use ivshmem::channel::{wire, *};
use ivshmem::fake::memory::{Cutter, loop_back};
use ivshmem::memory::Memory;

#[test]
fn several_readers_in_different_vms_read_one_writer_and_write_nothing() {
    let (first, second) = loop_back(LENGTH).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut writer = ca.writer(0).unwrap();
    let onlookers: Vec<_> = (0..3).map(|_| Cutter::new(second.window(0, LENGTH).unwrap(), usize::MAX)).collect();
    let mut subscribers: Vec<_> =
        onlookers.iter().map(|memory| Subscriber::new(memory, End::First, &CHANNELS).unwrap()).collect();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let mut member = cb.reader(0).unwrap();
    connect(&mut la, &mut lb);
    let mut subscriptions = Vec::new();
    for subscriber in &mut subscribers {
        let (watch, mut values) = subscriber.subscribe(0);
        subscriptions.push((watch, values.reader(0).unwrap()));
    }
    for round in 0..5u8 {
        writer.write(&[round; 9]).unwrap().ignore();
        let mut buffer = [0; 40];
        assert_eq!(member.try_read(&mut buffer, 0).unwrap().bytes, [round; 9]);
        for (watch, reader) in &mut subscriptions {
            assert!(matches!(watch.poll(0), LinkState::Up { .. }));
            assert!(reader.arm(), "a value not read");
            assert_eq!(reader.try_read(&mut buffer, 0).unwrap().bytes, [round; 9]);
            assert!(!reader.arm());
        }
    }
    drop(subscriptions);
    assert!(onlookers.iter().all(|memory| memory.written().is_empty()));
}

#[test]
fn a_subscriber_sees_the_writer_come_restart_stop_beating_go_on_and_close() {
    let (mut a, _, spy) = ends();
    let window = spy.window(0, spy.len()).unwrap();
    let mut subscriber = Subscriber::new(window, End::First, &CHANNELS).unwrap();
    let (mut watch, mut values) = subscriber.subscribe(10);
    let mut reader = values.reader(0).unwrap();
    let mut buffer = [0; 40];
    assert_eq!(watch.poll(0), LinkState::Waiting);
    assert_eq!(reader.try_read(&mut buffer, 0), Err(ReadError::NotUp));
    {
        let (mut link, mut channels) = a.attach(Attach::polled());
        let mut writer = channels.writer(0).unwrap();
        writer.write(b"one").unwrap().ignore();
        assert!(matches!(watch.poll(0), LinkState::Up { .. }));
        assert_eq!(reader.try_read(&mut buffer, 0).unwrap().bytes, b"one");
        assert_eq!(watch.poll(10), LinkState::Stale { age: 10 });
        assert_eq!(reader.try_read(&mut buffer, 10).unwrap().bytes, b"one");
        link.poll(0);
        assert!(matches!(watch.poll(11), LinkState::Up { .. }));
    }
    let (mut link, mut channels) = a.attach(Attach::polled());
    let mut writer = channels.writer(0).unwrap();
    assert_eq!(watch.poll(12), LinkState::PeerRestarted);
    assert_eq!(reader.try_read(&mut buffer, 12), Err(ReadError::NotUp));
    assert!(matches!(watch.poll(12), LinkState::Up { .. }));
    assert_eq!(reader.try_read(&mut buffer, 12), Err(ReadError::Empty));
    writer.write(b"two").unwrap().ignore();
    assert_eq!(reader.try_read(&mut buffer, 12).unwrap().bytes, b"two");
    link.close();
    assert_eq!(writer.write(b"three"), Err(WriteError::Closed));
    assert_eq!(watch.poll(13), LinkState::Closed);
    assert_eq!(reader.try_read(&mut buffer, 13), Err(ReadError::Closed));
    spy.store(wire::link::STATE, 3);
    for _ in 0..3 {
        assert!(matches!(watch.poll(14), LinkState::Violated(PeerViolation::State { found: 3 })));
    }
    assert_eq!(watch.stats(), LinkStats { polls: 10, sessions: 2, peer_restarts: 1, violations: 1 });
}

#[test]
fn a_subscriber_of_other_channels_or_of_a_writer_that_lies_is_told() {
    let (mut a, _, spy) = ends();
    let window = || spy.window(0, LENGTH).unwrap();
    let _ = a.attach(Attach::polled());
    let others = [Channel::sampling(End::First, 41)];
    let mut subscriber = Subscriber::new(window(), End::First, &others).unwrap();
    let (ours, theirs) = (digest(&others), digest(&CHANNELS));
    assert_eq!(subscriber.subscribe(0).0.poll(0), LinkState::Incompatible { ours, theirs });
    let mut subscriber = Subscriber::new(window(), End::First, &CHANNELS).unwrap();
    spy.store(wire::link::STATE, 9);
    let (mut watch, _) = subscriber.subscribe(0);
    assert_eq!(watch.poll(0), LinkState::Violated(PeerViolation::State { found: 9 }));
    spy.store(wire::link::EPOCH, 0x1000);
    assert_eq!(watch.poll(0), LinkState::Violated(PeerViolation::Epoch { found: 0x1000 }));
}

#[test]
fn a_subscriber_waits_for_a_writer_that_has_begun_to_attach_and_says_once_that_the_earlier_one_is_gone() {
    let (mut a, _, spy) = ends();
    let window = spy.window(0, LENGTH).unwrap();
    let mut subscriber = Subscriber::new(window, End::First, &CHANNELS).unwrap();
    let (mut watch, _values) = subscriber.subscribe(0);
    for word in [wire::link::EPOCH, wire::link::MAGIC] {
        let (_link, _) = a.attach(Attach::polled());
        while !watch.poll(0).is_up() {}
        // What an end that attaches withdraws first, and publishes last.
        let there = spy.load(word);
        spy.store(word, 0);
        assert_eq!(watch.poll(0), LinkState::PeerRestarted);
        for _ in 0..2 {
            assert_eq!(watch.poll(0), LinkState::Waiting);
        }
        spy.store(word, there);
        assert!(watch.poll(0).is_up());
    }
}
