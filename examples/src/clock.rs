//! Time: the time stamp counter, calibrated once against channel 0 of the 8254 timer, or, where there is none, by what CPUID says.
//!
//! Both count the same virtual time under TCG, with `-icount` too, where the counter is exact.

use core::arch::x86_64::{__cpuid, CpuidResult};
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
    /// The 8254's output did not change, and CPUID does not tell the rate.
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
            Self::NoTimer => {
                f.write_str("the 8254 timer does not count, and CPUID tells no rate of the time stamp counter")
            }
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
        let khz = match measured() {
            Err(ClockError::NoTimer) => told(__cpuid).ok_or(ClockError::NoTimer)?,
            khz => khz?,
        };
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

/// Ticks a millisecond by the 8254.
fn measured() -> Result<u64, ClockError> {
    let mut shortest = u64::MAX;
    for _ in 0..MEASUREMENTS {
        shortest = shortest.min(measure()?);
    }
    let khz = shortest.saturating_mul(PIT_HZ) / (u64::from(PIT_TICKS) * 1000);
    if khz == 0 { Err(ClockError::NoCounter { ticks: shortest }) } else { Ok(khz) }
}

/// Ticks a millisecond as CPUID tells them: as a ratio to the crystal (leaf 15h), or as hypervisors do (leaf 4000_0010h, of KVM, ACRN
/// and VMware).
fn told(cpuid: impl Fn(u32) -> CpuidResult) -> Option<u64> {
    let by_crystal = || {
        let CpuidResult { eax: denominator, ebx: numerator, ecx: crystal_hz, .. } =
            Some(0x15).filter(|leaf| *leaf <= cpuid(0).eax).map(&cpuid)?;
        let hz = u64::from(crystal_hz).checked_mul(numerator.into())?.checked_div(denominator.into())?;
        Some(hz / 1000)
    };
    let by_hypervisor = || {
        let is_guest = cpuid(1).ecx & 1 << 31 != 0;
        let leaf = Some(0x4000_0010).filter(|leaf| is_guest && *leaf <= cpuid(0x4000_0000).eax)?;
        Some(u64::from(cpuid(leaf).eax))
    };
    by_crystal().filter(|khz| *khz != 0).or_else(by_hypervisor).filter(|khz| *khz != 0)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A CPU with these leaves, and with a hypervisor unless `bare`.
    fn cpu(bare: bool, leaves: &[(u32, [u32; 3])]) -> impl Fn(u32) -> CpuidResult + '_ {
        move |leaf| {
            let found = leaves.iter().find(|(number, _)| *number == leaf).map_or([0; 3], |(_, registers)| *registers);
            let [eax, ebx, ecx] = if leaf == 1 { [0, 0, u32::from(!bare) << 31] } else { found };
            CpuidResult { eax, ebx, ecx, edx: 0 }
        }
    }

    #[test]
    fn the_rate_is_the_crystals_or_the_hypervisors() {
        let crystal = (0x15, [2, 176, 24_000_000]);
        let hypervisor = [(0x4000_0000, [0x4000_0010, 0, 0]), (0x4000_0010, [2_500_000, 1_000_000, 0])];
        assert_eq!(told(cpu(true, &[(0, [0x15, 0, 0]), crystal])), Some(2_112_000));
        assert_eq!(told(cpu(true, &[(0, [0x14, 0, 0]), crystal])), None, "the leaf is not there");
        assert_eq!(told(cpu(true, &[(0, [0x15, 0, 0]), (0x15, [2, 176, 0])])), None, "a crystal of no rate");
        assert_eq!(told(cpu(true, &[(0, [0x15, 0, 0]), (0x15, [0, 176, 24_000_000])])), None, "no ratio");
        assert_eq!(told(cpu(false, &hypervisor)), Some(2_500_000));
        assert_eq!(told(cpu(true, &hypervisor)), None, "no hypervisor");
        assert_eq!(
            told(cpu(false, &[(0x4000_0000, [0x4000_0001, 0, 0]), hypervisor[1]])),
            None,
            "TCG's leaves end before"
        );
    }
}
