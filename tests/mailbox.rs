//! The mailbox's contract, two ends over one mapping: each test is named after a clause of `docs/wire-format.md`.

use ivshmem::channel::wire::{self, Header, Key};
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::notify::{Doorbell, Wait};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;

const CHANNELS: [Channel; 3] = [
    Channel::queuing(End::Second, 8, 100).vector(2),
    Channel::queuing(End::First, 8, 100).vector(1),
    Channel::queuing(End::Second, 4, 8),
];

type Box<'c> = Mailbox<'c, SharedMemory>;

fn pair() -> (Box<'static>, Box<'static>, SharedMemory) {
    let (first, second) = loop_back(1 << 16).unwrap();
    let spy = second.window(0, second.len()).unwrap();
    (Mailbox::new(first, End::First, &CHANNELS).unwrap(), Mailbox::new(second, End::Second, &CHANNELS).unwrap(), spy)
}

fn connect<A: Memory, B: Memory>(first: &mut Link<'_, A>, second: &mut Link<'_, B>) {
    for _ in 0..3 {
        first.poll(0);
        second.poll(0);
    }
    assert!(first.poll(0).is_up() && second.poll(0).is_up());
}

#[derive(Default)]
struct Bell(RefCell<Vec<(u16, u16)>>);

impl Doorbell for Bell {
    type Error = Infallible;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), Infallible> {
        self.0.borrow_mut().push((peer, vector));
        Ok(())
    }
}

#[test]
fn start_order_is_free_and_the_link_is_up_within_3_polls_of_the_later_end() {
    for early_polls in 0..5 {
        for first_is_early in [true, false] {
            let (mut a, mut b, _) = pair();
            let (early, late) = if first_is_early { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let (mut early, _) = early.attach(Attach::polled());
            for _ in 0..early_polls {
                assert_eq!(early.poll(0), LinkState::Waiting);
            }
            let (mut late, _) = late.attach(Attach::polled());
            let mut polls = 0;
            while !(early.poll(0).is_up() & late.poll(0).is_up()) {
                polls += 1;
                assert!(polls < 3, "not up after 3 polls of each");
            }
            let (LinkState::Up { session: ours }, LinkState::Up { session: theirs }) = (early.poll(0), late.poll(0))
            else {
                panic!("not up");
            };
            assert_eq!(ours, theirs);
        }
    }
}

#[test]
fn messages_arrive_whole_in_order_and_once_in_both_directions() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut from_b, mut to_b) = (ca.receiver(0).unwrap(), ca.sender(1).unwrap());
    let (mut to_a, mut from_a) = (cb.sender(0).unwrap(), cb.receiver(1).unwrap());
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    for round in 0..1000usize {
        let message: Vec<u8> = (0..round % 101).map(|i| (i + round) as u8).collect();
        to_a.try_send(&message).unwrap().ignore();
        assert_eq!(from_b.try_recv(&mut buffer), Ok(Some(&message[..])));
        assert_eq!(from_b.try_recv(&mut buffer), Ok(None));
        to_b.try_send(&message).unwrap().ignore();
        assert_eq!(from_a.try_recv(&mut buffer), Ok(Some(&message[..])));
    }
    assert_eq!(to_a.stats().sent, 1000);
    assert_eq!(from_b.stats().received, 1000);
}

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    let (mut sent, mut received) = (0u32, 0u32);
    for burst in [8, 3, 8, 1, 5, 8, 8] {
        for _ in 0..20 {
            match sender.try_send(&sent.to_le_bytes()) {
                Ok(notice) => notice.ignore(),
                Err(error) => {
                    assert_eq!(error, SendError::Full);
                    break;
                }
            }
            sent += 1;
        }
        assert!(sent - received <= 8, "more in flight than slots");
        assert!(sent - received > 8 - 2, "refused although the receiver acknowledges every quarter");
        for _ in 0..burst {
            if receiver.try_recv(&mut buffer).unwrap().is_some() {
                assert_eq!(buffer[..4], received.to_le_bytes());
                received += 1;
            }
        }
    }
    assert!(sender.stats().full > 0);
}

#[test]
fn a_message_too_long_and_a_buffer_too_small_lose_nothing() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    assert_eq!(sender.try_send(b"early"), Err(SendError::NotUp));
    assert_eq!(receiver.try_recv(&mut []), Err(RecvError::NotUp));
    connect(&mut la, &mut lb);
    assert_eq!(sender.try_send(&[0; 101]), Err(SendError::TooLong { len: 101, max: 100 }));
    sender.try_send(b"twelve bytes").unwrap().ignore();
    assert_eq!(receiver.try_recv(&mut [0; 11]), Err(RecvError::BufferTooSmall { need: 12, have: 11 }));
    assert_eq!(receiver.try_recv(&mut [0; 12]), Ok(Some(&b"twelve bytes"[..])));
}

#[test]
fn each_half_is_handed_out_once_and_to_its_own_direction() {
    let (mut a, _, _) = pair();
    let (_, mut channels) = a.attach(Attach::polled());
    assert_eq!(channels.sender(0).err(), Some(TakeError::WrongDirection { channel: 0, from: End::Second }));
    assert_eq!(channels.receiver(3).err(), Some(TakeError::NoSuchChannel { channel: 3, channels: 3 }));
    let kept = channels.receiver(0);
    assert!(kept.is_ok());
    assert_eq!(channels.receiver(0).err(), Some(TakeError::Taken { channel: 0 }));
}

#[test]
fn after_a_restart_of_either_end_nothing_stale_arrives_and_the_loss_is_bounded() {
    for restart_receiver in [true, false] {
        let (mut a, mut b, _) = pair();
        let mut session_before = 0;
        let mut buffer = [0; 100];
        let (mut la, mut ca) = a.attach(Attach::polled());
        let mut receiver = ca.receiver(0).unwrap();
        let (mut lb, mut cb) = b.attach(Attach::polled());
        let mut sender = cb.sender(0).unwrap();
        for generation in 0..50u8 {
            connect(&mut la, &mut lb);
            let LinkState::Up { session } = la.poll(0) else { panic!("not up") };
            assert_ne!(session, session_before);
            session_before = session;
            if generation > 0 && restart_receiver {
                assert_eq!(sender.try_send(b"x"), Err(SendError::PeerRestarted { lost_at_most: 6 }));
            }
            if generation > 0 && !restart_receiver {
                assert_eq!(receiver.try_recv(&mut buffer), Err(RecvError::PeerRestarted { lost_at_most: 8 }));
            }
            assert_eq!(receiver.try_recv(&mut buffer), Ok(None), "a message of an earlier session");
            for i in 0..6 {
                sender.try_send(&[generation, i]).unwrap().ignore();
            }
            assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&[generation, 0][..])));
            // Five are in flight when one end dies.
            if restart_receiver {
                (la, ca) = a.attach(Attach::polled());
                receiver = ca.receiver(0).unwrap();
                assert_eq!(lb.poll(0), LinkState::PeerRestarted);
                assert_eq!(lb.stats().peer_restarts, u32::from(generation) + 1);
            } else {
                (lb, cb) = b.attach(Attach::polled());
                sender = cb.sender(0).unwrap();
                assert_eq!(la.poll(0), LinkState::PeerRestarted);
            }
        }
    }
}

#[test]
fn epochs_differ_at_every_attach_even_without_a_seed_or_with_a_scribbled_section() {
    let (mut a, mut b, spy) = pair();
    let mut seen = std::collections::BTreeSet::new();
    let (mut lb, _) = b.attach(Attach::polled());
    for round in 0..300 {
        let (mut la, _) = a.attach(Attach::polled());
        let epoch = spy.load(wire::link::EPOCH);
        assert_ne!(epoch & 0xfff, 0);
        assert!(round > 255 || seen.insert(epoch), "epoch {epoch:#x} again");
        connect(&mut la, &mut lb);
        if round > 255 {
            // Somebody wipes our section: the peer's echo still keeps the new epoch's counter from the last one.
            spy.store(wire::link::EPOCH, 0);
            let (_, _) = a.attach(Attach::polled());
            assert_ne!(spy.load(wire::link::EPOCH) & 0xfff, epoch & 0xfff);
        }
    }
}

#[test]
fn stale_or_garbage_memory_is_the_normal_case() {
    let mut word = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..100 {
        let (first, second) = loop_back(1 << 16).unwrap();
        for offset in (0..1 << 16).step_by(8) {
            word = word.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            first.store(offset, word);
        }
        let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
        let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
        let (mut la, mut ca) = a.attach(Attach::polled());
        assert_eq!(la.poll(0), LinkState::Waiting);
        let (mut lb, mut cb) = b.attach(Attach::polled());
        connect(&mut la, &mut lb);
        let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
        assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(None));
        sender.try_send(b"fresh").unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(Some(&b"fresh"[..])));
    }
}

#[test]
fn a_dead_peers_section_left_in_memory_never_brings_the_link_up() {
    let (mut a, mut b, _) = pair();
    for _ in 0..3 {
        let ((mut la, _), (mut lb, _)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
        connect(&mut la, &mut lb);
        let (mut la, mut ca) = a.attach(Attach::polled());
        for _ in 0..10 {
            assert_eq!(la.poll(0), LinkState::Waiting);
        }
        assert_eq!(ca.sender(1).unwrap().try_send(b"x"), Err(SendError::NotUp));
    }
}

#[test]
fn ends_of_different_configuration_are_incompatible_and_say_both_digests() {
    let (first, second) = loop_back(1 << 16).unwrap();
    let other = [CHANNELS[0], CHANNELS[1], Channel::queuing(End::Second, 4, 9)];
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &other).unwrap();
    let ((mut la, _), (mut lb, _)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    for _ in 0..3 {
        la.poll(0);
        lb.poll(0);
    }
    let (ours, theirs) = (digest(&CHANNELS), digest(&other));
    assert_eq!(la.poll(0), LinkState::Incompatible { ours, theirs });
    assert_eq!(lb.poll(0), LinkState::Incompatible { ours: theirs, theirs: ours });
}

#[test]
fn a_region_too_small_says_what_it_needs() {
    let (small, _) = loop_back(4096).unwrap();
    let error = Mailbox::new(small, End::First, &CHANNELS).err();
    assert_eq!(error, Some(MailboxError::RegionTooSmall { need: 8192, have: 4096 }));
}

#[test]
fn one_doorbell_is_due_per_wish_to_the_id_and_vector_the_peer_published() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(65535));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    assert_eq!((la.peer_id(), lb.peer_id()), (Some(65535), Some(0)));
    let bell = Bell::default();
    let mut buffer = [0; 100];
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    assert_eq!(sender.try_send(b"nobody asked").unwrap().ring(&bell), Ok(false));
    assert!(receiver.arm(), "a message is there, do not sleep");
    assert!(receiver.try_recv(&mut buffer).unwrap().is_some());
    assert!(!receiver.arm());
    assert_eq!(sender.try_send(b"asked").unwrap().ring(&bell), Ok(true));
    assert_eq!(sender.try_send(b"once").unwrap().ring(&bell), Ok(false));
    assert_eq!(*bell.0.borrow(), [(0, 2)]);
    // A batch: one look for all of it.
    while receiver.try_recv(&mut buffer).unwrap().is_some() {}
    assert!(!receiver.arm());
    sender.try_publish(b"1").unwrap();
    sender.try_publish(b"2").unwrap();
    assert!(sender.notice().is_due());
    assert!(!sender.notice().is_due());
}

#[test]
fn a_receiver_that_only_polls_is_never_rung() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach { id: Some(3), ..Attach::polled() });
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(4));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(None));
    assert!(!receiver.arm());
    assert!(!sender.try_send(b"polled").unwrap().is_due());
}

/// A wait in which the test plays the peer: it acts while the receiver sleeps.
struct Asleep<F>(Cell<u32>, F);

impl<F: Fn() -> bool> Wait for Asleep<F> {
    fn count(&self) -> u32 {
        self.0.get()
    }

    fn wait(&self, seen: u32) -> bool {
        let rang = (self.1)();
        self.0.set(self.0.get() + u32::from(rang));
        self.0.get() != seen
    }
}

#[test]
fn a_lost_doorbell_delays_a_message_by_one_poll_period_and_is_counted() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let (mut receiver, sender) = (ca.receiver(0).unwrap(), RefCell::new(cb.sender(0).unwrap()));
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    for (delivered, recovered) in [(true, 0), (false, 1), (true, 1), (false, 2)] {
        let wait = Asleep(Cell::new(7), || {
            let notice = sender.borrow_mut().try_send(b"wake").unwrap();
            assert!(notice.is_due(), "the receiver sleeps");
            delivered
        });
        assert_eq!(receiver.recv(&mut buffer, &wait, 2), Ok(Some(&b"wake"[..])));
        assert_eq!(receiver.stats().recovered_by_poll, recovered);
    }
    let quiet = Asleep(Cell::new(0), || false);
    assert_eq!(receiver.recv(&mut buffer, &quiet, 0), Ok(None));
    assert_eq!(receiver.stats().sleeps, 5);
}

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
fn close_is_idempotent_delivers_what_was_sent_and_allows_a_new_attach() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    sender.try_send(b"last words").unwrap().ignore();
    lb.close();
    lb.close();
    assert_eq!(lb.poll(0), LinkState::Closed);
    assert_eq!(sender.try_send(b"x"), Err(SendError::Closed));
    assert_eq!(la.poll(0), LinkState::Closed);
    let mut buffer = [0; 100];
    assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"last words"[..])));
    assert_eq!(receiver.try_recv(&mut buffer), Err(RecvError::Closed));
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let mut sender = cb.sender(0).unwrap();
    connect(&mut la, &mut lb);
    assert_eq!(receiver.try_recv(&mut buffer), Err(RecvError::PeerRestarted { lost_at_most: 8 }));
    sender.try_send(b"hello again").unwrap().ignore();
    assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"hello again"[..])));
}

#[test]
fn a_peer_whose_heartbeat_stands_still_is_stale_and_comes_back_without_a_restart() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach { stale_after: 100, ..Attach::polled() });
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    lb.poll(0);
    assert!(matches!(la.poll(1000), LinkState::Up { .. }));
    assert!(matches!(la.poll(1099), LinkState::Up { .. }));
    assert_eq!(la.poll(1100), LinkState::Stale { age: 100 });
    assert_eq!(la.poll(1200), LinkState::Stale { age: 200 });
    // A clock that runs backwards does no harm.
    assert!(matches!(la.poll(0), LinkState::Up { .. }));
    sender.try_send(b"kept").unwrap().ignore();
    lb.poll(0);
    assert!(matches!(la.poll(5000), LinkState::Up { .. }));
    assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(Some(&b"kept"[..])));
    assert_eq!(la.stats().sessions, 1);
}

#[test]
fn a_link_line_no_honest_peer_writes_is_a_violation_with_its_value() {
    let section = Layout::second_section();
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

/// Where the Second end's section starts, from outside: the snapshot says.
struct Layout;

impl Layout {
    fn second_section() -> usize {
        let (memory, _) = loop_back(1 << 16).unwrap();
        Snapshot::new(&memory, &CHANNELS).link(End::Second).offset
    }
}

#[test]
fn only_bytes_the_caller_passed_leave_this_side() {
    let (mut a, mut b, spy) = pair();
    for offset in (0..1 << 16).step_by(8) {
        spy.store(offset, u64::MAX);
    }
    let ((mut la, _ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    connect(&mut la, &mut lb);
    let mut sender = cb.sender(0).unwrap();
    sender.try_send(b"123456789").unwrap().ignore();
    let slot = Snapshot::new(&spy, &CHANNELS).channel(0).unwrap().slots_at;
    assert_eq!(spy.load(slot + 8), u64::from_le_bytes(*b"12345678"));
    assert_eq!(spy.load(slot + 16), u64::from(b'9'), "the rest of the last word is zero");
    assert_eq!(spy.load(slot + 24), u64::MAX, "nothing is written beyond it");
    assert_ne!(Key::from_bits(spy.load(Layout::second_section() + wire::CHANNEL_LINES) as u32), Key::from_bits(0));
}

#[test]
fn two_threads_exchange_a_million_words_without_loss_or_tearing() {
    let (mut a, mut b, _) = pair();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut link, mut channels) = b.attach(Attach::polled());
            let mut sender = channels.sender(0).unwrap();
            let mut sent = 0u64;
            while sent < 200_000 {
                link.poll(0);
                let message = [sent; 5].map(u64::to_le_bytes).concat();
                match sender.try_send(&message) {
                    Ok(notice) => {
                        notice.ignore();
                        sent += 1;
                    }
                    Err(SendError::Full | SendError::NotUp) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
            while sender.in_flight() > 2 && sender.try_send(&[]) == Err(SendError::Full) {
                link.poll(0);
                std::thread::yield_now();
            }
        });
        let (mut link, mut channels) = a.attach(Attach::polled());
        let mut receiver = channels.receiver(0).unwrap();
        let mut buffer = [0; 100];
        let mut expected = 0u64;
        while expected < 200_000 {
            link.poll(0);
            match receiver.try_recv(&mut buffer) {
                Ok(Some(message)) => {
                    assert_eq!(message, [expected; 5].map(u64::to_le_bytes).concat());
                    expected += 1;
                }
                Ok(None) | Err(RecvError::NotUp) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    });
}
