//! A mailbox: one end's private state over one window of shared memory.

use super::board::{Board, Closed};
use super::channels::Channels;
use super::config::{self, Channel, ConfigError, End};
use super::digest::digest;
use super::layout::Layout;
use super::link::Link;
use super::wire::{self, Key, Keyed, link};
use crate::control;
use crate::log::log;
use crate::memory::Memory;
use core::fmt;

/// How this end presents itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Attach {
    /// This side's ivshmem id (IVPosition), published so that the peer can ring; `None` if it has none.
    pub id: Option<u16>,
    /// Anything that differs from boot to boot, such as a time stamp counter; 0 if there is nothing.
    /// Epochs differ without it, as long as the memory is kept; with it also when the memory is replaced.
    pub seed: u64,
    /// The peer is [`Stale`](super::LinkState::Stale) once its heartbeat stood still this long, in the ticks that
    /// [`Link::poll`] is given; 0 for never.
    pub stale_after: u64,
    /// Bit n set: this side may sleep waiting for channel n and wants its doorbells. Clear: it polls.
    pub wants_doorbells: u64,
}

impl Attach {
    /// An end that only polls: no id, no doorbells wanted, never stale.
    pub const fn polled() -> Self {
        Self { id: None, seed: 0, stale_after: 0, wants_doorbells: 0 }
    }

    /// An end with this ivshmem id that wants a doorbell for every channel it receives.
    pub const fn interrupt_driven(id: u16) -> Self {
        Self { id: Some(id), wants_doorbells: u64::MAX, ..Self::polled() }
    }
}

/// Why there can be no such mailbox. The memory is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MailboxError {
    /// The channels cannot be.
    Config(ConfigError),
    /// The window is smaller than the mailbox.
    RegionTooSmall {
        /// Bytes the mailbox needs.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
}

impl fmt::Display for MailboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::RegionTooSmall { need, have } => {
                write!(f, "the mailbox needs {need} bytes of shared memory and there are {have}")
            }
        }
    }
}

impl core::error::Error for MailboxError {}

impl From<ConfigError> for MailboxError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// One end of a mailbox. Put it where it can stay, then [`attach`](Self::attach) it.
#[derive(Debug)]
pub struct Mailbox<'c, M> {
    pub(super) memory: M,
    pub(super) end: End,
    pub(super) channels: &'c [Channel],
    pub(super) board: Board,
}

impl<'c, M: Memory> Mailbox<'c, M> {
    /// Checks that the channels can be and fit. Touches no shared memory.
    pub fn new(memory: M, end: End, channels: &'c [Channel]) -> Result<Self, MailboxError> {
        let need = Self::required_len(channels)?;
        let have = memory.len();
        if have < need {
            return Err(MailboxError::RegionTooSmall { need, have });
        }
        Ok(Self { memory, end, channels, board: Board::default() })
    }

    /// Withdraws whatever an earlier run left in this end's section, publishes a new epoch, and gives the link
    /// and the channels to take halves from. To attach anew, drop those first: the peer sees a restart.
    ///
    /// Attach after interrupts are enabled and unmasked: from then on the peer may ring.
    /// 2 loads and 1 more for each channel, and 9 stores and 2 more for each channel, whatever the memory's size.
    pub fn attach(&mut self, attach: Attach) -> (Link<'_, M>, Channels<'_, M>) {
        self.board.forget();
        self.board.set_closed(Closed::No);
        let mailbox: &Mailbox<'_, M> = self;
        let layout = mailbox.layout();
        // The one place that reads this side's own section: only to count its epoch on, and any value will do.
        let previous = mailbox.memory.load(layout.section(mailbox.end).saturating_add(link::EPOCH));
        let echoed = mailbox.memory.load(layout.section(mailbox.end.other()).saturating_add(link::SEEN));
        let epoch = mailbox.publish_epoch(attach, previous, echoed);
        (Link::new(mailbox, attach, epoch), Channels::new(mailbox))
    }

    /// Publishes an epoch that is neither `previous`, this side's last, nor the one that the peer echoed, nor in what the peer left.
    pub(super) fn publish_epoch(&self, attach: Attach, previous: u64, echoed: u64) -> u64 {
        let Self { memory, end, channels, .. } = self;
        let layout = self.layout();
        let ours = layout.section(*end);
        let at = |word: usize| ours.saturating_add(word);
        let epoch = self.fresh_epoch(previous, echoed, attach.seed);

        // Publish, each: whoever sees a later store of this list has seen the epoch withdrawn. The epoch goes before
        // the echo: a peer that finds its echo gone finds the epoch gone too, and does not take it for a violation.
        memory.publish(at(link::EPOCH), wire::withdrawn(previous));
        if control::ECHO_WITHDRAWN {
            memory.publish(at(link::SEEN), 0);
        }
        for index in 0..channels.len() {
            // Both words of the ring's key, or LATEST and STARTED, where this end sends; acknowledgement and wish where it receives.
            let line = layout.line(*end, index);
            memory.publish(line.saturating_add(wire::RING), 0);
            memory.publish(line.saturating_add(wire::RING_AFTER), 0);
        }
        self.publish_line(attach, digest(channels), epoch);
        self.board.set_epoch(epoch);
        log!(info, "mailbox: attached as {} epoch={=u64:x}", end, epoch);
        epoch
    }

    /// The next epoch whose counter is in no key that stands in the peer's channel lines. A half that its user has not called for
    /// thousands of sessions has left a key of one of them there, and what it wrote then would pass for new. 1 load a channel.
    fn fresh_epoch(&self, previous: u64, echoed: u64, seed: u64) -> u64 {
        let mut old = [0; config::MAX_CHANNELS];
        for ((index, channel), old) in self.channels.iter().enumerate().zip(&mut old) {
            let word = self.memory.load(self.layout().line(self.end.other(), index).saturating_add(wire::RING));
            let key = if channel.from == self.end { Keyed::from_word(word).key } else { Key::from_bits(word as u32) };
            *old = key.counter(self.end);
        }
        let mut epoch = wire::next_epoch(previous, echoed, seed);
        // Each round has another counter, and so there are no more rounds than counters to pass over, whatever the peer wrote.
        for _ in 0..old.len() {
            if !old.contains(&wire::epoch_counter(epoch)) {
                break;
            }
            epoch = wire::next_epoch(epoch, echoed, seed);
        }
        epoch
    }

    /// This end's link line, but for its echo and its heartbeat: 7 stores.
    pub(super) fn publish_line(&self, attach: Attach, digest: u64, epoch: u64) {
        let ours = self.layout().section(self.end);
        for (word, value) in [
            (link::MAGIC, wire::MAGIC),
            (link::VERSION, wire::VERSION),
            (link::DIGEST, digest),
            (link::IDENTITY, wire::identity(attach.id)),
            (link::WANTS, attach.wants_doorbells),
            (link::STATE, wire::ATTACHED),
            // Last: whoever sees the epoch sees all of the above.
            (link::EPOCH, epoch),
        ] {
            self.memory.publish(ours.saturating_add(word), value);
        }
    }

    /// Bytes that a mailbox of these channels needs.
    pub fn required_len(channels: &[Channel]) -> Result<usize, ConfigError> {
        config::check(channels)?;
        Ok(Layout::new(channels).len())
    }

    pub(super) fn layout(&self) -> Layout<'c> {
        Layout::new(self.channels)
    }
}
