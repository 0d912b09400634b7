//! The peer acts before any step of a poll: wherever that is, the task has what it waits for or is woken.

use super::super::{CHANNELS, connect};
use super::{Bell, Wakes};
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::Memory;
use ivshmem::notify::Event;
use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// Runs something at the n-th step that is counted here; the first step is 0.
#[derive(Default)]
pub struct Script<'s> {
    pub step: Cell<u32>,
    actions: RefCell<Vec<(u32, Action<'s>)>>,
}

type Action<'s> = Box<dyn FnOnce() + 's>;

impl<'s> Script<'s> {
    pub fn at(&self, step: u32, action: impl FnOnce() + 's) {
        self.actions.borrow_mut().push((step, Box::new(action)));
    }

    fn step(&self) {
        let step = self.step.replace(self.step.get() + 1);
        loop {
            let due = self.actions.borrow().iter().position(|(at, _)| *at == step);
            let Some(due) = due else { return };
            let (_, action) = self.actions.borrow_mut().remove(due);
            action();
        }
    }

    /// Runs what was not due so far.
    pub fn rest(&self) {
        let rest: Vec<_> = self.actions.borrow_mut().drain(..).collect();
        rest.into_iter().for_each(|(_, action)| action());
    }
}

/// The receiver's event and memory: each use is a step, before which the peer may act.
pub struct Stepped<'r, 's, T> {
    pub script: &'r Script<'s>,
    pub inner: T,
}

impl<M: Memory> Memory for Stepped<'_, '_, M> {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn load(&self, offset: usize) -> u64 {
        self.script.step();
        self.inner.load(offset)
    }

    fn store(&self, offset: usize, value: u64) {
        self.script.step();
        self.inner.store(offset, value);
    }

    fn publish(&self, offset: usize, value: u64) {
        self.script.step();
        self.inner.publish(offset, value);
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        self.script.step();
        self.inner.copy_out(offset, bytes);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.script.step();
        self.inner.copy_in(offset, bytes);
    }
}

impl<E: Event> Event for Stepped<'_, '_, E> {
    fn count(&self) -> u32 {
        self.script.step();
        self.inner.count()
    }

    fn register(&self, waker: &Waker) {
        self.script.step();
        self.inner.register(waker);
        // A doorbell may also fall between this and whatever comes next.
        self.script.step();
    }
}

#[test]
fn no_wake_up_is_lost_wherever_message_and_doorbell_fall_between_look_registration_and_arm() {
    // More steps than a call has, so that what comes last comes after it.
    const STEPS: u32 = 20;
    let mut slept = 0;
    for (joined, publish_at) in [false, true].into_iter().flat_map(|joined| (0..STEPS).map(move |at| (joined, at))) {
        for ring_at in publish_at..STEPS {
            let case = format!("joined: {joined}, published at {publish_at}, rung at {ring_at}");
            let (first, second) = loop_back(1 << 16).unwrap();
            let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
            let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
            let (sender, bell) = (RefCell::new(cb.sender(0).unwrap()), Bell::default());
            let script = Script::default();
            let mut a = Mailbox::new(Stepped { script: &script, inner: first }, End::First, &CHANNELS).unwrap();
            let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
            let mut receiver = ca.receiver(0).unwrap();
            connect(&mut la, &mut lb);
            let mut buffer = [0; 100];
            if joined {
                sender.borrow_mut().try_send(b"before").unwrap().ignore();
                assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"before"[..])));
            }
            let event = Stepped { script: &script, inner: &bell };
            let wakes = Wakes::new();
            let waker = wakes.clone().into();
            let mut cx = Context::from_waker(&waker);
            script.step.set(0);
            script.at(publish_at, || sender.borrow_mut().try_publish(b"news").unwrap());
            script.at(ring_at, || {
                let notice = sender.borrow_mut().notice();
                notice.ring(&bell).unwrap();
            });
            let polled = receiver.poll_recv(&mut cx, &event, &mut buffer).map(|message| message.map(<[u8]>::to_vec));
            // Every access of a call that found nothing is a step of its own, and the cases reach beyond the last one.
            assert!(script.step.get() < STEPS, "{case}: {} steps", script.step.get());
            script.rest();
            match polled {
                Poll::Ready(message) => assert_eq!(message.as_deref(), Ok(&b"news"[..]), "{case}"),
                Poll::Pending => {
                    slept += 1;
                    assert!(wakes.take() >= 1, "{case}: asleep for ever");
                    let again = receiver.poll_recv(&mut cx, &event, &mut buffer);
                    assert_eq!(again, Poll::Ready(Ok(&b"news"[..])), "{case}");
                    assert_eq!(receiver.stats().recovered_by_poll, 0, "{case}");
                }
            }
        }
    }
    assert!(slept > 0, "no case in which the receiver sleeps");
}

#[test]
fn no_change_is_lost_wherever_value_and_doorbell_fall() {
    const STATE: [Channel; 1] = [Channel::sampling(End::Second, 56)];
    const STEPS: u32 = 12;
    let mut slept = 0;
    for (read_before, write_at) in [false, true].into_iter().flat_map(|read| (0..STEPS).map(move |at| (read, at))) {
        let case = format!("read before: {read_before}, written at {write_at}");
        let (first, second) = loop_back(1 << 16).unwrap();
        let mut b = Mailbox::new(second, End::Second, &STATE).unwrap();
        let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
        let (writer, bell) = (RefCell::new(cb.writer(0).unwrap()), Bell::default());
        let script = Script::default();
        let mut a = Mailbox::new(Stepped { script: &script, inner: first }, End::First, &STATE).unwrap();
        let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
        let mut reader = ca.reader(0).unwrap();
        connect(&mut la, &mut lb);
        let mut buffer = [0; 56];
        if read_before {
            writer.borrow_mut().write(b"before").unwrap().ignore();
            assert_eq!(reader.read(&mut buffer, 0).unwrap().bytes, b"before");
        }
        let event = Stepped { script: &script, inner: &bell };
        let wakes = Wakes::new();
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        script.step.set(0);
        script.at(write_at, || {
            writer.borrow_mut().write(b"news").unwrap().ring(&bell).unwrap();
        });
        let polled = reader.poll_changed(&mut cx, &event);
        assert!(script.step.get() < STEPS, "{case}: {} steps", script.step.get());
        script.rest();
        if polled.is_pending() {
            slept += 1;
            assert!(wakes.take() >= 1, "{case}: asleep for ever");
            assert!(reader.poll_changed(&mut cx, &event).is_ready(), "{case}");
        }
        assert_eq!(reader.read(&mut buffer, 0).unwrap().bytes, b"news", "{case}");
        assert!(reader.poll_changed(&mut cx, &event).is_pending(), "{case}: nothing new since");
    }
    assert!(slept > 0, "no case in which the reader sleeps");
}

#[test]
fn room_that_comes_before_the_registration_is_found_without_another_wake() {
    for room_at in 0..2 {
        let (first, second) = loop_back(1 << 16).unwrap();
        let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
        let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
        let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
        let (receiver, mut sender) = (RefCell::new(ca.receiver(0).unwrap()), cb.sender(0).unwrap());
        connect(&mut la, &mut lb);
        assert_eq!(receiver.borrow_mut().try_recv(&mut [0; 100]), Ok(None));
        while sender.try_send(b"full").is_ok() {}
        let (tick, script) = (Bell::default(), Script::default());
        script.at(room_at, || {
            while receiver.borrow_mut().try_recv(&mut [0; 100]).unwrap().is_some() {}
            tick.wake();
        });
        let event = Stepped { script: &script, inner: &tick };
        let wakes = Wakes::new();
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        // Before the registration the tick wakes nobody, and after it this task.
        assert!(sender.poll_send(&mut cx, &event, b"room").is_ready(), "room at step {room_at}");
        assert_eq!(wakes.take(), room_at);
    }
}

#[test]
fn a_reader_of_a_writer_that_closed_says_so_also_while_the_watch_is_polled() {
    for at in 0..5 {
        let (first, second) = loop_back(1 << 16).unwrap();
        const VALUES: [Channel; 1] = [Channel::sampling(End::Second, 8)];
        let mut b = Mailbox::new(second, End::Second, &VALUES).unwrap();
        let (mut lb, mut cb) = b.attach(Attach::polled());
        cb.writer(0).unwrap().write(b"value").unwrap().ignore();
        // Leaked, as the action borrows a reader of the memory that the script steps: a test ends.
        let (script, found): (&Script<'_>, &Cell<_>) = (Box::leak(Box::default()), Box::leak(Box::default()));
        let memory = Stepped { script, inner: first };
        let subscriber = Box::leak(Box::new(Subscriber::new(memory, End::Second, &VALUES).unwrap()));
        let (mut watch, mut values) = subscriber.subscribe(0);
        let mut reader = values.reader(0).unwrap();
        assert!(watch.poll(0).is_up());
        assert!(reader.read(&mut [0; 8], 0).is_ok());
        lb.close();
        assert_eq!(watch.poll(0), LinkState::Closed);
        script.step.set(0);
        script.at(at, move || found.set(Some(reader.try_read(&mut [0; 8], 0).map(|_| ()))));
        assert_eq!(watch.poll(0), LinkState::Closed);
        script.rest();
        assert_eq!(found.get(), Some(Err(ReadError::Closed)), "at load {at}");
    }
}
