//! The handshake: is the peer there, is it the same as before, do we agree?

use super::board::Closed;
use super::config::End;
use super::digest::digest;
use super::error::PeerViolation;
use super::mailbox::{Attach, Mailbox};
use super::wire::{self, Key, link};
use crate::control;
use crate::log::log;
use crate::memory::Memory;
use core::cell::Cell;
use core::marker::PhantomData;

mod state;
pub use state::{LinkState, LinkStats};

/// One end's view of the peer. Poll it every cycle, on whichever core; the channels' halves follow it.
#[derive(Debug)]
pub struct Link<'a, M> {
    mailbox: &'a Mailbox<'a, M>,
    ours: usize,
    theirs: usize,
    digest: u64,
    attach: Attach,
    epoch: u64,
    /// The peer's epoch as last seen and echoed, 0 for none.
    seen: u64,
    /// The peer's epoch of the session that is up, or was last, under this side's epoch; 0 for none.
    met: u64,
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
    pub(super) fn new(mailbox: &'a Mailbox<'a, M>, attach: Attach, epoch: u64) -> Self {
        let layout = mailbox.layout();
        Self {
            mailbox,
            ours: layout.section(mailbox.end),
            theirs: layout.section(mailbox.end.other()),
            digest: digest(mailbox.channels),
            attach,
            epoch,
            seen: 0,
            met: 0,
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
    /// Comes up within 3 polls of each side after the later one attached. At most 9 loads and 1 store; the poll that finds a
    /// new attachment of the peer makes 8 stores more, and one that takes a new epoch (see [`resync`](Self::resync)) those of
    /// [`Mailbox::attach`].
    pub fn poll(&mut self, now: u64) -> LinkState {
        self.stats.polls = self.stats.polls.saturating_add(1);
        if self.closed {
            return LinkState::Closed;
        }
        self.beat = self.beat.wrapping_add(1);
        self.memory().store(self.at(wire::HEARTBEAT), self.beat);
        let state = self.look(now);
        self.mailbox.board.count_poll();
        if !state.is_up() && self.up {
            self.up = false;
            self.mailbox.board.down();
            log!(info, "mailbox: link down, {}", state);
        }
        state
    }

    fn look(&mut self, now: u64) -> LinkState {
        let line = self.load_line();
        if line.magic != wire::MAGIC || !wire::is_epoch(line.epoch) {
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
        if line.version != wire::VERSION {
            return LinkState::OtherVersion { found: line.version };
        }
        if line.digest != self.digest {
            return LinkState::Incompatible { ours: self.digest, theirs: line.digest };
        }
        match line.state {
            // Also if it seemed to have closed before: whatever was done to its word is healed.
            wire::ATTACHED => self.mailbox.board.set_closed(Closed::No),
            wire::CLOSED => {
                // A short life may pass between two polls: what it sent can be received if it answered this epoch.
                if line.seen == self.epoch && self.met != line.epoch {
                    self.come_up(now);
                }
                self.mailbox.board.set_closed(Closed::There);
                return LinkState::Closed;
            }
            found => return self.violated(PeerViolation::State { found }),
        }
        let Some(id) = wire::parse_identity(line.identity) else {
            return self.violated(PeerViolation::Identity { found: line.identity });
        };
        if line.seen != self.epoch && control::EPOCH_ECHO {
            // Up once, the same peer cannot honestly have forgotten us.
            return match self.up {
                true => self.violated(PeerViolation::Echo { found: line.seen, epoch: self.epoch }),
                false => LinkState::Waiting,
            };
        }
        if !self.up && self.met == line.epoch {
            return self.renew(line.seen);
        }
        self.mailbox.board.set_peer(id, line.wants);
        if !self.up {
            self.come_up(now);
        }
        self.liveness(now)
    }

    fn come_up(&mut self, now: u64) {
        self.up = true;
        self.met = self.seen;
        self.stats.sessions = self.stats.sessions.saturating_add(1);
        self.peer_beat_at = now;
        self.mailbox.board.up_with(self.key(), self.seen as u32);
        log!(info, "mailbox: link up, session={=u64:x} peer={}", self.session(), self.peer_id());
    }

    /// Takes a new epoch. The session of this pair of epochs has ended, though the peer stayed: what it left in the rings
    /// would pass for new under the same key.
    #[cold]
    fn renew(&mut self, echoed: u64) -> LinkState {
        self.epoch = self.mailbox.publish_epoch(self.attach, self.epoch, echoed);
        self.seen = 0;
        self.met = 0;
        LinkState::Waiting
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
        // Whatever was done to this side's own words meanwhile, a new peer finds them whole.
        self.mailbox.publish_line(self.attach, self.digest, self.epoch);
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
        if self.attach.stale_after != 0 && age >= self.attach.stale_after {
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
    /// To come back, drop the link and the halves and [`attach`](Mailbox::attach) the mailbox again.
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
    ///
    /// A session that was up has ended with the violation and does not come back: this side takes a new epoch, and the
    /// peer sees a restart.
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
