//! An end that dies at any of its stores, and who writes what: by memory that cuts and notes stores.

use ivshmem::channel::*;
use ivshmem::fake::memory::{Cutter, loop_back};
use ivshmem::memory::{Memory, SharedMemory};
use std::collections::BTreeSet;

const CHANNELS: [Channel; 2] = [Channel::queuing(End::Second, 4, 40), Channel::queuing(End::First, 4, 40)];
const LENGTH: usize = 1 << 13;

fn up<A: Memory, B: Memory>(first: &mut Link<'_, A>, second: &mut Link<'_, B>) -> bool {
    (0..3).any(|_| first.poll(0).is_up() & second.poll(0).is_up())
}

fn window(memory: &SharedMemory) -> SharedMemory {
    memory.window(0, memory.len()).unwrap()
}

#[test]
fn a_message_is_invisible_before_its_last_store_and_whole_after_it() {
    let message: Vec<u8> = (0..40).collect();
    // The first message of a session also starts the ring; the fifth finds the ring in use.
    for already_sent in [0, 4] {
        let mut visible = Vec::new();
        for stores in 0..20 {
            let (first, second) = loop_back(LENGTH).unwrap();
            let cutter = Cutter::new(second, usize::MAX);
            let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
            let mut b = Mailbox::new(&cutter, End::Second, &CHANNELS).unwrap();
            let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
            let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
            assert!(up(&mut la, &mut lb));
            let mut buffer = [0; 40];
            for _ in 0..already_sent {
                sender.try_send(b"before").unwrap().ignore();
                assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"before"[..])));
            }
            let before = cutter.written().len();
            cutter.cut_after(stores);
            sender.try_send(&message).unwrap().ignore();
            let needed = cutter.written().len() - before;
            match receiver.try_recv(&mut buffer) {
                Ok(None) => visible.push((stores, needed, false)),
                Ok(Some(received)) => {
                    assert_eq!(received, message);
                    visible.push((stores, needed, true));
                }
                Err(error) => panic!("{stores} stores: {error}"),
            }
        }
        assert!(visible.iter().all(|(stores, needed, visible)| *visible == (stores >= needed)), "{visible:?}");
        assert!(visible.iter().any(|entry| entry.2));
    }
}

#[test]
fn an_end_that_dies_at_any_store_of_its_attach_or_polls_and_comes_back_brings_the_link_up() {
    for end_that_dies in [End::First, End::Second] {
        for stores in 0..40 {
            let (first, second) = loop_back(LENGTH).unwrap();
            let (dies, stays) = if end_that_dies == End::First { (first, second) } else { (second, first) };
            let mut peer = Mailbox::new(stays, end_that_dies.other(), &CHANNELS).unwrap();
            let (mut peer_link, _) = peer.attach(Attach::polled());
            // A first life, so that there is something stale.
            let mut mailbox = Mailbox::new(window(&dies), end_that_dies, &CHANNELS).unwrap();
            let (mut link, _) = mailbox.attach(Attach::polled());
            assert!(up(&mut link, &mut peer_link));
            // A second one, that ends after some of its stores.
            let cutter = Cutter::new(window(&dies), stores);
            let mut mailbox = Mailbox::new(&cutter, end_that_dies, &CHANNELS).unwrap();
            let (mut link, _) = mailbox.attach(Attach::polled());
            for _ in 0..4 {
                link.poll(0);
                let state = peer_link.poll(0);
                assert!(
                    !matches!(
                        state,
                        LinkState::Violated(_) | LinkState::Incompatible { .. } | LinkState::OtherVersion { .. }
                    ),
                    "{stores}: {state:?}"
                );
            }
            // And a third.
            let mut mailbox = Mailbox::new(dies, end_that_dies, &CHANNELS).unwrap();
            let (mut link, _) = mailbox.attach(Attach::polled());
            assert!(up(&mut link, &mut peer_link), "not up after a death at store {stores}");
        }
    }
}

#[test]
fn each_end_writes_only_its_own_section_and_no_word_has_two_writers() {
    let (first, second) = loop_back(LENGTH).unwrap();
    let (first, second) = (Cutter::new(first, usize::MAX), Cutter::new(second, usize::MAX));
    let boundary = Snapshot::new(&first, &CHANNELS).link(End::Second).offset;
    {
        let mut a = Mailbox::new(&first, End::First, &CHANNELS).unwrap();
        let mut b = Mailbox::new(&second, End::Second, &CHANNELS).unwrap();
        let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
        let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
        let (mut commands, mut responses) = (ca.receiver(0).unwrap(), ca.sender(1).unwrap());
        let (mut operator, mut answers) = (cb.sender(0).unwrap(), cb.receiver(1).unwrap());
        assert!(up(&mut la, &mut lb));
        let mut buffer = [0; 40];
        for _ in 0..20 {
            let _ = (commands.arm(), answers.arm());
            operator.try_send(&[7; 40]).unwrap().ignore();
            assert!(commands.try_recv(&mut buffer).unwrap().is_some());
            responses.try_send(&[8; 40]).unwrap().ignore();
            assert!(answers.try_recv(&mut buffer).unwrap().is_some());
        }
        commands.resync();
        operator.resync();
        la.close();
        lb.close();
    }
    let (first, second): (BTreeSet<_>, BTreeSet<_>) =
        (first.written().into_iter().collect(), second.written().into_iter().collect());
    assert!(first.iter().all(|offset| *offset < boundary));
    assert!(second.iter().all(|offset| *offset >= boundary));
    assert!(first.len() > 20 && second.len() > 20);
}

#[test]
fn the_peers_id_is_news_that_may_change_at_every_restart_and_may_be_0() {
    let (first, second) = loop_back(LENGTH).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let (mut la, _) = a.attach(Attach::interrupt_driven(1));
    for id in [0, 2, 3, 65535, 0] {
        let (mut lb, _) = b.attach(Attach::interrupt_driven(id));
        assert!(up(&mut la, &mut lb));
        assert_eq!(la.peer_id(), Some(id));
    }
    let (mut lb, _) = b.attach(Attach::polled());
    assert!(up(&mut la, &mut lb));
    assert_eq!(la.peer_id(), None);
}

#[test]
fn an_epoch_does_not_come_back_after_deaths_in_the_middle_of_attaching() {
    // The messages of the first session stay in the ring: nobody receives them, and First sends no more.
    for stores in 0..14 {
        let (first, second) = loop_back(LENGTH).unwrap();
        let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
        let (mut la, mut ca) = a.attach(Attach::polled());
        let mut sender = ca.sender(1).unwrap();
        let mut epochs = BTreeSet::new();
        let mut live = |second: SharedMemory, send: bool| {
            let mut b = Mailbox::new(window(&second), End::Second, &CHANNELS).unwrap();
            let (mut lb, mut cb) = b.attach(Attach::polled());
            let mut receiver = cb.receiver(1).unwrap();
            assert!(up(&mut la, &mut lb));
            assert!(epochs.insert(Snapshot::new(&second, &CHANNELS).link(End::Second).epoch), "{stores} stores");
            if send {
                sender.try_send(b"to the first").unwrap().ignore();
            } else {
                assert_eq!(receiver.try_recv(&mut [0; 40]), Ok(None), "{stores} stores");
            }
        };
        live(window(&second), true);
        for _ in 0..3 {
            live(window(&second), false);
            let cutter = Cutter::new(window(&second), stores);
            let _ = Mailbox::new(&cutter, End::Second, &CHANNELS).unwrap().attach(Attach::polled());
        }
        live(window(&second), false);
    }
}
