//! Configuration space with a memory of what its registers were.

use super::survey::MOST_BRIDGES;
use crate::pci::header::COMMAND;
use crate::pci::{Address, Buses, ConfigAccess};
use core::cell::{Cell, RefCell};
use heapless::Vec;

/// Of a bridge: 2 for its BARs, 1 and at most 6 for its windows or 2 for closing them, and Command; of the function: 6 for its BARs, and
/// Command twice.
const MOST_WRITES: usize = MOST_BRIDGES * 10 + 8;

/// Notes what each register held before it was written, so that [`undo`](Self::undo) can write it back.
pub(super) struct Undoable<'a, A: ?Sized> {
    access: &'a A,
    before: RefCell<Vec<(Address, u16, u32), MOST_WRITES>>,
    overflowed: Cell<bool>,
}

impl<'a, A: ConfigAccess + ?Sized> Undoable<'a, A> {
    pub(super) fn new(access: &'a A) -> Self {
        Self { access, before: RefCell::default(), overflowed: Cell::new(false) }
    }

    /// For writes that undo themselves: sizing.
    pub(super) fn inner(&self) -> &'a A {
        self.access
    }

    /// Whether a write was not made because it could not have been undone.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed.get()
    }

    /// Writes everything back, last things first.
    pub(super) fn undo(&self) {
        let mut before = core::mem::take(&mut *self.before.borrow_mut());
        while let Some((address, offset, value)) = before.pop() {
            match offset {
                COMMAND => self.access.write16(address, offset, value as u16),
                _ => self.access.write32(address, offset, value),
            }
        }
    }

    fn noted(&self, address: Address, offset: u16) -> bool {
        let value = self.access.read32(address, offset);
        let noted = self.before.borrow_mut().push((address, offset, value)).is_ok();
        self.overflowed.set(self.overflowed.get() || !noted);
        noted
    }
}

impl<A: ConfigAccess + ?Sized> ConfigAccess for Undoable<'_, A> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        self.access.read32(address, offset)
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        if self.noted(address, offset) {
            self.access.write32(address, offset, value);
        }
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        if self.noted(address, offset) {
            self.access.write16(address, offset, value);
        }
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        self.access.buses(index)
    }
}
