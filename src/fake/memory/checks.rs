//! What every call has to keep to, whatever it reads.

use core::cell::Cell;
use core::ops::Range;
use std::boxed::Box;
use std::vec;

/// Accesses of one call, at most: control words loaded, control words stored, payload words copied in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Control words loaded.
    pub loads: usize,
    /// Control words stored.
    pub stores: usize,
    /// Payload words copied.
    pub words: usize,
}

/// Looks at each access: in bounds, aligned, each word fetched at most once a call, payload included; and counts.
#[derive(Debug)]
pub(super) struct Checks {
    length: usize,
    /// The section of the end under test, if it is known: nothing else is stored to.
    own: Option<Range<usize>>,
    call: Cell<u32>,
    /// For each word the call that fetched it last.
    fetched: Box<[Cell<u32>]>,
    loads: Cell<usize>,
    loads_of_own: Cell<usize>,
    stores: Cell<usize>,
    words: Cell<usize>,
}

impl Checks {
    pub(super) fn new(length: usize, own: Option<Range<usize>>) -> Self {
        let fetched = vec![Cell::new(0); length.div_ceil(8)].into();
        let (loads, loads_of_own, stores, words) = Default::default();
        Self { length, own, call: Cell::new(1), fetched, loads, loads_of_own, stores, words }
    }

    pub(super) fn begin_call(&self) {
        self.call.set(self.call.get() + 1);
        for count in [&self.loads, &self.loads_of_own, &self.stores, &self.words] {
            count.set(0);
        }
    }

    pub(super) fn counted(&self) -> Bound {
        Bound { loads: self.loads.get(), stores: self.stores.get(), words: self.words.get() }
    }

    /// Loads of what only the end under test writes.
    pub(super) fn loads_of_own(&self) -> usize {
        self.loads_of_own.get()
    }

    pub(super) fn load(&self, offset: usize) {
        self.fetch(offset);
        self.loads.set(self.loads.get() + 1);
    }

    pub(super) fn store(&self, offset: usize) {
        self.put(offset);
        self.stores.set(self.stores.get() + 1);
    }

    pub(super) fn copy_out(&self, offset: usize, length: usize) {
        for word in 0..length.div_ceil(8) {
            self.fetch(offset + word * 8);
            self.words.set(self.words.get() + 1);
        }
    }

    pub(super) fn copy_in(&self, offset: usize, length: usize) {
        for word in 0..length.div_ceil(8) {
            self.put(offset + word * 8);
            self.words.set(self.words.get() + 1);
        }
    }

    fn fetch(&self, offset: usize) {
        self.check(offset);
        let call = self.fetched[offset / 8].replace(self.call.get());
        assert!(call != self.call.get(), "the word at {offset:#x} was fetched twice in one call");
        if self.own.as_ref().is_some_and(|own| own.contains(&offset)) {
            self.loads_of_own.set(self.loads_of_own.get() + 1);
        }
    }

    fn put(&self, offset: usize) {
        self.check(offset);
        if let Some(own) = &self.own {
            assert!(own.contains(&offset), "store at {offset:#x}, outside the own section {own:#x?}");
        }
    }

    fn check(&self, offset: usize) {
        assert!(offset.is_multiple_of(8), "access at {offset:#x}, which is not a multiple of 8");
        assert!(offset + 8 <= self.length, "access at {offset:#x}, outside {:#x} bytes", self.length);
    }
}
