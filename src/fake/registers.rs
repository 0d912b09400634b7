//! Register windows in software: every access of a [`Region`](crate::mmio::Region) into one is answered by a model.
//!
//! A window is known by its address, and has no memory: an access that goes round `Region` ends the test with a fault.

use core::ptr::null_mut;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What answers register accesses; byte offsets from the window's start, multiples of 4.
pub trait Registers: Send {
    /// One 32-bit read. Reads may have effects, as IntrStatus has.
    fn read32(&mut self, offset: usize) -> u32;

    /// One 32-bit write.
    fn write32(&mut self, offset: usize, value: u32);
}

type Model = Arc<Mutex<dyn Registers>>;

/// Start address to length and model.
static WINDOWS: RwLock<BTreeMap<usize, (usize, Model)>> = RwLock::new(BTreeMap::new());

/// A register window with a model behind it, for as long as the value lives.
#[derive(Debug)]
pub struct Window {
    page: usize,
    mapped: usize,
    address: usize,
}

impl Window {
    /// A window of `length` bytes that begins `inside` bytes (below 4096) behind a page's start.
    pub fn new(inside: usize, length: usize, model: Model) -> io::Result<Self> {
        let mapped = (inside + length).next_multiple_of(4096);
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let page = unsafe { mmap_anonymous(null_mut(), mapped, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let page = page.expose_provenance();
        let window = Self { page, mapped, address: page + inside };
        WINDOWS.write().unwrap_or_else(PoisonError::into_inner).insert(window.address, (length, model));
        Ok(window)
    }

    /// The address of its first byte.
    pub fn address(&self) -> usize {
        self.address
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        WINDOWS.write().unwrap_or_else(PoisonError::into_inner).remove(&self.address);
        // SAFETY: the mapping is this value's own; nothing has ever been able to read or write it.
        let _ = unsafe { munmap(core::ptr::with_exposed_provenance_mut(self.page), self.mapped) };
    }
}

fn find(address: usize) -> Option<(usize, Model)> {
    let windows = WINDOWS.read().unwrap_or_else(PoisonError::into_inner);
    let (start, (length, model)) = windows.range(..=address).next_back()?;
    let offset = address - start;
    (offset < *length).then(|| (offset, model.clone()))
}

/// A window's answer, if the address lies in one.
pub(crate) fn read32(address: usize) -> Option<u32> {
    let (offset, model) = find(address)?;
    Some(model.lock().unwrap_or_else(PoisonError::into_inner).read32(offset))
}

/// Whether the address lies in a window, which has taken the write then.
pub(crate) fn write32(address: usize, value: u32) -> bool {
    let Some((offset, model)) = find(address) else { return false };
    model.lock().unwrap_or_else(PoisonError::into_inner).write32(offset, value);
    true
}
