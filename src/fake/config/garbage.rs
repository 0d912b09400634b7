//! Configuration space that answers anything.

use crate::pci::{Address, ConfigAccess};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

/// Answers each read with the next value of a list, whatever is read, from the beginning again after the end; ignores writes.
///
/// Answers that depend on nothing are more than a hostile device can do, so what survives them survives the device.
#[derive(Debug)]
pub struct Garbage {
    answers: Vec<u32>,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

impl Garbage {
    /// Answers from a list that has at least one value.
    pub fn new(answers: Vec<u32>) -> Self {
        assert!(!answers.is_empty(), "garbage is made of something");
        Self { answers, reads: AtomicUsize::new(0), writes: AtomicUsize::new(0) }
    }

    /// How many reads there were.
    pub fn reads(&self) -> usize {
        // Relaxed: a count for the test, which orders nothing.
        self.reads.load(Ordering::Relaxed)
    }

    /// How many writes there were.
    pub fn writes(&self) -> usize {
        // Relaxed: as above.
        self.writes.load(Ordering::Relaxed)
    }
}

impl ConfigAccess for Garbage {
    fn read32(&self, _: Address, _: u16) -> u32 {
        // Relaxed: as above.
        let index = self.reads.fetch_add(1, Ordering::Relaxed);
        self.answers[index % self.answers.len()]
    }

    fn write32(&self, _: Address, _: u16, _: u32) {
        // Relaxed: as above.
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    fn write16(&self, _: Address, _: u16, _: u16) {
        // Relaxed: as above.
        self.writes.fetch_add(1, Ordering::Relaxed);
    }
}
