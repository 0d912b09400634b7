//! The handshake: is the peer there, is it the same as before, do we agree?

use super::board::Closed;
use super::config::{self, End};
use super::error::PeerViolation;
use super::mailbox::Mailbox;
use super::wire::{self, Key, link};
use crate::log::log;
use crate::memory::Memory;
use core::cell::Cell;
use core::marker::PhantomData;

/// How the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LinkState {
    /// The peer is not there yet, or has not answered yet.
    Waiting,
    /// Both ends have seen each other's epoch and agree on the channels.
    Up {
        /// The low halves of the First and of the Second end's epoch.
        session: u64,
    },
    /// Reported once, by the poll that noticed it: the peer left the session that was up and attached anew.
    PeerRestarted,
    /// As `Up`, but the peer's heartbeat has stood still.
    Stale {
        /// For how long, in the ticks given to [`Link::poll`].
        age: u64,
    },
    /// This side closed, or the peer did.
    Closed,
    /// The peer has other channels, or another version of the wire format.
    Incompatible {
        /// Digest of this side's channels.
        ours: u64,
        /// Digest of the peer's.
        theirs: u64,
    },
    /// The peer wrote what no honest peer can write; until it attaches anew, or [`Link::resync`].
    Violated(PeerViolation),
}

impl LinkState {
    /// Whether channels work: `Up` or `Stale`.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up { .. } | Self::Stale { .. })
    }
}

/// What a link has counted; each saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkStats {
    /// Calls of [`Link::poll`].
    pub polls: u64,
    /// Sessions that came up.
    pub sessions: u32,
    /// Times the peer left a session that was up.
    pub peer_restarts: u32,
    /// Violations latched by the link itself.
    pub violations: u32,
}

/// One end's view of the peer. Poll it every cycle, on whichever core; the channels' halves follow it.
#[derive(Debug)]
pub struct Link<'a, M> {
    mailbox: &'a Mailbox<'a, M>,
    ours: usize,
    theirs: usize,
    digest: u64,
    epoch: u64,
    stale_after: u64,
    /// The peer's epoch as last seen and echoed, 0 for none.
    seen: u64,
    up: bool,
    closed: bool,
    violation: Option<PeerViolation>,
    beat: u64,
    peer_beat: u64,
    peer_beat_at: u64,
    stats: LinkStats,
    /// `Send`, but not `Sync`: one poller at a time.
    not_sync: PhantomData<Cell<()>>,
}

/// The peer's link line: each word loaded once.
struct Line {
    magic: u64,
    version: u64,
    digest: u64,
    epoch: u64,
    seen: u64,
    state: u64,
    identity: u64,
    wants: u64,
}

impl<'a, M: Memory> Link<'a, M> {
    pub(super) fn new(mailbox: &'a Mailbox<'a, M>, stale_after: u64, epoch: u64) -> Self {
        let layout = mailbox.layout();
        Self {
            mailbox,
            ours: layout.section(mailbox.end),
            theirs: layout.section(mailbox.end.other()),
            digest: config::digest(mailbox.channels),
            epoch,
            stale_after,
            seen: 0,
            up: false,
            closed: false,
            violation: None,
            beat: 0,
            peer_beat: 0,
            peer_beat_at: 0,
            stats: LinkStats::default(),
            not_sync: PhantomData,
        }
    }

    /// Looks at the peer once, answers it, and says how the link stands. `now` is in any ticks that only count up; one
    /// that stands still or runs backwards merely delays [`LinkState::Stale`].
    ///
    /// Comes up within 3 polls of each side after the later one attached. At most 9 loads and 2 stores.
    pub fn poll(&mut self, now: u64) -> LinkState {
        self.stats.polls = self.stats.polls.saturating_add(1);
        if self.closed {
            return LinkState::Closed;
        }
        self.beat = self.beat.wrapping_add(1);
        self.memory().store(self.at(wire::HEARTBEAT), self.beat);
        let state = self.look(now);
        if !state.is_up() && self.up {
            self.up = false;
            self.mailbox.board.down();
            log!(info, "mailbox: link down, {}", state);
        }
        state
    }

    fn look(&mut self, now: u64) -> LinkState {
        let line = self.load_line();
        if line.magic != wire::MAGIC || line.epoch == 0 {
            // Nobody there, or in the middle of attaching.
            return self.absent();
        }
        if line.epoch != self.seen {
            return self.newcomer(&line, now);
        }
        if let Some(violation) = self.violation {
            return LinkState::Violated(violation);
        }
        if wire::epoch_counter(line.epoch) == 0 {
            return self.violated(PeerViolation::Epoch { found: line.epoch });
        }
        if line.version != wire::VERSION || line.digest != self.digest {
            return LinkState::Incompatible { ours: self.digest, theirs: line.digest };
        }
        match line.state {
            wire::ATTACHED => {}
            wire::CLOSED => {
                self.mailbox.board.set_closed(Closed::There);
                return LinkState::Closed;
            }
            found => return self.violated(PeerViolation::State { found }),
        }
        let Some(id) = wire::parse_identity(line.identity) else {
            return self.violated(PeerViolation::Identity { found: line.identity });
        };
        if line.seen != self.epoch {
            // Up once, the same peer cannot honestly have forgotten us.
            return match self.up {
                true => self.violated(PeerViolation::Echo { found: line.seen, epoch: self.epoch }),
                false => LinkState::Waiting,
            };
        }
        self.mailbox.board.set_peer(id, line.wants);
        if !self.up {
            self.up = true;
            self.stats.sessions = self.stats.sessions.saturating_add(1);
            self.peer_beat_at = now;
            self.mailbox.board.up(self.key());
            log!(info, "mailbox: link up, session={=u64:x} peer={}", self.session(), id);
        }
        self.liveness(now)
    }

    /// Loads the echo before the epoch. An echo that is good under the epoch already answered was then given by that very
    /// attachment of the peer: a later one withdraws its echo before it publishes its epoch.
    fn load_line(&self) -> Line {
        let load = |word: usize| self.memory().load(self.theirs.saturating_add(word));
        let seen = load(link::SEEN);
        let epoch = load(link::EPOCH);
        Line {
            magic: load(link::MAGIC),
            version: load(link::VERSION),
            digest: load(link::DIGEST),
            epoch,
            seen,
            state: load(link::STATE),
            identity: load(link::IDENTITY),
            wants: load(link::WANTS),
        }
    }

    fn absent(&mut self) -> LinkState {
        self.forget_peer();
        if self.up { self.restarted() } else { LinkState::Waiting }
    }

    /// A peer of an epoch not seen before: answer it. The next poll that finds our epoch echoed comes up.
    fn newcomer(&mut self, line: &Line, now: u64) -> LinkState {
        self.forget_peer();
        self.seen = line.epoch;
        self.peer_beat_at = now;
        self.memory().publish(self.at(link::SEEN), line.epoch);
        log!(debug, "mailbox: peer epoch={=u64:x}", line.epoch);
        if self.up { self.restarted() } else { LinkState::Waiting }
    }

    fn forget_peer(&mut self) {
        self.seen = 0;
        self.violation = None;
        self.mailbox.board.set_closed(Closed::No);
    }

    fn restarted(&mut self) -> LinkState {
        self.stats.peer_restarts = self.stats.peer_restarts.saturating_add(1);
        LinkState::PeerRestarted
    }

    fn violated(&mut self, violation: PeerViolation) -> LinkState {
        self.violation = Some(violation);
        self.stats.violations = self.stats.violations.saturating_add(1);
        log!(error, "mailbox: link violated, {}", violation);
        LinkState::Violated(violation)
    }

    fn liveness(&mut self, now: u64) -> LinkState {
        let beat = self.memory().load(self.theirs.saturating_add(wire::HEARTBEAT));
        if beat != self.peer_beat {
            self.peer_beat = beat;
            self.peer_beat_at = now;
        }
        let age = now.saturating_sub(self.peer_beat_at);
        if self.stale_after != 0 && age >= self.stale_after {
            return LinkState::Stale { age };
        }
        LinkState::Up { session: self.session() }
    }

    /// The peer's ivshmem id as it last published it: what to ring, and nothing else.
    pub fn peer_id(&self) -> Option<u16> {
        self.mailbox.board.peer_id()
    }

    /// Tells the peer that this side is done; channels then answer `Closed`. A second call does nothing.
    ///
    /// To come back, drop the halves and attach a new mailbox.
    pub fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            self.up = false;
            self.mailbox.board.set_closed(Closed::Here);
            self.mailbox.board.down();
            self.memory().publish(self.at(link::STATE), wire::CLOSED);
            log!(info, "mailbox: closed");
        }
    }

    /// Forgives a violation that the link itself latched; the next poll judges the peer anew.
    pub fn resync(&mut self) {
        self.violation = None;
    }

    /// What this link has counted.
    pub const fn stats(&self) -> LinkStats {
        self.stats
    }

    pub(super) fn memory(&self) -> &M {
        &self.mailbox.memory
    }

    fn at(&self, word: usize) -> usize {
        self.ours.saturating_add(word)
    }

    /// This side's epoch and the peer's, in the order First, Second.
    fn epochs(&self) -> (u64, u64) {
        match self.mailbox.end {
            End::First => (self.epoch, self.seen),
            End::Second => (self.seen, self.epoch),
        }
    }

    fn key(&self) -> Key {
        let (first, second) = self.epochs();
        Key::new(first, second)
    }

    fn session(&self) -> u64 {
        let (first, second) = self.epochs();
        first << 32 | second & 0xffff_ffff
    }
}
