//! The tick: the local APIC's timer, its rate measured by the time stamp counter, and sleeping until it.

use crate::clock::Clock;
use crate::interrupts::{self, SPURIOUS, TICK};
use core::fmt;
use embedded_hal::delay::DelayNs;
use ivshmem::interrupt::{ApicError, InstallError, LocalApic, Vector, event};
use ivshmem::mmio::Mapper;
use ivshmem::notify::{Event, Wait};
use x86_64::instructions::interrupts as cpu;

/// How long the timer is measured for, in milliseconds.
const MEASUREMENT_MS: u32 = 50;
/// Looks at the clocks at each end of the measurement.
const LOOKS: u32 = 8;

/// The local APIC, taking interrupts, with a timer of known rate.
#[derive(Debug)]
pub struct Timer {
    apic: LocalApic,
    per_ms: u32,
}

/// Why there is no tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerError {
    /// The local APIC cannot be used.
    Apic(ApicError),
    /// The stubs were refused.
    Install(InstallError),
    /// The timer's counter stood still.
    Stopped,
    /// A period that the timer's 32 bits cannot hold.
    Period {
        /// Microseconds asked for.
        us: u32,
    },
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apic(error) => error.fmt(f),
            Self::Install(error) => error.fmt(f),
            Self::Stopped => f.write_str("the local APIC's timer does not count"),
            Self::Period { us } => write!(f, "the local APIC's timer has no period of {us} us"),
        }
    }
}

impl core::error::Error for TimerError {}

impl From<ApicError> for TimerError {
    fn from(error: ApicError) -> Self {
        Self::Apic(error)
    }
}

impl Timer {
    /// Brings the local APIC up, installs the stubs, measures the timer and turns interrupts on.
    ///
    /// Takes about 50 ms. To be called once.
    pub fn start(mapper: &mut impl Mapper, clock: Clock) -> Result<Self, TimerError> {
        // SAFETY: ring 0; this CPU is the only one that runs yet, and its local APIC's mode is not changed any more; one that is started
        // later enters the same.
        let mut apic = unsafe { LocalApic::attach(mapper) }?;
        apic.enable(SPURIOUS)?;
        interrupts::install_stubs(&apic).map_err(TimerError::Install)?;
        apic.start_timer(TICK, u32::MAX)?;
        let per_ms = rate(&apic, clock);
        apic.stop_timer();
        if per_ms == 0 {
            return Err(TimerError::Stopped);
        }
        cpu::enable();
        Ok(Self { apic, per_ms })
    }

    /// The local APIC's id: where messages go.
    pub fn apic_id(&self) -> u32 {
        self.apic.id()
    }

    /// The local APIC.
    pub const fn apic(&self) -> &LocalApic {
        &self.apic
    }

    /// Ticks of the timer's clock in a millisecond.
    pub const fn per_ms(&self) -> u32 {
        self.per_ms
    }

    /// Ticks every `us` microseconds from now on.
    pub fn every(&mut self, us: u32) -> Result<(), TimerError> {
        let ticks = u64::from(us) * u64::from(self.per_ms) / 1000;
        let ticks = u32::try_from(ticks).map_err(|_| TimerError::Period { us })?;
        Ok(self.apic.start_timer(TICK, ticks)?)
    }
}

/// Ticks of the running timer in a millisecond, between two looks at both clocks that are some 50 ms apart.
fn rate(apic: &LocalApic, mut clock: Clock) -> u32 {
    let (start, first) = look(apic, clock);
    clock.delay_ms(MEASUREMENT_MS);
    let (end, last) = look(apic, clock);
    let ms_ticks = u64::from(first.saturating_sub(last)).saturating_mul(clock.khz());
    u32::try_from(ms_ticks / end.saturating_sub(start).max(1)).unwrap_or(0)
}

/// The time stamp counter and the timer's count at the same moment: of several looks, the one that took the shortest time, since
/// the host may have halted this CPU in the midst of the others.
fn look(apic: &LocalApic, clock: Clock) -> (u64, u32) {
    let mut best = (0, 0);
    let mut shortest = u64::MAX;
    for _ in 0..LOOKS {
        let before = clock.ticks();
        let count = apic.timer_count();
        let took = clock.ticks().saturating_sub(before);
        if took < shortest {
            (shortest, best) = (took, (before + took / 2, count));
        }
    }
    best
}

/// How often the timer ticked, wrapping.
pub fn ticks() -> u32 {
    event(TICK).count()
}

/// Sleeps until a doorbell rings or the timer ticks, whichever comes first.
///
/// A tick between [`until_tick`](Self::until_tick) and the sleep ends the sleep at once, as a doorbell does.
#[derive(Clone, Copy, Debug)]
pub struct Sleep {
    doorbell: &'static Vector,
    tick: u32,
}

impl Sleep {
    /// Until the next tick after this call, or until `doorbell` fires.
    pub fn until_tick(doorbell: &'static Vector) -> Self {
        Self { doorbell, tick: ticks() }
    }

    /// Whether the tick came.
    pub fn is_over(&self) -> bool {
        ticks() != self.tick
    }

    /// Sleeps until the tick, whatever rings.
    pub fn to_tick(&self) {
        halt_until(|| self.is_over());
    }
}

impl Wait for Sleep {
    fn count(&self) -> u32 {
        self.doorbell.count()
    }

    fn wait(&self, seen: u32) -> bool {
        halt_until(|| self.count() != seen || self.is_over());
        self.count() != seen
    }
}

/// Halts until an interrupt makes `done` true. The timer runs, so that no halt lasts longer than a tick.
fn halt_until(done: impl Fn() -> bool) {
    if crate::delivery::is_elsewhere() {
        // What another CPU takes ends no halt of this one.
        while !done() {
            core::hint::spin_loop();
        }
        return;
    }
    loop {
        // Off before the look: an interrupt after it is taken by the halt, which `sti` precedes by one instruction, and
        // ends it.
        cpu::disable();
        if done() {
            cpu::enable();
            return;
        }
        cpu::enable_and_hlt();
    }
}
