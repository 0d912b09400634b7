//! Halves, their link and the peer on cores of their own: between any two accesses of a call the others do whatever they like.
//!
//! Not real threads: a generator says who acts before and after each access, so that a seed is a run, and a failure names its seed.

mod queues;
mod requests;
mod tasks;

use ivshmem::memory::{Memory, SharedMemory};
use std::cell::RefCell;

/// A test ends, and its memory with it.
fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

/// A small generator.
struct Rng(u64);

impl Rng {
    fn of_seed(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..20 {
            rng.below(2);
        }
        rng
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n
    }
}

type Hook = Box<dyn Fn()>;

/// What the other cores do, whenever it is called; nothing while there is none.
type Others = &'static RefCell<Option<Hook>>;

fn others() -> Others {
    leak(RefCell::new(None))
}

fn act(others: Others) {
    if let Some(hook) = others.borrow().as_ref() {
        hook();
    }
}

/// Memory before each access of which, and after each load, the others act.
struct Hooked {
    inner: SharedMemory,
    others: Others,
}

impl Memory for Hooked {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn load(&self, offset: usize) -> u64 {
        act(self.others);
        let value = self.inner.load(offset);
        act(self.others);
        value
    }

    fn store(&self, offset: usize, value: u64) {
        act(self.others);
        self.inner.store(offset, value);
    }

    fn publish(&self, offset: usize, value: u64) {
        act(self.others);
        self.inner.publish(offset, value);
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        act(self.others);
        self.inner.copy_out(offset, bytes);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        act(self.others);
        self.inner.copy_in(offset, bytes);
    }
}
