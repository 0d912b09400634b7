//! A link that says, once each, what becomes of it.

use crate::clock::Clock;
use crate::failure::{Failure, Named};
use crate::say;
use ivshmem::channel::{Link, LinkState, LinkStats, wire};
use ivshmem::memory::Memory;

/// Lines a second, at most: a hostile peer could make thousands, and each takes the time of some hundred instructions.
const LINES: u32 = 256;

/// A link whose changes appear on COM1: `up`, `stale`, `closed`, `error`. What the peer violates is begun anew.
///
/// `restarted` is its owner's, who knows what was counted until then.
#[derive(Debug)]
pub struct Announcer<'a, M> {
    name: &'static str,
    link: Link<'a, M>,
    clock: Clock,
    state: LinkState,
    complained: bool,
    resyncs: u32,
    /// When the link was polled last, when the present second began, and the lines left in it.
    now: u64,
    second: u64,
    lines: u32,
}

/// What one look at the peer gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// How the link stands.
    pub state: LinkState,
    /// Whether it stood otherwise before.
    pub is_new: bool,
    /// Whether the peer restarted, and there is still a line for it.
    pub say_restarted: bool,
}

impl<'a, M: Memory> Announcer<'a, M> {
    /// `name` is the first word of each line; `clock` is what [`poll`](Self::poll) is given the time of.
    pub const fn new(name: &'static str, link: Link<'a, M>, clock: Clock) -> Self {
        let state = LinkState::Waiting;
        Self { name, link, clock, state, complained: false, resyncs: 0, now: 0, second: 0, lines: LINES }
    }

    /// The first word of each line.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Looks at the peer and says what changed.
    pub fn poll(&mut self, now: u64) -> News {
        self.now = now;
        let state = self.link.poll(now);
        if matches!(state, LinkState::Violated(_)) {
            self.link.resync();
            self.resyncs = self.resyncs.saturating_add(1);
        }
        let is_new = core::mem::discriminant(&state) != core::mem::discriminant(&self.state);
        let may_speak = is_new && self.may_speak();
        if may_speak {
            self.say(state);
        }
        self.state = state;
        News { state, is_new, say_restarted: may_speak && state == LinkState::PeerRestarted }
    }

    fn say(&mut self, state: LinkState) {
        let name = self.name;
        match state {
            LinkState::Up { session } => {
                self.complained = false;
                match self.link.peer_id() {
                    Some(peer) => say!("{name}: up session={session:016x} peer={peer}"),
                    None => say!("{name}: up session={session:016x} peer=-"),
                }
            }
            LinkState::Stale { age } => say!("{name}: stale age_us={}", self.clock.to_us(age)),
            LinkState::Closed => say!("{name}: closed"),
            LinkState::OtherVersion { found } => {
                say!(
                    "{name}: error OtherVersion the peer speaks version {found} of the wire format, this end {}",
                    wire::VERSION
                );
            }
            LinkState::Incompatible { ours, theirs } => {
                say!("{name}: error Incompatible the peer's channels have digest {theirs:016x}, these {ours:016x}");
            }
            LinkState::Violated(violation) => say!("{name}: error {}", Named(&violation)),
            // Waiting is where every link begins.
            _ => {}
        }
    }

    /// Says an error, but no second one in a session: a hostile peer could make thousands.
    pub fn complain(&mut self, error: &dyn Failure) {
        if !self.complained && self.may_speak() {
            say!("{}: error {}", self.name, Named(error));
        }
        self.complained = true;
    }

    /// Whether this second still has a line for the link.
    fn may_speak(&mut self) -> bool {
        if self.now.wrapping_sub(self.second) >= self.clock.from_us(1_000_000) {
            (self.second, self.lines) = (self.now, LINES);
        }
        let may = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        may
    }

    /// What the link has counted.
    pub const fn stats(&self) -> LinkStats {
        self.link.stats()
    }

    /// Times the link was begun anew after a violation.
    pub const fn resyncs(&self) -> u32 {
        self.resyncs
    }

    /// Tells the peer that this end is done. What was sent stays for it to receive.
    pub fn close(&mut self) {
        self.link.close();
    }
}
