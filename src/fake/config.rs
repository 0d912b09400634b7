//! Configuration space in software.
//!
//! A [`ConfigSpace`] holds [`Function`]s, records every cycle, and can answer chosen reads with a script or lose all its functions after some
//! number of cycles. [`Garbage`] is no configuration space at all. Bus numbers are as firmware would have programmed them: a
//! function behind a bridge is put at its address, and a bridge routes nothing: for that there is [`Topology`](super::topology::Topology).
//!
//! ```
//! use ivshmem::fake::config::{ConfigSpace, Function};
//! use ivshmem::pci;
//!
//! let address = "0000:00:04.0".parse().unwrap();
//! let space = ConfigSpace::new()
//!     .with(address, Function::ivshmem_doorbell(1 << 20, 4).assigned(2, 0xFE00_0000))
//!     .with("0000:81:00.0".parse().unwrap(), Function::ivshmem_plain(4096));
//! let before = space.contents();
//! assert_eq!(pci::functions(&space).count(), 2);
//! assert_eq!(pci::size_bar(&space, address, 2), Ok(1 << 20));
//! assert_eq!(space.contents(), before);
//! ```
// A fake may panic: on the mistakes of the test that uses it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::pci::{Address, Buses, ConfigAccess};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec;
use std::vec::Vec;

mod bridge;
mod function;
mod garbage;
mod ivshmem;

pub use function::Function;
pub use garbage::Garbage;

/// A configuration cycle, as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// A 32-bit read.
    Read32 {
        /// The function.
        address: Address,
        /// Byte offset, as passed.
        offset: u16,
        /// What it answered.
        value: u32,
    },
    /// A 32-bit write.
    Write32 {
        /// The function.
        address: Address,
        /// Byte offset, as passed.
        offset: u16,
        /// What was written.
        value: u32,
    },
    /// A 16-bit write.
    Write16 {
        /// The function.
        address: Address,
        /// Byte offset, as passed.
        offset: u16,
        /// What was written.
        value: u16,
    },
}

/// Configuration space of any number of functions.
#[derive(Debug)]
pub struct ConfigSpace {
    buses: Vec<Buses>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    functions: BTreeMap<Address, Function>,
    cycles: Vec<Cycle>,
    scripts: BTreeMap<(Address, u16), VecDeque<Option<u32>>>,
    /// Cycles left until every function is gone.
    left: Option<usize>,
}

impl Default for ConfigSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl ConfigSpace {
    /// No function; every bus of segment 0 is within reach.
    pub fn new() -> Self {
        Self::with_buses(vec![Buses { segment: 0, first: 0, last: u8::MAX }])
    }

    /// No function; `buses` are within reach.
    pub fn with_buses(buses: Vec<Buses>) -> Self {
        Self { buses, state: Mutex::default() }
    }

    /// Puts a function at `address`, instead of any that was there.
    #[must_use]
    pub fn with(self, address: Address, function: Function) -> Self {
        self.plug(address, function);
        self
    }

    /// Plugs a function in, instead of any that was there.
    pub fn plug(&self, address: Address, function: Function) {
        self.state().functions.insert(address, function);
    }

    /// Takes the function out: it reads as all-ones then.
    pub fn unplug(&self, address: Address) -> Option<Function> {
        self.state().functions.remove(&address)
    }

    /// Takes all functions out after `cycles` more cycles.
    pub fn vanish_after(&self, cycles: usize) {
        self.state().left = Some(cycles);
    }

    /// Answers the next reads of the register at `offset` with these values, where there is one; the register keeps its content.
    pub fn script(&self, address: Address, offset: u16, answers: impl IntoIterator<Item = Option<u32>>) {
        self.state().scripts.entry((address, offset & !3)).or_default().extend(answers);
    }

    /// Every byte of every function.
    pub fn contents(&self) -> BTreeMap<Address, Vec<u8>> {
        self.state().functions.iter().map(|(address, function)| (*address, function.bytes().to_vec())).collect()
    }

    /// The cycles since the beginning or the last call of this, in order.
    pub fn take_cycles(&self) -> Vec<Cycle> {
        core::mem::take(&mut self.state().cycles)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked with the lock held has left nothing half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn within_reach(&self, address: Address, offset: u16) -> bool {
        offset < 0x1000 && self.buses.iter().any(|buses| buses.contains(address))
    }
}

impl State {
    fn tick(&mut self) {
        match &mut self.left {
            Some(0) => self.functions.clear(),
            Some(left) => *left -= 1,
            None => {}
        }
    }
}

impl ConfigAccess for ConfigSpace {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        let mut state = self.state();
        state.tick();
        let aligned = offset & !3;
        let scripted = state.scripts.get_mut(&(address, aligned)).and_then(VecDeque::pop_front).flatten();
        let function = state.functions.get(&address).filter(|_| self.within_reach(address, offset));
        let value = scripted.or(function.map(|function| function.read32(aligned))).unwrap_or(u32::MAX);
        state.cycles.push(Cycle::Read32 { address, offset, value });
        value
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        let mut state = self.state();
        state.tick();
        state.cycles.push(Cycle::Write32 { address, offset, value });
        if self.within_reach(address, offset)
            && let Some(function) = state.functions.get_mut(&address)
        {
            function.write(offset & !3, &value.to_le_bytes());
        }
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        let mut state = self.state();
        state.tick();
        state.cycles.push(Cycle::Write16 { address, offset, value });
        if self.within_reach(address, offset)
            && let Some(function) = state.functions.get_mut(&address)
        {
            function.write(offset & !1, &value.to_le_bytes());
        }
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        self.buses.get(index).copied()
    }
}

#[cfg(test)]
mod tests;
