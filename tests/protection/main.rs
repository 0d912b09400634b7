//! Protected channels, two ends over one mapping and a third view of it that causes the accidents.

mod accidents;
mod corruption;
mod delay;
mod document;
mod hostile;
mod sampling;
mod sessions;

use ivshmem::channel::protection::*;
use ivshmem::channel::wire::{Header, Key};
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};

const SLOTS: usize = 8;
/// Head and 32 bytes of payload: with the slot's header one cache line.
const CHANNELS: [Channel; 7] = [
    Channel::queuing(End::Second, SLOTS as u32, 56).protected(0x51),
    Channel::queuing(End::Second, SLOTS as u32, 56).protected(0x52),
    Channel::queuing(End::First, SLOTS as u32, 56).protected(0x53),
    Channel::queuing(End::First, SLOTS as u32, 56),
    Channel::sampling(End::Second, 56).protected(0x54),
    Channel::sampling(End::Second, 56).protected(0x55),
    Channel::sampling(End::First, 56).protected(0x56),
];
const SOURCE: u16 = 7;
const EXPECTED: Expected =
    Expected { source: SOURCE, max_lost: 3, validity: 100, window: Window { last: 4, enough: 2, tolerated: 1 } };

type End_ = (Link<'static, SharedMemory>, Channels<'static, SharedMemory>);

/// Both ends, attached and not yet up, and a view of their memory.
fn ends() -> (End_, End_, SharedMemory) {
    let (first, second) = loop_back(1 << 14).unwrap();
    let spy = second.window(0, second.len()).unwrap();
    (attach(first, End::First), attach(second, End::Second), spy)
}

/// Attaches, as after a boot, to whatever the memory holds. Leaked: a test ends.
fn attach(memory: SharedMemory, end: End) -> End_ {
    Box::leak(Box::new(Mailbox::new(memory, end, &CHANNELS).unwrap())).attach(Attach::polled())
}

fn connect<A: Memory, B: Memory>(first: &mut Link<'_, A>, second: &mut Link<'_, B>) {
    for _ in 0..3 {
        first.poll(0);
        second.poll(0);
    }
    assert!(first.poll(0).is_up() && second.poll(0).is_up());
}

/// One protected channel whose ends have met, and what can befall it on the way.
struct Way {
    sender: ProtectedSender<'static, SharedMemory>,
    receiver: ProtectedReceiver<'static, SharedMemory>,
    spy: SharedMemory,
    channel: usize,
    links: (Link<'static, SharedMemory>, Link<'static, SharedMemory>),
    channels: (Channels<'static, SharedMemory>, Channels<'static, SharedMemory>),
}

/// Channel 0, from the Second end.
fn way() -> Way {
    let ((mut la, mut ca), (mut lb, mut cb), spy) = ends();
    let (receiver, sender) = (ca.protected_receiver(0, EXPECTED, 0).unwrap(), cb.protected_sender(0, SOURCE).unwrap());
    connect(&mut la, &mut lb);
    Way { sender, receiver, spy, channel: 0, links: (la, lb), channels: (ca, cb) }
}

impl Way {
    fn send(&mut self, messages: impl IntoIterator<Item = u8>) {
        for message in messages {
            self.sender.try_send(&[message; 9]).unwrap().ignore();
        }
    }

    /// The next message's first byte and its status, at time 0.
    fn receive(&mut self) -> Option<(u8, Status)> {
        let mut buffer = [0; 32];
        let checked = self.receiver.try_recv(&mut buffer, 0).unwrap()?;
        Some((*checked.bytes.first()?, checked.status))
    }

    /// All that can be received.
    fn drain(&mut self) -> Vec<(u8, Status)> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    /// Where a message's slot lies.
    fn slot(&self, position: usize) -> usize {
        Snapshot::new(&self.spy, &CHANNELS).channel(self.channel).unwrap().slots_at + position % SLOTS * 64
    }

    /// The slot's eight words.
    fn read(&self, position: usize) -> [u64; 8] {
        let slot = self.slot(position);
        std::array::from_fn(|word| self.spy.load(slot + word * 8))
    }

    /// Makes the message at `position` a copy of a slot, with the stamp and tag that are due there: the ring itself notices nothing.
    fn write(&self, position: usize, words: [u64; 8]) {
        let slot = self.slot(position);
        let there = Header::from_word(self.spy.load(slot));
        let header = Header { stamp: position as u32 + 1, tag: there.tag, ..Header::from_word(words[0]) };
        for (word, value) in words.into_iter().enumerate().skip(1) {
            self.spy.store(slot + word * 8, value);
        }
        self.spy.store(slot, header.to_word());
    }
}

/// The key of the first session of two ends on zeroed memory.
const FIRST_SESSION: Key = Key::new(1, 1);
