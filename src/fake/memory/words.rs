//! Memory of one thread.

use crate::memory::Memory;
use core::cell::Cell;
use std::rc::Rc;
use std::vec;

/// Zeroed memory inside this process, for ends that take turns on one thread. A clone is another view of it, and the last
/// one frees it.
#[derive(Clone, Debug)]
pub struct Words(Rc<[Cell<u64>]>);

impl Words {
    /// Memory of `length` bytes, a multiple of 8.
    pub fn new(length: usize) -> Self {
        assert!(length.is_multiple_of(8), "{length} bytes are no whole words");
        Self(vec![Cell::new(0); length / 8].into())
    }
}

impl Memory for Words {
    fn len(&self) -> usize {
        self.0.len() * 8
    }

    fn load(&self, offset: usize) -> u64 {
        self.0[offset / 8].get()
    }

    fn store(&self, offset: usize, value: u64) {
        self.0[offset / 8].set(value);
    }

    fn publish(&self, offset: usize, value: u64) {
        self.store(offset, value);
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        for (chunk, word) in bytes.chunks_mut(8).zip(&self.0[offset / 8..]) {
            chunk.copy_from_slice(&word.get().to_le_bytes()[..chunk.len()]);
        }
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        for (chunk, word) in bytes.chunks(8).zip(&self.0[offset / 8..]) {
            let mut value = [0; 8];
            value[..chunk.len()].copy_from_slice(chunk);
            word.set(u64::from_le_bytes(value));
        }
    }
}
