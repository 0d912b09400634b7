//! A machine with one ivshmem device: configuration space, registers that behave as QEMU's or ACRN's, memory, and the
//! mapper that reaches them. Every access is recorded, of whatever kind, in one order.
//!
//! ```
//! use ivshmem::device::{Device, Options, Selector};
//! use ivshmem::fake::{config::Function, machine::{Hypervisor, Machine}};
//! use ivshmem::notify::Doorbell;
//!
//! let machine = Machine::new(Hypervisor::Qemu, 5, Function::ivshmem_doorbell(1 << 20, 4)).unwrap();
//! // SAFETY: configuration space and mapper are one model's.
//! let device = unsafe { Device::open(&machine, &mut machine.mapper(), Selector::default(), Options::default()) }.unwrap();
//! assert_eq!(device.id(), 5);
//! device.doorbell().unwrap().ring(7, 3).unwrap();
//! assert_eq!(machine.rung(), [(7, 3)]);
//! ```

use super::config::{ConfigSpace, Cycle, Function};
use super::pages::Pages;
use super::registers::{Registers, Window};
use crate::memory::SharedMemory;
use crate::mmio::{Caching, MapError, Mapper};
use crate::pci::{Address, Bar, Buses, ConfigAccess, bar, size_bar};
use core::fmt;
use core::ptr::NonNull;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

mod doorbells;
use doorbells::State;

/// Where the BARs of a new machine are, if the function has them and no address of its own.
const BARS: [(u8, u64); 3] = [(0, 0xFEBF_1000), (1, 0xFEB0_0000), (2, 0xE0_0000_0000)];

/// Whose behaviour the device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypervisor {
    /// QEMU on TCG: real pending bits, only the lowest 8 bits of a vector, interrupts only with Bus Master, registers read 0 without decode.
    Qemu,
    /// ACRN: no pending bits, 8 vectors, what is rung while masked is dropped, Command means nothing. Registers only, for tests that also make them
    /// lie; all of it, with several VMs, is in [`acrn`](super::acrn).
    Acrn,
}

/// An access to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A configuration cycle.
    Config(Cycle),
    /// A 32-bit register read, at a byte offset from the start of a BAR.
    Read {
        /// BAR 0 or 1.
        bar: u8,
        /// Byte offset.
        offset: usize,
        /// What it answered.
        value: u32,
    },
    /// A 32-bit register write, at a byte offset from the start of a BAR.
    Write {
        /// BAR 0 or 1.
        bar: u8,
        /// Byte offset.
        offset: usize,
        /// What was written.
        value: u32,
    },
}

/// The machine. Its device is at [`Machine::ADDRESS`].
#[derive(Debug)]
pub struct Machine {
    space: Arc<ConfigSpace>,
    state: Arc<Mutex<State>>,
    windows: Vec<(Range, Window)>,
    memory: Option<(Range, Pages)>,
    fails: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    physical: u64,
    length: u64,
}

impl Range {
    fn offset(self, physical: u64, length: u64) -> Option<usize> {
        let offset = physical.checked_sub(self.physical)?;
        (offset.checked_add(length)? <= self.length).then_some(offset as usize)
    }
}

impl Machine {
    /// Where the device is.
    pub const ADDRESS: Address = match Address::new(0, 0, 3, 0) {
        Ok(address) => address,
        Err(_) => unreachable!(),
    };

    /// A machine whose device has the id `id`. BARs 0 to 2 get addresses, as from firmware, unless the function has them already.
    pub fn new(hypervisor: Hypervisor, id: u16, mut function: Function) -> io::Result<Self> {
        for (index, address) in BARS {
            let probe = ConfigSpace::new().with(Self::ADDRESS, function.clone());
            if size_bar(&probe, Self::ADDRESS, index).is_ok() && bar(&probe, Self::ADDRESS, index).is_err() {
                function = function.assigned(index, address);
            }
        }
        let space = Arc::new(ConfigSpace::new().with(Self::ADDRESS, function));
        let state = Arc::new(Mutex::new(State::new(hypervisor, id, space.clone())));
        let mut machine = Self { space, state, windows: Vec::new(), memory: None, fails: None };
        for index in [0, 1] {
            let Some((range, _)) = machine.range(index) else { continue };
            let model = Arc::new(Mutex::new(doorbells::Bar { state: machine.state.clone(), index }));
            let (inside, length) = ((range.physical & 0xFFF) as usize, range.length as usize);
            machine.windows.push((range, Window::new(inside, length, model)?));
        }
        if let Some((range, bar)) = machine.range(2) {
            let inside = (bar.address & 0xFFF) as usize;
            machine.memory = Some((range, Pages::new(inside, range.length as usize)?));
        }
        machine.space.take_cycles();
        Ok(machine)
    }

    fn range(&self, index: u8) -> Option<(Range, Bar)> {
        let length = size_bar(&*self.space, Self::ADDRESS, index).ok()?;
        let bar = bar(&*self.space, Self::ADDRESS, index).ok()?;
        Some((Range { physical: bar.address, length }, bar))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration space, to change what it answers. Accesses made to it directly are not recorded.
    pub fn space(&self) -> &ConfigSpace {
        &self.space
    }

    /// Everything accessed since the beginning or the last call of this, in order.
    pub fn take_trace(&self) -> Vec<Access> {
        core::mem::take(&mut self.state().trace)
    }

    /// The messages that reached the interrupt controller since the beginning or the last call of this: address and data.
    pub fn take_messages(&self) -> Vec<(u32, u32)> {
        core::mem::take(&mut self.state().messages)
    }

    /// Messages so far with this data.
    pub fn count(&self, data: u32) -> u32 {
        self.state().counts.get(&data).copied().unwrap_or(0)
    }

    /// The doorbells that were rung at other devices: peer and vector as the hypervisor understands them.
    pub fn rung(&self) -> Vec<(u16, u16)> {
        self.state().rung.clone()
    }

    /// A peer rings this device.
    pub fn ring(&self, vector: u16) {
        self.state().notify(vector);
    }

    /// Unplugs the device: configuration space reads all-ones, and registers `registers`.
    pub fn unplug(&self, registers: u32) {
        self.space.unplug(Self::ADDRESS);
        self.state().gone = Some(registers);
    }

    /// Answers the next reads of IVPosition with these values; the id follows.
    pub fn script_id(&self, values: impl IntoIterator<Item = u32>) {
        self.state().ids.extend(values);
    }

    /// Answers the next reads of registers other than IVPosition with these values; `None` and those after are answered as ever.
    pub fn script_registers(&self, values: impl IntoIterator<Item = Option<u32>>) {
        self.state().scripted.extend(values);
    }

    /// The table keeps nothing that is written to it from now on.
    pub fn break_table(&self) {
        self.state().broken = true;
    }

    /// Mapping whatever contains this physical address fails from now on.
    pub fn fail_to_map(&mut self, physical: u64) {
        self.fails = Some(physical);
    }

    /// The other side of the memory: what a peer sees of it.
    ///
    /// Never unmapped: made for tests, which end. A machine that comes after this one may have the same memory.
    pub fn peer_memory(&self) -> Option<SharedMemory> {
        let (range, pages) = self.memory.as_ref()?;
        // SAFETY: aligned as a BAR is, mapped readable and writable for ever, in no Rust allocation.
        Some(unsafe { SharedMemory::new(pages.base(), range.length as usize) })
    }

    /// A mapper that reaches BARs 0 to 2 of the device. Each call of its `map` is recorded.
    pub fn mapper(&self) -> MachineMapper<'_> {
        MachineMapper { machine: self, mapped: Vec::new() }
    }
}

impl ConfigAccess for Machine {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        let value = self.space.read32(address, offset);
        self.state().configured(address, self.space.take_cycles());
        value
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        self.space.write32(address, offset, value);
        self.state().configured(address, self.space.take_cycles());
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.space.write16(address, offset, value);
        self.state().configured(address, self.space.take_cycles());
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        self.space.buses(index)
    }
}

/// Maps the BARs of a [`Machine`].
#[derive(Debug)]
pub struct MachineMapper<'a> {
    machine: &'a Machine,
    /// What was mapped: physical address, bytes, caching.
    pub mapped: Vec<(u64, u64, Caching)>,
}

// SAFETY: pointers reach the register windows and the memory of the machine, for as long as it lives; tests keep it.
unsafe impl Mapper for MachineMapper<'_> {
    unsafe fn map(&mut self, physical: u64, length: u64, caching: Caching) -> Result<NonNull<u8>, MapError> {
        let unreachable = MapError::Unreachable { physical, length };
        if self.machine.fails.is_some_and(|fails| (physical..physical.saturating_add(length)).contains(&fails)) {
            return Err(MapError::OutOfFrames);
        }
        self.mapped.push((physical, length, caching));
        for (range, window) in &self.machine.windows {
            if let Some(offset) = range.offset(physical, length) {
                let address = core::ptr::with_exposed_provenance_mut(window.address() + offset);
                return NonNull::new(address).ok_or(unreachable);
            }
        }
        let (range, pages) = self.machine.memory.as_ref().ok_or(unreachable)?;
        let offset = range.offset(physical, length).ok_or(unreachable)?;
        // SAFETY: the offset lies inside the mapping.
        Ok(unsafe { pages.base().byte_add(offset) })
    }
}

impl Registers for doorbells::Bar {
    fn read32(&mut self, offset: usize) -> u32 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).read(self.index, offset)
    }

    fn write32(&mut self, offset: usize, value: u32) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).write(self.index, offset, value);
    }
}

impl fmt::Display for Access {
    /// `config write16 0x4 0x6`, `bar1 write 0xc 0x0`: for messages of failed tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(Cycle::Read32 { offset, value, .. }) => write!(f, "config read32 {offset:#x} {value:#x}"),
            Self::Config(Cycle::Write32 { offset, value, .. }) => write!(f, "config write32 {offset:#x} {value:#x}"),
            Self::Config(Cycle::Write16 { offset, value, .. }) => write!(f, "config write16 {offset:#x} {value:#x}"),
            Self::Read { bar, offset, value } => write!(f, "bar{bar} read {offset:#x} {value:#x}"),
            Self::Write { bar, offset, value } => write!(f, "bar{bar} write {offset:#x} {value:#x}"),
        }
    }
}
