//! The link: start order, restarts, stale memory, closing, liveness.

use super::{CHANNELS, connect, pair};
use ivshmem::channel::{wire, *};
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::Memory;

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
fn a_session_is_named_by_both_epochs_firsts_above_seconds() {
    let (mut a, mut b, spy) = pair();
    let (mut la, _ca) = a.attach(Attach { seed: 0x1111_2222, ..Attach::polled() });
    let (mut lb, _cb) = b.attach(Attach { seed: 0x3333_4444, ..Attach::polled() });
    connect(&mut la, &mut lb);
    let epoch = |end| Snapshot::new(&spy, &CHANNELS).link(end).epoch;
    let (first, second) = (epoch(End::First), epoch(End::Second));
    assert_eq!((first >> 32, second >> 32), (0x1111_2222, 0x3333_4444));
    let session = first << 32 | second & 0xffff_ffff;
    assert_eq!((la.poll(0), lb.poll(0)), (LinkState::Up { session }, LinkState::Up { session }));
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
fn a_new_attachment_that_never_looked_does_not_count_as_answered_by_the_echo_of_the_last_one() {
    let (mut a, mut b, _) = pair();
    let (mut la, _) = a.attach(Attach::polled());
    let (mut lb, _) = b.attach(Attach::polled());
    connect(&mut la, &mut lb);
    let (_lb, _) = b.attach(Attach::polled());
    assert_eq!(la.poll(0), LinkState::PeerRestarted);
    for _ in 0..10 {
        assert_eq!(la.poll(0), LinkState::Waiting);
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
