//! A look at a mailbox from outside, for tools: reads only, believes nothing.

use super::config::{Channel, End};
use super::layout::Layout;
use super::wire::{self, Header, Keyed, link};
use crate::memory::Memory;

/// A mailbox's shared words as they are found, with no judgement on them.
#[derive(Debug)]
pub struct Snapshot<'a, M> {
    memory: &'a M,
    layout: Layout<'a>,
}

/// The words of one end's link and liveness lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkLine {
    /// Byte offset of the end's section in the window.
    pub offset: usize,
    /// [`wire::MAGIC`] if an end ever attached here.
    pub magic: u64,
    /// Version of the wire format.
    pub version: u64,
    /// Digest of the end's channels.
    pub digest: u64,
    /// The end's epoch, 0 for none.
    pub epoch: u64,
    /// The peer's epoch as this end last saw it.
    pub seen: u64,
    /// [`wire::ATTACHED`] or [`wire::CLOSED`].
    pub state: u64,
    /// Decoded by [`wire::parse_identity`].
    pub identity: u64,
    /// Bit n: wants doorbells for channel n.
    pub wants: u64,
    /// Counts the end's polls.
    pub heartbeat: u64,
}

/// The control words of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChannelLines {
    /// The key under which the sender offers the ring; in a sampling channel, the latest value's number and key.
    pub ring: u64,
    /// The same key; in a sampling channel, the number and key of the value begun last.
    pub ring_after: u64,
    /// What the receiver has acknowledged.
    pub acknowledged: Keyed,
    /// From which message on the receiver wants a doorbell.
    pub wish: Keyed,
    /// Byte offset of the first slot in the window.
    pub slots_at: usize,
}

impl<'a, M: Memory> Snapshot<'a, M> {
    /// A view of the mailbox of these channels in `memory`.
    pub const fn new(memory: &'a M, channels: &'a [Channel]) -> Self {
        Self { memory, layout: Layout::new(channels) }
    }

    /// One end's link and liveness lines: 9 loads.
    pub fn link(&self, end: End) -> LinkLine {
        let offset = self.layout.section(end);
        let load = |word: usize| self.memory.load(offset.saturating_add(word));
        LinkLine {
            offset,
            magic: load(link::MAGIC),
            version: load(link::VERSION),
            digest: load(link::DIGEST),
            epoch: load(link::EPOCH),
            seen: load(link::SEEN),
            state: load(link::STATE),
            identity: load(link::IDENTITY),
            wants: load(link::WANTS),
            heartbeat: load(wire::HEARTBEAT),
        }
    }

    /// A channel's control words: 4 loads. `None` if there is no such channel.
    pub fn channel(&self, index: usize) -> Option<ChannelLines> {
        let from = self.layout.channel(index)?.from();
        let sender = self.layout.line(from, index);
        let receiver = self.layout.line(from.other(), index);
        Some(ChannelLines {
            ring: self.memory.load(sender.saturating_add(wire::RING)),
            ring_after: self.memory.load(sender.saturating_add(wire::RING_AFTER)),
            acknowledged: Keyed::from_word(self.memory.load(receiver.saturating_add(wire::ACKNOWLEDGED))),
            wish: Keyed::from_word(self.memory.load(receiver.saturating_add(wire::WISH))),
            slots_at: self.layout.ring(index),
        })
    }

    /// A slot's header: 1 load. `None` if there is no such channel or slot.
    pub fn slot(&self, index: usize, slot: u32) -> Option<Header> {
        let channel = self.layout.channel(index)?;
        if slot >= channel.slots() {
            return None;
        }
        let offset = (slot as usize).saturating_mul(channel.stride()).saturating_add(self.layout.ring(index));
        Some(Header::from_word(self.memory.load(offset)))
    }
}
