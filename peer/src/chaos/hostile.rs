//! The memory of a hostile end: an honest mailbox runs over it, and what it stores is changed, or dropped, on its way.

use core::cell::{Cell, RefCell};
use ivshmem::memory::Memory;

/// Changes what is stored at an offset.
type Tamper = Box<dyn FnMut(usize, u64) -> u64>;

/// Memory that counts stores, that an end can die in, and that lies about what the end stores.
pub(super) struct Hostile<'a, M> {
    memory: &'a M,
    stores: Cell<u64>,
    hostile: Cell<u64>,
    /// Stores until death; `None`: it does not die.
    left: Cell<Option<u64>>,
    tamper: RefCell<Option<Tamper>>,
}

impl<'a, M: Memory> Hostile<'a, M> {
    pub(super) fn new(memory: &'a M) -> Self {
        Self { memory, stores: Cell::new(0), hostile: Cell::new(0), left: Cell::new(None), tamper: RefCell::new(None) }
    }

    /// All stores, and those of them that were hostile.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.stores.get(), self.hostile.get())
    }

    /// From now on an honest store is just that.
    pub(super) fn behave(&self) {
        self.left.set(None);
        self.tamper.replace(None);
    }

    /// After so many more stores none happens any more.
    pub(super) fn die_after(&self, stores: u64) {
        self.left.set(Some(stores));
    }

    pub(super) fn is_dead(&self) -> bool {
        self.left.get() == Some(0)
    }

    /// Changes the words that the mailbox stores from now on, but for payloads.
    pub(super) fn tamper(&self, tamper: impl FnMut(usize, u64) -> u64 + 'static) {
        self.tamper.replace(Some(Box::new(tamper)));
    }

    /// Stores a word that no honest end would.
    pub(super) fn forge(&self, offset: usize, value: u64) {
        self.stores.set(self.stores.get() + 1);
        self.hostile.set(self.hostile.get() + 1);
        self.memory.publish(offset, value);
    }

    /// Whether this store still happens.
    fn lives(&self) -> bool {
        match self.left.get() {
            Some(0) => return false,
            Some(left) => self.left.set(Some(left - 1)),
            None => {}
        }
        self.stores.set(self.stores.get() + 1);
        true
    }

    /// What is stored in the place of `value`.
    fn told(&self, offset: usize, value: u64) -> u64 {
        let told = self.tamper.borrow_mut().as_mut().map_or(value, |tamper| tamper(offset, value));
        self.hostile.set(self.hostile.get() + u64::from(told != value));
        told
    }
}

impl<M: Memory> Memory for Hostile<'_, M> {
    fn len(&self) -> usize {
        self.memory.len()
    }

    fn load(&self, offset: usize) -> u64 {
        self.memory.load(offset)
    }

    fn store(&self, offset: usize, value: u64) {
        if self.lives() {
            self.memory.store(offset, self.told(offset, value));
        }
    }

    fn publish(&self, offset: usize, value: u64) {
        if self.lives() {
            self.memory.publish(offset, self.told(offset, value));
        }
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        self.memory.copy_out(offset, bytes);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        for (index, word) in bytes.chunks(8).enumerate() {
            if self.lives() {
                self.memory.copy_in(offset + index * 8, word);
            }
        }
    }
}
