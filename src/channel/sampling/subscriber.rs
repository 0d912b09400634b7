//! Reads an end's sampling channels from outside its mailbox: one more VM that looks on, and writes nothing.

use super::reader::Reader;
use crate::channel::board::Closed;
use crate::channel::channels::{Channels, TakeError};
use crate::channel::config::{Channel, End};
use crate::channel::digest::digest;
use crate::channel::error::PeerViolation;
use crate::channel::link::{LinkState, LinkStats};
use crate::channel::mailbox::{Mailbox, MailboxError};
use crate::channel::wire::{self, Key, link};
use crate::memory::Memory;
use core::cell::Cell;
use core::marker::PhantomData;

/// One that looks on. Put it where it can stay, then [`subscribe`](Self::subscribe).
///
/// The writer is an ordinary end of a mailbox of these channels, perhaps one whose other end nobody is.
#[derive(Debug)]
pub struct Subscriber<'c, M> {
    mailbox: Mailbox<'c, M>,
}

impl<'c, M: Memory> Subscriber<'c, M> {
    /// Looks on at what the end `from` writes into the mailbox of these channels. Touches no shared memory. Beside a mailbox in the same
    /// program, give it a [`window`](crate::memory::SharedMemory::window) of that memory.
    pub fn new(memory: M, from: End, channels: &'c [Channel]) -> Result<Self, MailboxError> {
        Ok(Self { mailbox: Mailbox::new(memory, from.other(), channels)? })
    }

    /// Gives what to poll and what to take readers from. The writer is [`LinkState::Stale`] once its heartbeat stood still
    /// for `stale_after` ticks, 0 for never. To begin anew, drop both and call again.
    pub fn subscribe(&mut self, stale_after: u64) -> (Watch<'_, M>, Values<'_, M>) {
        self.mailbox.board.forget();
        self.mailbox.board.set_closed(Closed::No);
        let mailbox: &Mailbox<'_, M> = &self.mailbox;
        (Watch::new(mailbox, stale_after), Values(Channels::new(mailbox)))
    }
}

/// Hands out a reader for each of the writer's sampling channels, once.
#[derive(Debug)]
pub struct Values<'a, M>(pub(in crate::channel) Channels<'a, M>);

impl<'a, M: Memory> Values<'a, M> {
    /// The reader of a sampling channel.
    pub fn reader(&mut self, channel: usize) -> Result<Reader<'a, M>, TakeError> {
        self.0.onlooker(channel)
    }
}

/// Whether the writer is there: a link of which only this side knows. Poll it every cycle.
#[derive(Debug)]
pub struct Watch<'a, M> {
    mailbox: &'a Mailbox<'a, M>,
    section: usize,
    digest: u64,
    stale_after: u64,
    /// The writer's epoch while its values can be read, 0 for none.
    epoch: u64,
    beat: u64,
    beat_at: u64,
    /// Whether the last poll found what no honest writer writes.
    violated: bool,
    stats: LinkStats,
    /// `Send`, but not `Sync`: one poller at a time.
    not_sync: PhantomData<Cell<()>>,
}

impl<'a, M: Memory> Watch<'a, M> {
    fn new(mailbox: &'a Mailbox<'a, M>, stale_after: u64) -> Self {
        Self {
            mailbox,
            section: mailbox.layout().section(mailbox.end.other()),
            digest: digest(mailbox.channels),
            stale_after,
            epoch: 0,
            beat: 0,
            beat_at: 0,
            violated: false,
            stats: LinkStats::default(),
            not_sync: PhantomData,
        }
    }

    /// Looks at the writer once. `now` as for [`Link::poll`](crate::channel::Link::poll). At most 6 loads, no store.
    ///
    /// `Up` carries the writer's epoch; `PeerRestarted` is reported once, and the next poll finds the new epoch up.
    pub fn poll(&mut self, now: u64) -> LinkState {
        self.stats.polls = self.stats.polls.saturating_add(1);
        let state = self.follow(now);
        let violated = matches!(state, LinkState::Violated(_));
        match state {
            LinkState::PeerRestarted => self.stats.peer_restarts = self.stats.peer_restarts.saturating_add(1),
            LinkState::Violated(_) if !self.violated => {
                self.stats.violations = self.stats.violations.saturating_add(1);
            }
            _ => {}
        }
        self.violated = violated;
        state
    }

    /// What this watch has counted. A violation lasts until a poll finds it gone.
    pub const fn stats(&self) -> LinkStats {
        self.stats
    }

    fn follow(&mut self, now: u64) -> LinkState {
        let board = &self.mailbox.board;
        let epoch = self.load(link::EPOCH);
        let stays = self.epoch != 0 && epoch == self.epoch;
        let found = match self.look(epoch) {
            LinkState::Up { session } => session,
            other => {
                let was_up = self.forget();
                return match other {
                    LinkState::Waiting if was_up => LinkState::PeerRestarted,
                    other => other,
                };
            }
        };
        if !stays {
            let was_up = self.forget();
            if was_up {
                return LinkState::PeerRestarted;
            }
            self.epoch = found;
            self.beat_at = now;
            self.stats.sessions = self.stats.sessions.saturating_add(1);
            board.up_with(Key::from_bits(found as u32), found as u32);
        }
        let beat = self.load(wire::HEARTBEAT);
        if beat != self.beat {
            self.beat = beat;
            self.beat_at = now;
        }
        let age = now.saturating_sub(self.beat_at);
        match self.stale_after != 0 && age >= self.stale_after {
            true => LinkState::Stale { age },
            false => LinkState::Up { session: found },
        }
    }

    /// What the writer's link line says, its epoch being `epoch`.
    fn look(&self, epoch: u64) -> LinkState {
        let state = self.judge(epoch);
        // Once, when it is known: a reader on another core never finds a writer that closed merely not up.
        let closed = if state == LinkState::Closed { Closed::There } else { Closed::No };
        self.mailbox.board.set_closed(closed);
        state
    }

    fn judge(&self, epoch: u64) -> LinkState {
        if self.load(link::MAGIC) != wire::MAGIC || !wire::is_epoch(epoch) {
            return LinkState::Waiting;
        }
        if wire::epoch_counter(epoch) == 0 {
            return LinkState::Violated(PeerViolation::Epoch { found: epoch });
        }
        let (version, theirs) = (self.load(link::VERSION), self.load(link::DIGEST));
        if version != wire::VERSION {
            return LinkState::OtherVersion { found: version };
        }
        if theirs != self.digest {
            return LinkState::Incompatible { ours: self.digest, theirs };
        }
        match self.load(link::STATE) {
            wire::ATTACHED => LinkState::Up { session: epoch },
            wire::CLOSED => LinkState::Closed,
            found => LinkState::Violated(PeerViolation::State { found }),
        }
    }

    /// Ends what was up, and says whether anything was.
    fn forget(&mut self) -> bool {
        self.mailbox.board.down();
        core::mem::take(&mut self.epoch) != 0
    }

    fn load(&self, word: usize) -> u64 {
        self.mailbox.memory.load(self.section.saturating_add(word))
    }
}
