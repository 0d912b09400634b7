//! Tasks and bounded waits: no wake-up is lost wherever a doorbell falls.

mod bounded;
mod changes;
#[cfg(target_arch = "x86_64")]
mod cores;
mod dropped;
mod interleavings;
mod protected;
mod requests;

use super::{connect, pair};
use ivshmem::channel::*;
use ivshmem::memory::SharedMemory;
use ivshmem::notify::{Doorbell, Event};
use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// A waker that counts, and unparks the thread that made it.
struct Wakes(AtomicU32, Thread);

impl Wakes {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU32::new(0), std::thread::current()))
    }

    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.unpark();
    }
}

/// The record of a vector, and the doorbell that fires it.
#[derive(Default)]
struct Bell {
    count: AtomicU32,
    waker: RefCell<Option<Waker>>,
}

impl Bell {
    /// Wakes without a doorbell.
    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Event for &Bell {
    fn count(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }

    fn register(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }
}

impl Doorbell for Bell {
    type Error = Infallible;

    fn ring(&self, _: u16, _: u16) -> Result<(), Infallible> {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.wake();
        Ok(())
    }
}

#[test]
fn a_lost_doorbell_is_recovered_by_a_wake_without_one_and_counted() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    let (bell, wakes) = (Bell::default(), Wakes::new());
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    let mut buffer = [0; 100];
    for recovered in 1..4 {
        assert!(receiver.poll_recv(&mut cx, &&bell, &mut buffer).is_pending());
        let notice = sender.try_send(b"unheard").unwrap();
        assert!(notice.is_due(), "the receiver sleeps");
        notice.ignore();
        assert_eq!(wakes.take(), 0);
        bell.wake();
        assert_eq!(wakes.take(), 1);
        assert_eq!(receiver.poll_recv(&mut cx, &&bell, &mut buffer), Poll::Ready(Ok(&b"unheard"[..])));
        assert_eq!(receiver.stats().recovered_by_poll, recovered);
    }
    assert_eq!(receiver.stats().sleeps, 3);
}

#[test]
fn a_link_that_is_not_up_is_waited_for_and_its_end_is_reported() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut receiver, mut responses) = (ca.receiver(0).unwrap(), ca.sender(1).unwrap());
    let (bell, wakes) = (Bell::default(), Wakes::new());
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    let mut buffer = [0; 100];
    assert!(receiver.poll_recv(&mut cx, &&bell, &mut buffer).is_pending());
    assert!(responses.poll_send(&mut cx, &&bell, b"early").is_pending());
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    connect(&mut la, &mut lb);
    assert!(receiver.poll_recv(&mut cx, &&bell, &mut buffer).is_pending());
    assert!(responses.poll_send(&mut cx, &&bell, b"up").is_ready());
    assert_eq!(cb.receiver(1).unwrap().try_recv(&mut buffer), Ok(Some(&b"up"[..])));
    lb.close();
    la.poll(0);
    assert_eq!(receiver.poll_recv(&mut cx, &&bell, &mut buffer), Poll::Ready(Err(RecvError::Closed)));
    assert_eq!(responses.poll_send(&mut cx, &&bell, b"late"), Poll::Ready(Err(SendError::Closed)));
    // Each of two registrations took the place of the one before.
    bell.wake();
    assert_eq!(wakes.take(), 1);
}

/// An event at whose registration something happens on another core, just before.
struct Meanwhile<F>(F);

impl<F: Fn()> Event for Meanwhile<F> {
    fn count(&self) -> u32 {
        0
    }

    fn register(&self, _: &Waker) {
        (self.0)();
    }
}

#[test]
fn a_task_whose_link_comes_up_while_it_registers_is_rung_for_the_first_message() {
    let (mut a, mut b, _) = pair();
    let (la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    let links = RefCell::new((la, lb));
    let event = Meanwhile(|| {
        let (la, lb) = &mut *links.borrow_mut();
        connect(la, lb);
    });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(receiver.poll_recv(&mut cx, &event, &mut [0; 100]).is_pending());
    assert!(sender.try_send(b"first").unwrap().is_due(), "asleep, and nobody rings");
}

#[test]
fn a_send_into_a_full_channel_is_ready_once_there_is_room_and_sends_once() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    let (tick, wakes) = (Bell::default(), Wakes::new());
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    for number in 0..8u8 {
        assert!(sender.poll_send(&mut cx, &&tick, &[number]).is_ready());
    }
    {
        let tick = &tick;
        let mut sending = pin!(sender.send_async(&tick, &[8]));
        assert!(sending.as_mut().poll(&mut cx).is_pending());
        assert!(sending.as_mut().poll(&mut cx).is_pending(), "a wake without room");
        // Room is published every quarter of the ring.
        for number in 0..2 {
            assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&[number][..])));
        }
        assert_eq!(wakes.take(), 0, "no doorbell announces room");
        tick.wake();
        assert_eq!(wakes.take(), 1);
        assert!(sending.as_mut().poll(&mut cx).is_ready());
    }
    for number in 2..9 {
        assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&[number][..])));
    }
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    assert_eq!((sender.stats().sent, sender.stats().full), (9, 2));
}

#[test]
fn several_tasks_on_several_channels_are_each_woken_by_their_own_doorbells_only() {
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    connect(&mut la, &mut lb);
    let (bells, wakes) = ([Bell::default(), Bell::default()], [Wakes::new(), Wakes::new()]);
    let received = RefCell::new(Vec::new());
    async fn task(
        mut receiver: Receiver<'_, SharedMemory>,
        bell: &Bell,
        task: usize,
        received: &RefCell<Vec<(usize, Vec<u8>)>>,
    ) {
        let mut buffer = [0; 100];
        for _ in 0..3 {
            let message = receiver.recv_async(&bell, &mut buffer).await.unwrap();
            received.borrow_mut().push((task, message.to_vec()));
        }
    }
    let mut tasks = [0, 1].map(|index| -> Pin<Box<dyn Future<Output = ()>>> {
        let receiver = ca.receiver(2 * index).unwrap();
        Box::pin(task(receiver, &bells[index], index, &received))
    });
    let mut senders = [cb.sender(0).unwrap(), cb.sender(2).unwrap()];
    let mut run = |task: usize| tasks[task].as_mut().poll(&mut Context::from_waker(&wakes[task].clone().into()));
    assert!(run(0).is_pending() && run(1).is_pending());
    for (number, task) in [1, 1, 0, 1, 0, 0].into_iter().enumerate() {
        let message = [number as u8];
        assert_eq!(senders[task].try_send(&message).unwrap().ring(&bells[task]), Ok(true));
        assert_eq!((wakes[task].take(), wakes[1 - task].take()), (1, 0));
        let done = run(task);
        assert_eq!(received.borrow().last(), Some(&(task, message.to_vec())));
        assert_eq!(done.is_ready(), matches!(number, 3 | 5));
    }
}
