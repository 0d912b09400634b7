//! What is commanded: a simulated axis, stepped every 10 ms by a task of its own.

use axstd::os::arceos::modules::{axhal, axtask};
use axstd::sync::Mutex;
use core::time::Duration;

/// The fastest target, in revolutions a minute, either way.
pub const SPEED_LIMIT: i32 = 3000;
/// The most that the speed changes in a cycle.
const ACCELERATION: i32 = 30;
/// The kernel's tick, which its timers do not divide.
const CYCLE: Duration = Duration::from_millis(10);

/// The axis. Speeds are in revolutions a minute, the position counts revolutions a minute over cycles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Axis {
    pub target: i32,
    pub speed: i32,
    pub position: i64,
    pub cycles: Cycles,
}

/// Cycles that were due since the start, and those of them that did not run because an earlier one was late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycles {
    pub due: u64,
    pub missed: u64,
}

static AXIS: Mutex<Axis> = Mutex::new(Axis { target: 0, speed: 0, position: 0, cycles: Cycles { due: 0, missed: 0 } });

/// The axis as it is at this moment.
pub fn now() -> Axis {
    *AXIS.lock()
}

/// The cycles so far.
pub fn cycles() -> Cycles {
    now().cycles
}

/// Sets the target, within [`SPEED_LIMIT`].
pub fn set_target(rpm: i32) {
    AXIS.lock().target = rpm.clamp(-SPEED_LIMIT, SPEED_LIMIT);
}

/// The task. Cycles are counted by the clock: a sleep that lasts longer, by a tick's granularity too, misses some.
pub fn run() {
    let start = axhal::time::wall_time();
    let mut due = 0u32;
    loop {
        axtask::sleep_until(start + CYCLE * due.saturating_add(1));
        let elapsed = axhal::time::wall_time().saturating_sub(start);
        due = u32::try_from(elapsed.as_nanos() / CYCLE.as_nanos()).unwrap_or(u32::MAX);
        AXIS.lock().step(due.into());
    }
}

impl Axis {
    /// The cycle that is the `due`-th of all.
    fn step(&mut self, due: u64) {
        let elapsed = due.saturating_sub(self.cycles.due);
        if elapsed == 0 {
            return;
        }
        self.cycles.due = due;
        self.cycles.missed += elapsed - 1;
        self.speed += (self.target - self.speed).clamp(-ACCELERATION, ACCELERATION);
        self.position = self.position.wrapping_add(i64::from(self.speed).wrapping_mul(elapsed as i64));
    }
}
