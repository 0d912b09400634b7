//! How fast BAR2 is: the memory type that it really got, whatever the tables say.

use crate::memory::{Memory, SharedMemory};
use core::fmt;

/// Loads that are timed together.
const LOADS: u64 = 64;
/// How often: the fastest counts, so that an interrupt in between does not.
const ROUNDS: u32 = 4;
/// More ticks than this for a load of a line that was just loaded, and the line does not stay in a cache.
const CACHED: u64 = 50;

/// What [`Device::probe_memory`](super::Device::probe_memory) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MemorySpeed {
    /// Loads are served by a cache, as of memory that is mapped write-back.
    WriteBack {
        /// Ticks of the clock for each, rounded down.
        cycles: u64,
    },
    /// Each load goes to the memory: it is uncached or write-combining, and a channel some fifty times slower.
    Slow {
        /// Ticks of the clock for each, rounded down.
        cycles: u64,
    },
}

impl fmt::Display for MemorySpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteBack { cycles } => write!(f, "cached ({cycles} cycles a load)"),
            Self::Slow { cycles } => write!(f, "not cached ({cycles} cycles a load)"),
        }
    }
}

/// Times loads of the first word: 257 in all, and 8 looks at the clock. Nothing is stored. `None` if the clock went backwards each time.
pub(super) fn probe(memory: &SharedMemory, mut clock: impl FnMut() -> u64) -> Option<MemorySpeed> {
    // Into the cache, if it may be there.
    memory.load(0);
    let mut fastest: Option<u64> = None;
    for _ in 0..ROUNDS {
        completed();
        let start = clock();
        completed();
        for _ in 0..LOADS {
            memory.load(0);
        }
        completed();
        // A clock that goes backwards says nothing of this round.
        if let Some(ticks) = clock().checked_sub(start) {
            fastest = Some(fastest.map_or(ticks, |before| before.min(ticks)));
        }
    }
    let cycles = fastest?.checked_div(LOADS)?;
    Some(if cycles <= CACHED { MemorySpeed::WriteBack { cycles } } else { MemorySpeed::Slow { cycles } })
}

/// Returns when every load before it has its value: a time-stamp counter is else read while uncached loads are still on their way.
fn completed() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is part of every x86_64 CPU, and touches no register, flag or memory.
    unsafe {
        core::arch::asm!("lfence", options(nostack, preserves_flags))
    };
    #[cfg(not(target_arch = "x86_64"))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::NonNull;
    use std::cell::Cell;
    use std::string::ToString;

    /// Probes while the clock shows these times, one after the other, and returns how often it was looked at too.
    fn probed(times: [u64; 8]) -> (Option<MemorySpeed>, usize) {
        let mut words = [0_u64; 8];
        // SAFETY: the array is aligned, outlives the memory and is not touched while it exists.
        let memory = unsafe { SharedMemory::new(NonNull::from(&mut words).cast(), 64) };
        let looks = Cell::new(0);
        let speed = probe(&memory, || {
            looks.set(looks.get() + 1);
            times[looks.get() - 1]
        });
        (speed, looks.get())
    }

    #[test]
    fn up_to_50_cycles_a_load_are_cached() {
        for (ticks, expected) in [
            (64 * 4, MemorySpeed::WriteBack { cycles: 4 }),
            (64 * 51 - 1, MemorySpeed::WriteBack { cycles: 50 }),
            (64 * 51, MemorySpeed::Slow { cycles: 51 }),
            (64 * 900, MemorySpeed::Slow { cycles: 900 }),
        ] {
            let times = [0, ticks, 0, ticks, 0, ticks, 0, ticks];
            assert_eq!(probed(times), (Some(expected), 8));
        }
    }

    #[test]
    fn the_fastest_round_counts_and_a_clock_that_goes_backwards_does_not() {
        let times = [0, 1 << 40, 100, 100 + 640, 0, 1 << 30, 700, 500];
        assert_eq!(probed(times).0, Some(MemorySpeed::WriteBack { cycles: 10 }));
        assert_eq!(probed([9, 1, 9, 1, 9, 1, 9, 1]).0, None, "nothing was learned");
    }

    #[test]
    fn says_how_many_cycles() {
        assert_eq!(MemorySpeed::WriteBack { cycles: 4 }.to_string(), "cached (4 cycles a load)");
        assert_eq!(MemorySpeed::Slow { cycles: 900 }.to_string(), "not cached (900 cycles a load)");
    }
}
