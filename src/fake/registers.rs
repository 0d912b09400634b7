//! Register windows in software: every access of a [`Region`](crate::mmio::Region) into one is answered by a model.
//!
//! A window is known by its address. Its memory is filled with garbage and never answers anything itself, so that an
//! access which goes round `Region` is seen.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::vec::Vec;

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
    memory: Box<[Page]>,
}

#[derive(Clone, Debug)]
#[repr(align(4096))]
struct Page(#[allow(dead_code, reason = "it only takes up addresses")] [u8; 4096]);

impl Window {
    /// A window of `length` bytes (rounded up to pages), at a 4 KiB boundary.
    pub fn new(length: usize, model: Arc<Mutex<dyn Registers>>) -> Self {
        let memory: Vec<Page> = std::vec![Page([0xA5; 4096]); length.div_ceil(4096).max(1)];
        let window = Self { memory: memory.into_boxed_slice() };
        let entry = (window.memory.len() * 4096, model);
        WINDOWS.write().unwrap_or_else(PoisonError::into_inner).insert(window.address(), entry);
        window
    }

    /// The address of its first byte.
    pub fn address(&self) -> usize {
        self.memory.as_ptr().expose_provenance()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        WINDOWS.write().unwrap_or_else(PoisonError::into_inner).remove(&self.address());
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
