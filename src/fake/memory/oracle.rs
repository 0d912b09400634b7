//! Memory that answers its loads from a script.

use crate::memory::Memory;
use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::vec::Vec;

/// Memory whose every load is answered from a script: a superset of whatever a hostile peer can do, and when.
///
/// It panics, as a test should, on an access out of bounds or misaligned, and on a word loaded twice
/// since [`begin_call`](Self::begin_call).
#[derive(Debug)]
pub struct Oracle {
    length: usize,
    answers: Vec<u64>,
    next: Cell<usize>,
    loaded: RefCell<BTreeMap<usize, u32>>,
    stores: Cell<usize>,
    words_copied: Cell<usize>,
}

impl Oracle {
    /// Memory of `length` bytes that answers its loads with `answers`, over and over; with 0 if there are none.
    pub fn new(length: usize, answers: Vec<u64>) -> Self {
        let (loaded, next, stores, words_copied) = Default::default();
        Self { length, answers, next, loaded, stores, words_copied }
    }

    /// Forgets what was counted: the next accesses belong to a new call.
    pub fn begin_call(&self) {
        self.loaded.borrow_mut().clear();
        self.stores.set(0);
        self.words_copied.set(0);
    }

    /// Control words loaded since [`begin_call`](Self::begin_call).
    pub fn loads(&self) -> usize {
        self.loaded.borrow().len()
    }

    /// Control words stored since [`begin_call`](Self::begin_call).
    pub fn stores(&self) -> usize {
        self.stores.get()
    }

    /// Payload words copied, in either direction, since [`begin_call`](Self::begin_call).
    pub fn words_copied(&self) -> usize {
        self.words_copied.get()
    }

    fn answer(&self, offset: usize) -> u64 {
        self.check(offset, 8);
        let mut loaded = self.loaded.borrow_mut();
        let times = loaded.entry(offset).or_default();
        *times += 1;
        assert_eq!(*times, 1, "the word at {offset:#x} was loaded twice in one call");
        let next = self.next.get();
        self.next.set(next + 1);
        match self.answers.len() {
            0 => 0,
            count => self.answers[next % count],
        }
    }

    fn check(&self, offset: usize, length: usize) {
        assert!(offset.is_multiple_of(8), "access at {offset:#x}, which is not a multiple of 8");
        assert!(offset + length <= self.length, "access at {offset:#x}, outside {:#x} bytes", self.length);
    }
}

impl Memory for Oracle {
    fn len(&self) -> usize {
        self.length
    }

    fn load(&self, offset: usize) -> u64 {
        self.answer(offset)
    }

    fn store(&self, offset: usize, _: u64) {
        self.check(offset, 8);
        self.stores.set(self.stores.get() + 1);
    }

    fn publish(&self, offset: usize, value: u64) {
        self.store(offset, value);
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        self.check(offset, bytes.len().next_multiple_of(8));
        for chunk in bytes.chunks_mut(8) {
            let word = self.answers.get(self.next.get() % self.answers.len().max(1)).copied().unwrap_or(0);
            self.next.set(self.next.get() + 1);
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
            self.words_copied.set(self.words_copied.get() + 1);
        }
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let words = bytes.len().div_ceil(8);
        self.check(offset, words * 8);
        self.words_copied.set(self.words_copied.get() + words);
    }
}
