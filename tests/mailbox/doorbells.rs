//! Doorbells: when one is due, and that none is needed.

use super::{CHANNELS, connect, pair};
use ivshmem::channel::*;
use ivshmem::memory::Memory;
use ivshmem::notify::{Doorbell, Wait};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;

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
fn a_receiver_does_not_sleep_on_news_that_it_has_not_reported_yet() {
    let (mut a, mut b, spy) = pair();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    let mut buffer = [0; 100];
    assert!(receiver.arm(), "a session may begin");
    connect(&mut la, &mut lb);
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    assert!(!receiver.arm());

    // A channel that is closed by a violation: the slot that is next holds nothing to look at.
    sender.try_send(b"one").unwrap().ignore();
    assert!(receiver.try_recv(&mut buffer).unwrap().is_some());
    let slots_at = Snapshot::new(&spy, &CHANNELS).channel(0).unwrap().slots_at;
    spy.store(slots_at + 128, 7);
    assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Violated(_))));
    assert!(receiver.arm(), "the channel is closed");
    receiver.resync();
    assert!(!receiver.arm());

    // A session that has ended, and the one after it.
    let (mut lb, _cb) = b.attach(Attach::interrupt_driven(1));
    assert_eq!(la.poll(0), LinkState::PeerRestarted);
    assert!(receiver.arm(), "the session has ended");
    connect(&mut la, &mut lb);
    assert!(receiver.arm(), "there is a new one");
    assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::PeerRestarted { .. })));
    assert!(!receiver.arm());
}

#[test]
fn a_receiver_asleep_over_a_ring_that_its_sender_gives_up_is_rung_once() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    sender.try_send(b"one").unwrap().ignore();
    assert!(receiver.try_recv(&mut buffer).unwrap().is_some());
    // Asleep, with nothing sent in the new ring; and then with a message in it that is the sender's next.
    for sends in [false, true] {
        assert!(!receiver.arm());
        sender.resync();
        let notice = if sends { sender.try_send(b"two").unwrap() } else { sender.notice() };
        assert!(notice.is_due(), "the receiver sleeps over the old ring");
        assert!(!sender.notice().is_due(), "once");
        assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::PeerResynced { .. })));
        assert_eq!(receiver.try_recv(&mut buffer).unwrap().is_some(), sends);
    }
    // Given up before the wish is made: nobody would ring, so there is something to look at.
    sender.resync();
    assert!(receiver.arm(), "the ring is gone");
}
