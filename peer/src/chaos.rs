//! A hostile peer, for testing the other end: it attaches like an honest one, talks on channels of every kind, and then breaks the rules
//! in one chosen way. Protected channels it only scribbles on, steers wrongly and replays: what their sources are is not its to know.
//!
//! Everything it does follows from its seed, and from what the other end answers: over memory on which the two ends run in
//! turns, the same seed makes the same stores in the same order. What it writes stays in its own section, which is all that a hypervisor
//! may let it write, but for [`Mode::Scribble`] everywhere.
//!
//! ```
//! use core::ops::ControlFlow;
//! use ivshmem::channel::{Attach, COMMAND_RESPONSE, End, Mailbox};
//! use ivshmem_peer::chaos::{Chaos, Mode};
//! use ivshmem_peer::{Mapping, RingError};
//! use ivshmem::notify::Doorbell;
//!
//! # struct Nobody;
//! # impl Doorbell for Nobody {
//! #     type Error = RingError;
//! #     fn ring(&self, _: u16, _: u16) -> Result<(), RingError> { Err(RingError::NoDoorbell) }
//! # }
//! # let file = tempfile::tempfile()?;
//! # file.set_len(65536)?;
//! let memory = Mapping::new(&file, 0, 65536)?;
//! let mut mailbox = Mailbox::new(memory.clone(), End::First, &COMMAND_RESPONSE)?;
//! let (mut link, mut channels) = mailbox.attach(Attach::polled());
//! let mut commands = channels.receiver(0)?;
//! let mut buffer = [0; 248];
//!
//! let chaos = Chaos { seed: 7, ..Chaos::new(Mode::Length, End::Second, &COMMAND_RESPONSE) };
//! let counts = chaos.run(&memory, None::<&Nobody>, |_, counts| {
//!     // The end under test, which must take whatever comes.
//!     link.poll(0);
//!     if commands.try_recv(&mut buffer).is_err() {
//!         commands.resync();
//!     }
//!     if counts.steps < 10_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
//! })?;
//! assert!(counts.hostile > 0 && commands.stats().violations > 0 && commands.stats().received > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod freeze;
mod half;
mod hostile;
mod length;
mod life;
mod replay;
mod restart;
mod scribble;
mod stamp;
mod storm;
mod target;

use core::fmt;
use core::ops::ControlFlow;
use fastrand::Rng;
use hostile::Hostile;
use ivshmem::channel::{Attach, Channel, End, Mailbox, MailboxError, Notice};
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;
use life::Life;
use target::Target;

/// In which way the peer is hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Random, boundary and near-miss words anywhere in the peer's own section.
    Scribble {
        /// In the other end's section too, as a peer can where the hypervisor does not keep it out.
        everywhere: bool,
    },
    /// Slot headers whose stamp, tag or kind jumps, and acknowledgements, wishes, ring keys and numbers of samples that do.
    Stamp,
    /// Slot headers whose length lies, above the longest message or changing after it was published.
    Length,
    /// Doorbells without end, on all vectors.
    Storm,
    /// Attached and up, and then no sign of life for a while; half of the times amid a message.
    Freeze,
    /// The bytes of its own earlier, honest session, written back over those of the present one.
    Replay,
    /// An honest peer that dies at its n-th store and comes back, with another n each time.
    Restart,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scribble { everywhere: false } => "scribble",
            Self::Scribble { everywhere: true } => "scribble-everywhere",
            Self::Stamp => "stamp",
            Self::Length => "length",
            Self::Storm => "storm",
            Self::Freeze => "freeze",
            Self::Replay => "replay",
            Self::Restart => "restart",
        })
    }
}

/// A hostile peer and its target. Make one with [`new`](Self::new), change what is to be different, [`run`](Self::run) it.
#[derive(Clone, Copy, Debug)]
pub struct Chaos<'a> {
    /// What it does.
    pub mode: Mode,
    /// What follows from nothing else follows from this; 0 at first.
    pub seed: u64,
    /// Which end of the mailbox it is.
    pub end: End,
    /// The mailbox's channels, as the other end has them.
    pub channels: &'a [Channel],
    /// The only channel whose words it is hostile with; all of them if `None`, or there is no such channel. Storms and deaths
    /// know no channel.
    pub channel: Option<usize>,
    /// Its ivshmem id, to be rung by; `None` if it has none.
    pub id: Option<u16>,
    /// How many of the other end's vectors a storm rings, from 0.
    pub vectors: u16,
}

/// What a hostile peer has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps: a hostile store, message, ring, or a moment of waiting.
    pub steps: u64,
    /// Times it attached.
    pub lives: u64,
    /// Times the other end answered, so that the link was up.
    pub ups: u64,
    /// Words stored, honest and hostile.
    pub stores: u64,
    /// Words stored that no honest peer would have stored there and then.
    pub hostile: u64,
    /// Messages, samples, requests and responses sent, tampered with or not.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Doorbells rung.
    pub rings: u64,
    /// Doorbells that could not be rung.
    pub refused: u64,
    /// Steps without a sign of life.
    pub frozen: u64,
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The other end has not answered yet: let it run.
    Waiting,
    /// It did something.
    Acted,
    /// The same, in a life that goes slowly: let the other end look at it.
    Paced,
    /// It did nothing, on purpose: let time pass.
    Frozen,
}

/// Looks at the link before a life in which nobody answers is given up.
const PATIENCE: u32 = 2000;

impl<'a> Chaos<'a> {
    /// Hostile on all of these channels as `end`, with seed 0, no id, and storms on vectors 0 to 7.
    pub const fn new(mode: Mode, end: End, channels: &'a [Channel]) -> Self {
        Self { mode, seed: 0, end, channels, channel: None, id: None, vectors: 8 }
    }

    /// Attaches to the mailbox at the start of `memory` and is hostile, over and over, until `beside` says so. `beside` is called after every
    /// step: it is where the time passes, and where, in a test, the other end runs.
    ///
    /// Never closes the link: a hostile peer is gone without a word.
    ///
    /// # Errors
    /// The channels cannot be, or the memory is too small for them. It is untouched then.
    pub fn run<M: Memory, D: Doorbell + ?Sized>(
        &self,
        memory: &M,
        doorbell: Option<&D>,
        mut beside: impl FnMut(Step, &Counts) -> ControlFlow<()>,
    ) -> Result<Counts, MailboxError> {
        let hostile = Hostile::new(memory);
        let mut mailbox = Mailbox::new(&hostile, self.end, self.channels)?;
        let mut world = World {
            plan: self,
            target: Target::new(&hostile, self),
            memory: &hostile,
            doorbell,
            rng: Rng::with_seed(self.seed),
            counts: Counts::default(),
            beside: &mut beside,
            slow: false,
        };
        let attach = Attach { id: self.id, ..Attach::polled() };
        let mut record = Vec::new();
        loop {
            world.counts.lives += 1;
            if self.mode == Mode::Restart {
                restart::condemn(&mut world);
            }
            // At full speed a slow end sees little of what is done to it. A storm is none if it is slow.
            world.slow = world.rng.bool() && self.mode != Mode::Storm;
            let seed = world.rng.u64(..);
            let (link, channels) = mailbox.attach(Attach { seed, ..attach });
            let mut life = Life::new(self, link, channels, world.counts.lives);
            let flow = match self.mode {
                Mode::Scribble { .. } => scribble::live(&mut world, &mut life),
                Mode::Stamp => stamp::live(&mut world, &mut life),
                Mode::Length => length::live(&mut world, &mut life),
                Mode::Storm => storm::live(&mut world, &mut life),
                Mode::Freeze => freeze::live(&mut world, &mut life),
                Mode::Replay => replay::live(&mut world, &mut life, &mut record),
                Mode::Restart => restart::live(&mut world, &mut life),
            };
            hostile.behave();
            if flow.is_break() {
                return Ok(world.counts());
            }
        }
    }
}

/// What a life acts on.
struct World<'w, M, D: ?Sized> {
    plan: &'w Chaos<'w>,
    target: Target,
    memory: &'w Hostile<'w, M>,
    doorbell: Option<&'w D>,
    rng: Rng,
    counts: Counts,
    beside: &'w mut dyn FnMut(Step, &Counts) -> ControlFlow<()>,
    /// Whether this life goes slowly.
    slow: bool,
}

impl<M: Memory, D: Doorbell + ?Sized> World<'_, M, D> {
    /// One step is done; `Break`: it was the last.
    fn step(&mut self, step: Step) -> ControlFlow<()> {
        self.counts.steps += 1;
        self.counts.frozen += u64::from(step == Step::Frozen);
        let step = if step == Step::Acted && self.slow { Step::Paced } else { step };
        let counts = self.counts();
        (self.beside)(step, &counts)
    }

    fn counts(&self) -> Counts {
        let (stores, hostile) = self.memory.counts();
        Counts { stores, hostile, ..self.counts }
    }

    /// A message was sent: rings if that is due.
    fn sent(&mut self, notice: Notice) {
        self.counts.sent += 1;
        let Some(doorbell) = self.doorbell else { return };
        match notice.ring(doorbell) {
            Ok(rang) => self.counts.rings += u64::from(rang),
            Err(_) => self.counts.refused += 1,
        }
    }

    fn ring(&mut self, peer: u16, vector: u16) {
        match self.doorbell.map(|doorbell| doorbell.ring(peer, vector)) {
            Some(Ok(())) => self.counts.rings += 1,
            Some(Err(_)) | None => self.counts.refused += 1,
        }
    }
}
