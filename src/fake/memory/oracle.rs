//! Memory that a hostile peer shares.

use super::checks::Checks;
use super::{Bound, Words};
use crate::fake::input::Input;
use crate::memory::Memory;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::Range;
use std::vec::Vec;

/// How the peer disturbs one call of the end under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Not at all.
    None,
    /// It works honestly, at the same time: it may take steps between any two accesses of the call.
    Race,
    /// It changes what any load answers, and back.
    Tamper,
}

/// Memory shared with a peer that an [`Input`] directs: it may be honest, change any word at any moment, or answer one load with
/// what it never stored.
///
/// It panics, as a test should, on an access of the end under test out of bounds or misaligned, on a word, payload included, fetched
/// twice in one call, and on a store outside its own section.
pub struct Oracle<'p> {
    words: Words,
    checks: Checks,
    input: &'p Input<'p>,
    /// One step of the honest peer.
    step: &'p dyn Fn(),
    /// What is never tampered with.
    spared: Vec<Range<usize>>,
    now: Cell<Disturbance>,
    /// Whether the peer has ever done what no honest one does.
    tampered: &'p Cell<bool>,
    /// The words stored last by the end under test.
    stored: [Cell<u64>; 8],
    store: Cell<usize>,
    remembered: RefCell<Vec<u64>>,
}

impl<'p> Oracle<'p> {
    /// Shares `words` between the end under test, whose section is `own`, and a peer that makes a `step` whenever `input` says so.
    /// `tampered` becomes true once the peer has done what no honest one does.
    pub fn new(
        words: Words,
        own: Range<usize>,
        input: &'p Input<'p>,
        step: &'p dyn Fn(),
        tampered: &'p Cell<bool>,
    ) -> Self {
        let checks = Checks::new(words.len(), Some(own));
        let (stored, store, remembered) = Default::default();
        let now = Cell::new(Disturbance::None);
        Self { words, checks, input, step, spared: Vec::new(), now, tampered, stored, store, remembered }
    }

    /// Loads from these offsets are answered honestly, and nothing is changed there.
    #[must_use]
    pub fn sparing(self, spared: Vec<Range<usize>>) -> Self {
        Self { spared, ..self }
    }

    /// Begins a call, to be disturbed in this way.
    pub fn begin_call(&self, disturbance: Disturbance) {
        self.checks.begin_call();
        self.now.set(disturbance);
    }

    /// Ends a call: panics if it did more than `bound`, or loaded anything that only this end writes.
    #[track_caller]
    pub fn end_call(&self, bound: Bound) {
        assert_eq!(self.checks.loads_of_own(), 0, "loads of the own section");
        self.end_attach(bound);
    }

    /// Ends a call of `attach`, the one that may look at its own section, and that once.
    #[track_caller]
    pub fn end_attach(&self, bound: Bound) {
        let counted = self.checks.counted();
        let kept = counted.loads <= bound.loads && counted.stores <= bound.stores && counted.words <= bound.words;
        assert!(kept && self.checks.loads_of_own() <= 1, "{counted:?} is more than {bound:?}");
        self.now.set(Disturbance::None);
    }

    /// The peer changes a word, anywhere.
    pub fn scribble(&self) {
        let offset = self.anywhere();
        if !self.spares(offset) {
            self.words.store(offset, self.tamper(offset, self.words.load(offset)));
        }
    }

    /// The peer keeps a copy of the whole memory.
    pub fn remember(&self) {
        *self.remembered.borrow_mut() =
            (0..self.words.len()).step_by(8).map(|offset| self.words.load(offset)).collect();
    }

    /// The peer puts back what it remembers of `range`.
    pub fn replay(&self, range: Range<usize>) {
        for (word, value) in self.remembered.borrow().iter().enumerate() {
            let offset = word * 8;
            if range.contains(&offset) && !self.spares(offset) {
                self.tampered.set(true);
                self.words.store(offset, *value);
            }
        }
    }

    fn spares(&self, offset: usize) -> bool {
        self.spared.iter().any(|range| range.contains(&offset))
    }

    fn anywhere(&self) -> usize {
        usize::from(self.input.u16()) % (self.words.len() / 8) * 8
    }

    /// What a load answers.
    fn answer(&self, offset: usize) -> u64 {
        match self.now.get() {
            Disturbance::None => self.words.load(offset),
            Disturbance::Race => {
                self.race();
                self.words.load(offset)
            }
            Disturbance::Tamper if self.spares(offset) => self.words.load(offset),
            Disturbance::Tamper => self.tamper(offset, self.words.load(offset)),
        }
    }

    /// What an attacker would put in place of a word: near an honest one, an honest one from elsewhere or before, or anything.
    fn tamper(&self, offset: usize, honest: u64) -> u64 {
        let input = self.input;
        let add = |count: u64, by: u8| count.wrapping_add_signed(i64::from(by.cast_signed()));
        let value = match input.byte() % 32 {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => input.u64(),
            4 => honest ^ 1_u64.rotate_left(input.byte().into()),
            // Stamps and counts: near, and half the range away.
            5 | 6 => honest & !0xFFFF_FFFF | add(honest, input.byte()) & 0xFFFF_FFFF,
            7 => honest ^ 1 << 31,
            // Keys, lengths, kinds and tags.
            8 | 9 => add(honest >> 32, input.byte()) << 32 | honest & 0xFFFF_FFFF,
            10 => honest & !(0xFFFF << 32) | u64::from(input.u16()) << 32,
            11 => honest & !(0xFF << 48) | u64::from(input.byte()) << 48,
            12 => honest & !(0xFF << 56) | u64::from(input.byte()) << 56,
            13 => self.stored[usize::from(input.byte()) % 8].get(),
            14 => self.words.load(self.anywhere()),
            15 => self.remembered.borrow().get(offset / 8).copied().unwrap_or(0),
            _ => honest,
        };
        if value != honest {
            self.tampered.set(true);
        }
        value
    }

    /// The peer may take a step before the access that is due.
    fn race(&self) {
        if self.now.get() == Disturbance::Race && self.input.byte() % 4 == 1 {
            (self.step)();
        }
    }

    fn note(&self, value: u64) {
        let at = self.store.get();
        self.store.set(at + 1);
        self.stored[at % 8].set(value);
    }
}

impl fmt::Debug for Oracle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oracle").field("checks", &self.checks).field("now", &self.now).finish_non_exhaustive()
    }
}

impl Memory for Oracle<'_> {
    fn len(&self) -> usize {
        self.words.len()
    }

    fn load(&self, offset: usize) -> u64 {
        self.checks.load(offset);
        self.answer(offset)
    }

    fn store(&self, offset: usize, value: u64) {
        self.checks.store(offset);
        self.race();
        self.note(value);
        self.words.store(offset, value);
    }

    fn publish(&self, offset: usize, value: u64) {
        self.store(offset, value);
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        self.checks.copy_out(offset, bytes.len());
        for (word, chunk) in bytes.chunks_mut(8).enumerate() {
            let value = self.answer(offset + word * 8).to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
        }
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.checks.copy_in(offset, bytes.len());
        for (word, chunk) in bytes.chunks(8).enumerate() {
            self.race();
            self.words.copy_in(offset + word * 8, chunk);
        }
    }
}
