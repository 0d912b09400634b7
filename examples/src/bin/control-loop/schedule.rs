//! Which cycles ran and which were missed, by the clock and not by counting ticks: late ticks coalesce.

/// A cycle every `period` ticks of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    period: u64,
    last: Option<u64>,
}

impl Schedule {
    /// No cycle has run. `period` is in ticks of whatever clock [`begin`](Self::begin) is given.
    pub const fn new(period: u64) -> Self {
        Self { period, last: None }
    }

    /// A tick came at `now`: how many cycles were missed before the one that begins, or `None` if none begins.
    ///
    /// Elapsed time is rounded to whole periods: a tick that comes a little early or late is on time, and one in a
    /// burst that catches up belongs to a cycle already counted.
    pub fn begin(&mut self, now: u64) -> Option<u64> {
        let elapsed = match self.last {
            None => self.period,
            Some(last) => now.saturating_sub(last),
        };
        let cycles = elapsed.saturating_add(self.period / 2) / self.period;
        if cycles == 0 {
            return None;
        }
        self.last = Some(now);
        Some(cycles - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_on_time_misses_nothing_and_a_late_one_what_lay_between() {
        let mut schedule = Schedule::new(1000);
        let cycles = [(500, Some(0)), (1480, Some(0)), (2510, Some(0)), (5490, Some(2)), (5495, None), (6400, Some(0))];
        for (now, missed) in cycles {
            assert_eq!(schedule.begin(now), missed, "at {now}");
        }
    }

    #[test]
    fn a_clock_that_goes_backwards_begins_no_cycle() {
        let mut schedule = Schedule::new(1000);
        assert_eq!(schedule.begin(5000), Some(0));
        assert_eq!(schedule.begin(1000), None);
        assert_eq!(schedule.begin(6000), Some(0));
    }
}
