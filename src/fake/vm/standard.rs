//! A device whose configuration space is as the specification has it.

use super::{Device, Memory, lock};
use crate::fake::config::Function;
use crate::pci::Command;
use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Bytes of BAR1 before the pending bits, with up to 128 vectors.
const TABLE: usize = 0x800;

/// A device made of a [`Function`]: BARs are decoded while Command says so, registers of BAR0 read 0, and BAR1, where there is one, is plain
/// storage (as a vector table is that nobody ever rings).
#[derive(Debug)]
pub struct Standard {
    function: Mutex<Function>,
    memory: Option<Arc<Memory>>,
    storage: Mutex<BTreeMap<usize, u32>>,
}

impl Standard {
    /// A device with nothing behind BAR2, such as one that no driver is meant to open.
    pub fn new(function: Function) -> Arc<Self> {
        Self::build(function, None)
    }

    /// A device with this memory behind BAR2.
    pub fn with_memory(function: Function, memory: Arc<Memory>) -> Arc<Self> {
        Self::build(function, Some(memory))
    }

    fn build(function: Function, memory: Option<Arc<Memory>>) -> Arc<Self> {
        Arc::new(Self { function: Mutex::new(function), memory, storage: Mutex::default() })
    }
}

impl Device for Standard {
    fn config_read(&self, offset: u16) -> u32 {
        lock(&self.function).read32(offset)
    }

    fn config_write(&self, offset: u16, bytes: &[u8]) {
        lock(&self.function).write(offset, bytes);
    }

    fn decoded(&self, index: u8) -> Option<Range<u64>> {
        let function = lock(&self.function);
        let command = Command::from_bits_retain(function.read32(4) as u16);
        function.memory_bar(index).filter(|_| command.contains(Command::MEMORY))
    }

    fn read(&self, bar: u8, offset: usize) -> u32 {
        // Of each table entry the last word is its mask, which is set after reset.
        let otherwise = u32::from(offset < TABLE && offset % 16 == 12);
        if bar == 1 { lock(&self.storage).get(&offset).copied().unwrap_or(otherwise) } else { 0 }
    }

    fn write(&self, bar: u8, offset: usize, value: u32) {
        if bar == 1 {
            lock(&self.storage).insert(offset, value);
        }
    }

    fn memory(&self) -> Option<&Memory> {
        self.memory.as_deref()
    }
}
