//! Time: the time stamp counter, calibrated once against channel 0 of the 8254 timer.
//!
//! Both count the same virtual time under TCG, with `-icount` too, where the counter is exact.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use embedded_hal::delay::DelayNs;
use x86_64::instructions::port::Port;

/// Ticks of the 8254 a second.
const PIT_HZ: u64 = 1_193_182;
/// Ticks that one measurement takes: 10 ms.
const PIT_TICKS: u16 = 11_932;
/// Measurements. A delay of the host lengthens one, nothing shortens one: the shortest counts.
const MEASUREMENTS: u32 = 5;
/// Reads of the 8254's output before it is given up: some seconds on any machine.
const PIT_READS: u32 = 10_000_000;

/// The clock, for [`uptime_us`]: its ticks a millisecond, 0 before it is calibrated, and when that began.
static KHZ: AtomicU64 = AtomicU64::new(0);
static START: AtomicU64 = AtomicU64::new(0);

/// The calibrated time stamp counter. Ticks are those of [`ticks`](Self::ticks) throughout.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    khz: u64,
}

/// The 8254 does not count, or the time stamp counter does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockError {
    /// The 8254's output did not change.
    NoTimer,
    /// The time stamp counter advanced by so few ticks in 10 ms.
    NoCounter {
        /// Ticks.
        ticks: u64,
    },
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTimer => f.write_str("the 8254 timer does not count"),
            Self::NoCounter { ticks } => write!(f, "the time stamp counter advanced by {ticks} in 10 ms"),
        }
    }
}

impl core::error::Error for ClockError {}

/// The time stamp counter as it is.
fn counter() -> u64 {
    // SAFETY: the instruction only reads the counter, and every x86_64 CPU has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

impl Clock {
    /// Measures the counter; takes about 50 ms.
    pub fn calibrate() -> Result<Self, ClockError> {
        let start = counter();
        let mut shortest = u64::MAX;
        for _ in 0..MEASUREMENTS {
            shortest = shortest.min(measure()?);
        }
        let khz = shortest.saturating_mul(PIT_HZ) / (u64::from(PIT_TICKS) * 1000);
        if khz == 0 {
            return Err(ClockError::NoCounter { ticks: shortest });
        }
        START.store(start, Ordering::Relaxed);
        // Release, after the start: whoever sees the rate sees the start that goes with it.
        KHZ.store(khz, Ordering::Release);
        Ok(Self { khz })
    }

    /// Ticks since some moment before the image.
    #[inline]
    pub fn ticks(&self) -> u64 {
        counter()
    }

    /// Ticks a millisecond.
    pub const fn khz(&self) -> u64 {
        self.khz
    }

    /// Microseconds to ticks.
    pub const fn from_us(&self, us: u64) -> u64 {
        (us / 1000).saturating_mul(self.khz).saturating_add((us % 1000) * self.khz / 1000)
    }

    /// Ticks to microseconds.
    pub const fn to_us(&self, ticks: u64) -> u64 {
        (ticks / self.khz).saturating_mul(1000).saturating_add((ticks % self.khz) * 1000 / self.khz)
    }
}

impl DelayNs for Clock {
    fn delay_ns(&mut self, ns: u32) {
        let start = self.ticks();
        let wait = u64::from(ns) * self.khz / 1_000_000;
        while self.ticks().wrapping_sub(start) < wait {
            core::hint::spin_loop();
        }
    }
}

/// Microseconds since calibration began; 0 before it ended.
pub fn uptime_us() -> u64 {
    match KHZ.load(Ordering::Acquire) {
        0 => 0,
        khz => Clock { khz }.to_us(counter().wrapping_sub(START.load(Ordering::Relaxed))),
    }
}

/// Counter ticks that pass while the 8254 counts [`PIT_TICKS`].
fn measure() -> Result<u64, ClockError> {
    // Channel 0, both bytes, mode 0: the output rises when the count ends. Not channel 2, whose gate is in a port that a microvm has not.
    write(0x43, 0x30);
    let [low, high] = PIT_TICKS.to_le_bytes();
    write(0x40, low);
    let start = counter();
    write(0x40, high);
    for _ in 0..PIT_READS {
        // Read-back of channel 0's status: bit 7 is the output, bit 6 that no count was loaded yet, bits 5 to 0 the mode just set. An
        // absent port reads as something else.
        write(0x43, 0xE2);
        match read(0x40) {
            0xB0 => return Ok(counter().wrapping_sub(start)),
            0x30 | 0x70 => {}
            _ => break,
        }
    }
    Err(ClockError::NoTimer)
}

fn read(port: u16) -> u8 {
    // SAFETY: ring 0; the 8254's ports affect nothing but the timer, whose interrupt is masked.
    unsafe { Port::new(port).read() }
}

fn write(port: u16, value: u8) {
    // SAFETY: as above.
    unsafe { Port::new(port).write(value) };
}
