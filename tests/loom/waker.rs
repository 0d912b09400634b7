//! A task that registers its waker while the interrupt's handler runs: the record of a vector as handlers and tasks use it.

use super::*;
use core::convert::Infallible;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use ivshmem::interrupt::{event, on_interrupt};
use ivshmem::notify::{Doorbell, Event};
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;
use std::task::Wake;

const VECTOR: u8 = 40;

/// How often it was woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl Woken {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

/// Fires the vector once, on another thread.
fn fire() -> JoinHandle<()> {
    thread::spawn(|| on_interrupt(VECTOR))
}

/// Polls the future each time that it is woken, until it is ready. It is lost if it sleeps when `silent` says that nobody wakes it any more.
fn block_on<F: Future>(future: F, silent: &AtomicBool) -> F::Output {
    let woken = Arc::new(Woken::default());
    let waker = woken.clone().into();
    let mut future = pin!(future);
    loop {
        let before = woken.count();
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        loop {
            let is_silent = silent.load(Ordering::Acquire);
            if woken.count() != before {
                break;
            }
            assert!(!is_silent, "asleep for ever");
            thread::yield_now();
        }
    }
}

#[test]
fn a_firing_while_a_task_registers_wakes_it_or_is_counted_when_it_looks() {
    loom::model(|| {
        let woken = Arc::new(Woken::default());
        let firing = fire();
        event(VECTOR).register(&woken.clone().into());
        let seen = event(VECTOR).count();
        firing.join().unwrap();
        assert!(seen == 1 || woken.count() == 1, "asleep although the vector fired");
    });
}

#[test]
fn a_waker_that_takes_the_place_of_another_is_the_one_that_is_woken() {
    loom::model(|| {
        let [earlier, later] = [Arc::new(Woken::default()), Arc::new(Woken::default())];
        event(VECTOR).register(&earlier.into());
        let firing = fire();
        event(VECTOR).register(&later.clone().into());
        let seen = event(VECTOR).count();
        firing.join().unwrap();
        assert!(seen == 1 || later.count() == 1, "asleep although the vector fired");
    });
}

#[test]
fn a_task_that_is_woken_sees_the_count() {
    loom::model(|| {
        let woken = Arc::new(Woken::default());
        event(VECTOR).register(&woken.clone().into());
        let firing = fire();
        while woken.count() == 0 {
            thread::yield_now();
        }
        assert_eq!(event(VECTOR).count(), 1);
        firing.join().unwrap();
    });
}

/// The doorbell's other end: an interrupt on the receiver's CPU.
struct Interrupt;

impl Doorbell for Interrupt {
    type Error = Infallible;

    fn ring(&self, _: u16, _: u16) -> Result<(), Self::Error> {
        on_interrupt(VECTOR);
        Ok(())
    }
}

/// Awaits messages from `from` on, while another thread sends them and rings when it is due.
fn await_messages(mut sender: Sender<'static, Memory>, mut receiver: Receiver<'static, Memory>, from: u8, to: u8) {
    let silent = Arc::new(AtomicBool::new(false));
    let sending = thread::spawn({
        let silent = silent.clone();
        move || {
            for number in from..=to {
                let Ok(_) = send(&mut sender, number).unwrap().ring(&Interrupt);
            }
            silent.store(true, Ordering::Release);
        }
    });
    for expected in from..=to {
        let mut buffer = [0; 16];
        let received = block_on(receiver.recv_async(event(VECTOR), &mut buffer), &silent);
        assert_eq!(received.map(number), Ok(expected));
    }
    sending.join().unwrap();
}

#[test]
fn a_task_that_awaits_messages_gets_each_of_them() {
    explore(Bound::Preemptions(3), &CHANNELS, |mut first, mut second| {
        let (mut sender, mut receiver) = halves(&mut first, &mut second);
        send(&mut sender, 1).unwrap().ignore();
        assert_eq!(await_message(&mut receiver), Ok(1));
        await_messages(sender, receiver, 2, 3);
    });
}

#[test]
fn a_task_that_awaits_a_sessions_first_message_gets_it() {
    explore(Bound::Preemptions(3), &CHANNELS, |mut first, mut second| {
        let (sender, receiver) = halves(&mut first, &mut second);
        await_messages(sender, receiver, 1, 1);
    });
}

#[test]
fn who_sees_the_count_sees_what_was_done_before_the_vector_fired() {
    loom::model(|| {
        let done = Arc::new(AtomicBool::new(false));
        let firing = thread::spawn({
            let done = done.clone();
            move || {
                done.store(true, Ordering::Relaxed);
                on_interrupt(VECTOR);
            }
        });
        // As a wait does that only the count ends: nothing is woken.
        if event(VECTOR).count() == 1 {
            assert!(done.load(Ordering::Relaxed), "a count without what it announces");
        }
        firing.join().unwrap();
    });
}
