//! A task asleep over a channel is woken if there is anything.

use super::{Hooked, Others, Rng, act, leak, others};
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::notify::Event;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};

const SEEDS: u64 = 100;

const CHANNELS: [Channel; 2] = [Channel::queuing(End::Second, 4, 8), Channel::sampling(End::Second, 8)];

/// The record of a vector: a doorbell wakes whoever is registered.
#[derive(Default)]
struct Bell(Cell<u32>, RefCell<Option<Waker>>);

impl Bell {
    fn wake(&self) {
        self.1.borrow_mut().take().into_iter().for_each(Waker::wake);
    }

    fn ring(&self) {
        self.0.set(self.0.get() + 1);
        self.1.borrow_mut().take().into_iter().for_each(Waker::wake);
    }
}

impl Event for Bell {
    fn count(&self) -> u32 {
        self.0.get()
    }

    fn register(&self, waker: &Waker) {
        *self.1.borrow_mut() = Some(waker.clone());
    }
}

struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The bell around whose calls the others act.
struct HookedBell {
    bell: &'static Bell,
    others: Others,
}

impl Event for HookedBell {
    fn count(&self) -> u32 {
        act(self.others);
        self.bell.count()
    }

    fn register(&self, waker: &Waker) {
        act(self.others);
        self.bell.register(waker);
        act(self.others);
    }
}

struct Peer {
    memory: SharedMemory,
    link: Link<'static, SharedMemory>,
    sender: Sender<'static, SharedMemory>,
    writer: Writer<'static, SharedMemory>,
    bell: &'static Bell,
    up: bool,
}

impl Peer {
    fn parts(
        memory: &SharedMemory,
    ) -> (Link<'static, SharedMemory>, Sender<'static, SharedMemory>, Writer<'static, SharedMemory>) {
        let mailbox = leak(Mailbox::new(memory.window(0, memory.len()).unwrap(), End::Second, &CHANNELS).unwrap());
        let (link, mut channels) = mailbox.attach(Attach::interrupt_driven(1));
        (link, channels.sender(0).unwrap(), channels.writer(1).unwrap())
    }

    fn ring(&self, notice: Notice) {
        if notice.is_due() {
            self.bell.ring();
        }
    }

    fn act(&mut self, rng: &mut Rng, value: bool) {
        match rng.below(40) {
            0 if rng.below(8) == 0 => {
                (self.link, self.sender, self.writer) = Self::parts(&self.memory);
                self.up = false;
            }
            1 if rng.below(16) == 0 => self.link.close(),
            2 | 3 if !value => {
                self.sender.resync();
                let notice = self.sender.notice();
                self.ring(notice);
            }
            4..20 => {
                self.up = self.link.poll(0).is_up();
            }
            _ if value => {
                if self.up
                    && let Ok(notice) = self.writer.write(b"x")
                {
                    self.ring(notice);
                }
            }
            20..28 => {
                let notice = self.sender.notice();
                let _ = self.sender.try_publish(b"x");
                self.ring(notice);
                let notice = self.sender.notice();
                self.ring(notice);
            }
            _ => {
                if let Ok(notice) = self.sender.try_send(b"x") {
                    self.ring(notice);
                }
            }
        }
    }
}

/// First's task is on one core, its link on another, which wakes the task when the link's state changes; Second on a third.
fn run(value: bool) {
    let (mut slept, mut woken) = (0, 0);
    for seed in 1..=SEEDS {
        let (first, second) = loop_back(1 << 14).unwrap();
        let hook = others();
        let bell: &'static Bell = leak(Bell::default());
        let (link, sender, writer) = Peer::parts(&second);
        let peer: &'static RefCell<Peer> =
            leak(RefCell::new(Peer { memory: second, link, sender, writer, bell, up: false }));
        let a = leak(Mailbox::new(Hooked { inner: first, others: hook }, End::First, &CHANNELS).unwrap());
        let (link, mut channels) = a.attach(Attach::interrupt_driven(0));
        let link: &'static RefCell<_> = leak(RefCell::new(link));
        let was = leak(Cell::new(LinkState::Waiting));
        let was: &'static Cell<LinkState> = was;
        let (mut receiver, mut reader) = (channels.receiver(0).unwrap(), channels.reader(1).unwrap());
        let mut rng = Rng::of_seed(seed);
        let others = RefCell::new(Rng(rng.0 ^ 0x5555_5555));
        let busy = 1 + seed % 8;
        *hook.borrow_mut() = Some(Box::new(move || {
            loop {
                let go = others.borrow_mut().below(busy + 1) == 0;
                if !go {
                    break;
                }
                let who = others.borrow_mut().below(4);
                if who == 0
                    && let Ok(mut link) = link.try_borrow_mut()
                {
                    let state = link.poll(0);
                    if was.replace(state) != state {
                        bell.wake();
                    }
                } else if let Ok(mut peer) = peer.try_borrow_mut() {
                    let mut rng = Rng(others.borrow_mut().below(1 << 40) | 1);
                    rng.below(2);
                    rng.below(2);
                    rng.below(2);
                    peer.act(&mut rng, value);
                }
            }
        }));
        let event = HookedBell { bell, others: hook };
        let wakes = Arc::new(Wakes(AtomicU32::new(0)));
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..3000 {
            wakes.0.store(0, Ordering::SeqCst);
            let mut buffer = [0; 8];
            let pending = if value {
                let pending = reader.poll_changed(&mut cx, &event).is_pending();
                if !pending {
                    let _ = reader.read(&mut buffer, 0);
                }
                pending
            } else {
                if rng.below(60) == 0 {
                    receiver.resync();
                }
                receiver.poll_recv(&mut cx, &event, &mut buffer).is_pending()
            };
            let steps = rng.below(30);
            for _ in 0..steps {
                act(hook);
            }
            if pending {
                slept += 1;
                if wakes.0.load(Ordering::SeqCst) > 0 {
                    woken += 1;
                    continue;
                }
                // Nobody woke it: then there must be nothing.
                let quiet = hook.borrow_mut().take();
                if value {
                    let found = reader.read(&mut buffer, 0).map(|sample| sample.fresh);
                    assert!(
                        !matches!(found, Ok(true)),
                        "seed {seed}: asleep over a value, {:?} {:?} {:?}",
                        was.get(),
                        reader.stats(),
                        peer.borrow().writer.stats()
                    );
                } else {
                    let found = receiver.try_recv(&mut buffer);
                    assert!(!matches!(found, Ok(Some(_))), "seed {seed}: asleep over a message");
                }
                *hook.borrow_mut() = quiet;
            }
        }
    }
    assert!(slept > 1000 && woken > 1000, "{slept} {woken}");
}

#[test]
fn a_receivers_task_is_not_asleep_over_a_message() {
    run(false);
}

#[test]
fn a_readers_task_is_not_asleep_over_a_value() {
    run(true);
}
