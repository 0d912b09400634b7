//! Many channels in one mailbox: what befalls one is no other's business.

mod schedule;
mod traces;
mod vectors;

use ivshmem::channel::wire::{Header, Key};
use ivshmem::channel::*;
use ivshmem::fake::memory::Words;
use ivshmem::memory::Memory;
use std::cell::RefCell;
use std::rc::Rc;

/// A word touched: how, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Load(usize),
    Store(usize),
}

/// Memory that notes every access of one end.
#[derive(Clone, Debug)]
struct Traced {
    words: Words,
    trace: Rc<RefCell<Vec<Access>>>,
}

impl Traced {
    /// Forgets what was noted, and gives it.
    fn take(&self) -> Vec<Access> {
        self.trace.take()
    }

    fn note(&self, access: Access) {
        self.trace.borrow_mut().push(access);
    }
}

impl Memory for Traced {
    fn len(&self) -> usize {
        self.words.len()
    }

    fn load(&self, offset: usize) -> u64 {
        self.note(Access::Load(offset));
        self.words.load(offset)
    }

    fn store(&self, offset: usize, value: u64) {
        self.note(Access::Store(offset));
        self.words.store(offset, value);
    }

    fn publish(&self, offset: usize, value: u64) {
        self.note(Access::Store(offset));
        self.words.publish(offset, value);
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        (0..bytes.len().div_ceil(8)).for_each(|word| self.note(Access::Load(offset + word * 8)));
        self.words.copy_out(offset, bytes);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        (0..bytes.len().div_ceil(8)).for_each(|word| self.note(Access::Store(offset + word * 8)));
        self.words.copy_in(offset, bytes);
    }
}

/// Both ends of a mailbox, up: the First on traced memory, the Second on the same words.
struct Pair {
    traced: Traced,
    words: Words,
    first: (Link<'static, Traced>, Channels<'static, Traced>),
    second: (Link<'static, Words>, Channels<'static, Words>),
}

/// Leaked: a test ends.
fn pair(channels: &'static [Channel], attach: Attach) -> Pair {
    let words = Words::new(Mailbox::<Words>::required_len(channels).unwrap());
    let traced = Traced { words: words.clone(), trace: Rc::default() };
    let mut first = Box::leak(Box::new(Mailbox::new(traced.clone(), End::First, channels).unwrap())).attach(attach);
    let mut second = Box::leak(Box::new(Mailbox::new(words.clone(), End::Second, channels).unwrap()))
        .attach(Attach { id: Some(1), ..attach });
    while !(first.0.poll(0).is_up() & second.0.poll(0).is_up()) {}
    traced.take();
    Pair { traced, words, first, second }
}

/// A peer that breaks the rules of one channel to the First end, whose slots are of one cache line.
#[derive(Clone)]
struct Hostile {
    words: Words,
    channels: &'static [Channel],
    channel: usize,
}

impl Hostile {
    /// Puts this header, with the ring's tag, where the message at `position` is due.
    fn header(&self, position: u64, length: u16, kind: u8) {
        let lines = Snapshot::new(&self.words, self.channels).channel(self.channel).unwrap();
        let key = Key::from_bits(lines.ring as u32);
        let header = Header { stamp: position as u32 + 1, length, kind, tag: key.tag() };
        let slot = position as usize % self.channels[self.channel].slots() as usize;
        self.words.store(lines.slots_at + slot * 64, header.to_word());
    }
}
