//! A simulated servo axis: speed follows its target with bounded acceleration, position is the speed's integral.
//!
//! Integers throughout: the target has no floating point, and the result does not depend on rounding modes.

/// The fastest target, in revolutions a minute, either way.
pub const SPEED_LIMIT: i32 = 3000;
/// Encoder counts in a revolution.
pub const COUNTS_PER_REVOLUTION: i64 = 4096;
/// The most that the speed changes in a cycle, in thousandths of a revolution a minute: 0 to 3000 in a second.
const ACCELERATION: i32 = 3000;
/// Cycles in a minute.
const CYCLES_PER_MINUTE: i64 = 60_000;

/// The axis. Speeds are kept in thousandths of a revolution a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    target: i32,
    speed: i32,
    /// Counts, in units of 1 / [`UNIT`](Self::UNIT).
    position: i64,
}

impl Axis {
    /// Parts of a count that the position is kept in, so that one cycle at a thousandth of a revolution a minute is
    /// a whole number of them: [`PARTS`](Self::PARTS). Both are divided by what they have in common.
    const UNIT: i64 = 1000 * CYCLES_PER_MINUTE / 256;
    const PARTS: i64 = COUNTS_PER_REVOLUTION / 256;

    /// At rest, at position 0.
    pub const fn new() -> Self {
        Self { target: 0, speed: 0, position: 0 }
    }

    /// Sets the target in revolutions a minute, within [`SPEED_LIMIT`].
    pub fn set_target(&mut self, rpm: i32) {
        self.target = rpm.clamp(-SPEED_LIMIT, SPEED_LIMIT) * 1000;
    }

    /// One cycle of a millisecond in which the controller ran.
    pub fn step(&mut self) {
        self.speed += (self.target - self.speed).clamp(-ACCELERATION, ACCELERATION);
        self.coast(1);
    }

    /// Cycles in which the controller did not run: the axis turns on at the speed it has.
    pub fn coast(&mut self, cycles: u64) {
        let parts = i64::from(self.speed) * Self::PARTS;
        // A counter like any encoder's: it wraps, after six years at full speed.
        self.position = self.position.wrapping_add(parts.wrapping_mul(cycles as i64));
    }

    /// Target in revolutions a minute.
    pub const fn target_rpm(&self) -> i32 {
        self.target / 1000
    }

    /// Speed in revolutions a minute, towards 0.
    pub const fn speed_rpm(&self) -> i32 {
        self.speed / 1000
    }

    /// Position in encoder counts, downwards.
    pub const fn position(&self) -> i64 {
        self.position.div_euclid(Self::UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_reaches_its_target_with_bounded_acceleration() {
        let mut axis = Axis::new();
        axis.set_target(1500);
        let mut before = 0;
        for _ in 0..500 {
            axis.step();
            assert!(axis.speed_rpm() > before && axis.speed_rpm() - before <= 3);
            before = axis.speed_rpm();
        }
        assert_eq!(axis.speed_rpm(), 1500);
        axis.step();
        assert_eq!(axis.speed_rpm(), 1500);
    }

    #[test]
    fn a_minute_at_constant_speed_makes_exactly_that_many_revolutions() {
        let mut axis = Axis::new();
        axis.set_target(-600);
        (0..200).for_each(|_| axis.step());
        let start = axis.position();
        axis.coast(60_000);
        assert_eq!(axis.position() - start, -600 * COUNTS_PER_REVOLUTION);
    }

    #[test]
    fn a_target_outside_the_limit_is_clamped() {
        let mut axis = Axis::new();
        axis.set_target(i32::MAX);
        assert_eq!(axis.target_rpm(), SPEED_LIMIT);
        axis.set_target(i32::MIN);
        assert_eq!(axis.target_rpm(), -SPEED_LIMIT);
    }
}
