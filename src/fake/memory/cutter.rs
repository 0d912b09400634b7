//! Memory of an end that dies at a store.

use crate::memory::{Memory, SharedMemory};
use core::cell::{Cell, RefCell};
use std::vec::Vec;

/// Shared memory that takes a number of stores and drops the rest: the end that uses it has died after them.
///
/// It notes where each store went, so that a test can also ask who writes what.
#[derive(Debug)]
pub struct Cutter {
    memory: SharedMemory,
    left: Cell<usize>,
    written: RefCell<Vec<usize>>,
}

impl Cutter {
    /// Dies after `stores` stores of a word; `usize::MAX` for never.
    pub fn new(memory: SharedMemory, stores: usize) -> Self {
        Self { memory, left: Cell::new(stores), written: RefCell::default() }
    }

    /// Dies after `stores` more stores.
    pub fn cut_after(&self, stores: usize) {
        self.left.set(stores);
    }

    /// Byte offsets of the words stored so far, in order, those after death included.
    pub fn written(&self) -> Vec<usize> {
        self.written.borrow().clone()
    }

    /// Whether this store still happens.
    fn lives(&self, offset: usize) -> bool {
        self.written.borrow_mut().push(offset);
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

impl Memory for Cutter {
    fn len(&self) -> usize {
        self.memory.len()
    }

    fn load(&self, offset: usize) -> u64 {
        self.memory.load(offset)
    }

    fn store(&self, offset: usize, value: u64) {
        if self.lives(offset) {
            self.memory.store(offset, value);
        }
    }

    fn publish(&self, offset: usize, value: u64) {
        if self.lives(offset) {
            self.memory.publish(offset, value);
        }
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        self.memory.copy_out(offset, bytes);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        for (index, word) in bytes.chunks(8).enumerate() {
            let offset = offset + index * 8;
            if self.lives(offset) {
                self.memory.copy_in(offset, word);
            }
        }
    }
}
