//! What the tasks tell each other. They run one at a time on one CPU, and no handler looks here: cells are enough.

use crate::PAIRS;
use core::cell::Cell;
use core::ops::Add;

/// Told by one task, read by others.
#[derive(Debug, Default)]
pub struct Shared {
    /// The session that is up, 0 for none.
    pub session: Cell<u64>,
    /// Somebody said `quit`.
    pub quit: Cell<bool>,
    /// The link is closed: nothing more to run.
    pub done: Cell<bool>,
    /// What each pair counted.
    pub pairs: [Cell<PairCounts>; PAIRS],
    /// Samples written.
    pub samples: Cell<u64>,
    /// Doorbells rung for them.
    pub sample_doorbells: Cell<u64>,
    /// Times the peer restarted.
    pub restarts: Cell<u32>,
}

/// What became of one pair's commands.
#[derive(Clone, Copy, Debug, Default)]
pub struct PairCounts {
    pub commands: u64,
    pub responses: u64,
    /// Responses to a peer that had restarted meanwhile.
    pub dropped: u64,
    pub interrupts: u64,
    pub doorbells: u64,
    pub sleeps: u64,
    /// Commands found by looking although no doorbell announced them.
    pub recovered: u64,
    /// Windows in which the vector fired so often that it was masked.
    pub storms: u64,
    pub violations: u64,
}

impl Add for PairCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            commands: self.commands + other.commands,
            responses: self.responses + other.responses,
            dropped: self.dropped + other.dropped,
            interrupts: self.interrupts + other.interrupts,
            doorbells: self.doorbells + other.doorbells,
            sleeps: self.sleeps + other.sleeps,
            recovered: self.recovered + other.recovered,
            storms: self.storms + other.storms,
            violations: self.violations + other.violations,
        }
    }
}

impl Shared {
    /// Changes what a pair counted.
    pub fn count(&self, pair: usize, change: impl FnOnce(&mut PairCounts)) {
        if let Some(cell) = self.pairs.get(pair) {
            let mut counts = cell.get();
            change(&mut counts);
            cell.set(counts);
        }
    }
}
