//! Arm and look again against send and look at the wish: no wake-up is lost. There is no bound here after which a sleeper wakes.

use super::*;
use ivshmem::notify::{Doorbell, Wait};
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;
use std::sync::Arc;

/// A vector that fires when it is rung, and on which a thread waits for ever.
#[derive(Default)]
struct Bell {
    rung: AtomicU32,
    /// Nobody will ring any more.
    silent: AtomicBool,
}

impl Doorbell for Bell {
    type Error = core::convert::Infallible;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), Self::Error> {
        assert_eq!((peer, vector), (1, 0));
        self.rung.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

impl Wait for Bell {
    fn count(&self) -> u32 {
        self.rung.load(Ordering::Acquire)
    }

    fn wait(&self, seen: u32) -> bool {
        loop {
            let is_silent = self.silent.load(Ordering::Acquire);
            if self.count() != seen {
                return true;
            }
            assert!(!is_silent, "asleep for ever");
            thread::yield_now();
        }
    }
}

/// The receiver arms while the sender sends `count` messages and asks once whether a doorbell is due.
fn arm_against_send(mut sender: Sender<'static, Memory>, mut receiver: Receiver<'static, Memory>, count: u8) {
    let sending = thread::spawn(move || {
        for number in 1..=count {
            sender.try_publish(&message(number)).unwrap();
        }
        sender.notice().is_due()
    });
    let sees = receiver.arm();
    let is_rung = sending.join().unwrap();
    assert!(sees || is_rung, "asleep although a message is there and no doorbell due");
}

#[test]
fn a_receiver_that_arms_sees_the_message_or_is_rung() {
    explore(Bound::None, &CHANNELS, |mut first, mut second| {
        let (mut sender, mut receiver) = halves(&mut first, &mut second);
        send(&mut sender, 1).unwrap().ignore();
        assert_eq!(await_message(&mut receiver), Ok(1));
        arm_against_send(sender, receiver, 1);
    });
}

#[test]
fn a_receiver_that_arms_before_a_sessions_first_message_sees_the_ring_or_is_rung() {
    explore(Bound::None, &CHANNELS, |mut first, mut second| {
        let (sender, mut receiver) = halves(&mut first, &mut second);
        assert_eq!(receiver.try_recv(&mut [0; 16]), Ok(None));
        arm_against_send(sender, receiver, 1);
    });
}

#[test]
fn one_look_at_the_wish_serves_a_batch() {
    explore(Bound::None, &CHANNELS, |mut first, mut second| {
        let (mut sender, mut receiver) = halves(&mut first, &mut second);
        send(&mut sender, 1).unwrap().ignore();
        assert_eq!(await_message(&mut receiver), Ok(1));
        arm_against_send(sender, receiver, 2);
    });
}

#[test]
fn a_wait_without_bound_ends_for_each_message() {
    explore(Bound::Preemptions(3), &CHANNELS, |mut first, mut second| {
        let (mut sender, mut receiver) = halves(&mut first, &mut second);
        send(&mut sender, 1).unwrap().ignore();
        assert_eq!(await_message(&mut receiver), Ok(1));
        let bell = Arc::new(Bell::default());
        let sending = thread::spawn({
            let bell = bell.clone();
            move || {
                for number in 2..=4 {
                    let Ok(_) = send(&mut sender, number).unwrap().ring(&*bell);
                }
                bell.silent.store(true, Ordering::Release);
            }
        });
        let mut expected = 2;
        while expected <= 4 {
            if let Some(bytes) = receiver.recv(&mut [0; 16], &*bell, 0).unwrap() {
                assert_eq!(number(bytes), expected);
                expected += 1;
            }
        }
        assert_eq!(receiver.stats().recovered_by_poll, 0);
        sending.join().unwrap();
    });
}
