//! A virtual machine with models of devices in it: what the driver reaches of it, configuration space and physical memory.
//!
//! Several machines may hold devices of one region, and so exchange messages: see [`acrn`](super::acrn). Every access is recorded.
//!
//! A register window has no memory behind it: an access that is not one of [`Region`](crate::mmio::Region)'s aligned 32-bit ones ends the
//! test program with a fault, as it ends Cloud Hypervisor.

use super::config::Cycle;
use super::machine::Access;
use super::pages::Pages;
use super::registers::{Registers, Window};
use crate::memory::SharedMemory;
use crate::mmio::{Caching, MapError, Mapper};
use crate::pci::{Address, ConfigAccess};
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

mod standard;
pub use standard::Standard;

/// What a device answers. Any of its CPUs may ask at any time.
pub trait Device: fmt::Debug + Send + Sync {
    /// A 32-bit read of configuration space, at a multiple of 4.
    fn config_read(&self, offset: u16) -> u32;

    /// A write of 2 or 4 bytes of configuration space, at a multiple of as many.
    fn config_write(&self, offset: u16, bytes: &[u8]);

    /// The physical addresses at which BAR `index` (0 to 2) is decoded now.
    fn decoded(&self, index: u8) -> Option<Range<u64>>;

    /// A 32-bit read of BAR 0 or 1, at a multiple of 4.
    fn read(&self, bar: u8, offset: usize) -> u32;

    /// A 32-bit write of BAR 0 or 1, at a multiple of 4.
    fn write(&self, bar: u8, offset: usize, value: u32);

    /// What is behind BAR2.
    fn memory(&self) -> Option<&Memory>;
}

/// Inter-VM memory of the host, which any number of devices may have behind BAR2.
///
/// It stays mapped for ever, but later memory of the same size may be the same: keep the value as long as it is used.
#[derive(Debug)]
pub struct Memory {
    pages: Mutex<Pages>,
    length: usize,
}

impl Memory {
    /// Zeroed, `length` bytes.
    pub fn new(length: usize) -> io::Result<Self> {
        Ok(Self { pages: Mutex::new(Pages::new(0, length)?), length })
    }

    /// Bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// What the host sees of it.
    pub fn view(&self) -> SharedMemory {
        // SAFETY: page-aligned, mapped readable and writable for ever, in no Rust allocation.
        unsafe { SharedMemory::new(self.base(), self.length) }
    }

    fn base(&self) -> NonNull<u8> {
        lock(&self.pages).base()
    }
}

/// What a mutex guards; a test that panicked with it held has left nothing half-written.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine: functions at their addresses, on any bus of segment 0.
#[derive(Debug, Default)]
pub struct Vm {
    functions: BTreeMap<Address, Arc<dyn Device>>,
    windows: Mutex<BTreeMap<u64, Window>>,
    trace: Arc<Mutex<Vec<Access>>>,
}

impl Vm {
    /// An empty machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this function.
    #[must_use]
    pub fn with(mut self, address: Address, device: Arc<dyn Device>) -> Self {
        self.functions.insert(address, device);
        self
    }

    /// Everything accessed since the beginning or the last call of this, in order.
    pub fn take_trace(&self) -> Vec<Access> {
        core::mem::take(&mut lock(&self.trace))
    }

    /// Maps the BARs of the devices, where they are decoded when they are mapped.
    pub fn mapper(&self) -> VmMapper<'_> {
        VmMapper(self)
    }

    fn write(&self, address: Address, offset: u16, bytes: &[u8], cycle: Cycle) {
        lock(&self.trace).push(Access::Config(cycle));
        if let Some(device) = self.functions.get(&address) {
            device.config_write(offset, bytes);
        }
    }
}

impl ConfigAccess for Vm {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        let value = self.functions.get(&address).map_or(u32::MAX, |device| device.config_read(offset & !3));
        lock(&self.trace).push(Access::Config(Cycle::Read32 { address, offset, value }));
        value
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        self.write(address, offset & !3, &value.to_le_bytes(), Cycle::Write32 { address, offset, value });
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.write(address, offset & !1, &value.to_le_bytes(), Cycle::Write16 { address, offset, value });
    }
}

/// One register BAR, at the address where it was mapped.
struct Bar {
    device: Arc<dyn Device>,
    index: u8,
    at: Range<u64>,
    trace: Arc<Mutex<Vec<Access>>>,
}

impl Bar {
    fn is_decoded(&self) -> bool {
        self.device.decoded(self.index).as_ref() == Some(&self.at)
    }
}

impl Registers for Bar {
    fn read32(&mut self, offset: usize) -> u32 {
        let value = if self.is_decoded() { self.device.read(self.index, offset) } else { u32::MAX };
        lock(&self.trace).push(Access::Read { bar: self.index, offset, value });
        value
    }

    fn write32(&mut self, offset: usize, value: u32) {
        lock(&self.trace).push(Access::Write { bar: self.index, offset, value });
        if self.is_decoded() {
            self.device.write(self.index, offset, value);
        }
    }
}

/// Maps the BARs of a [`Vm`]'s devices.
#[derive(Debug)]
pub struct VmMapper<'a>(&'a Vm);

// SAFETY: pointers reach register windows, which live as long as the machine, and inter-VM memory, which is mapped for ever;
// tests keep both.
unsafe impl Mapper for VmMapper<'_> {
    unsafe fn map(&mut self, physical: u64, length: u64, _: Caching) -> Result<NonNull<u8>, MapError> {
        let unreachable = MapError::Unreachable { physical, length };
        let end = physical.checked_add(length).ok_or(unreachable)?;
        for (device, index) in self.0.functions.values().flat_map(|device| [(device, 0), (device, 1), (device, 2)]) {
            let Some(at) = device.decoded(index).filter(|at| at.start <= physical && end <= at.end) else { continue };
            let offset = (physical - at.start) as usize;
            if index == 2 {
                let base = device.memory().ok_or(unreachable)?.base();
                // SAFETY: the offset lies inside the memory, which is as long as the BAR.
                return Ok(unsafe { base.byte_add(offset) });
            }
            let mut windows = lock(&self.0.windows);
            let window = match windows.entry(at.start) {
                Entry::Occupied(window) => window.into_mut(),
                Entry::Vacant(vacant) => {
                    let (inside, bytes) = ((at.start & 0xFFF) as usize, (at.end - at.start) as usize);
                    let model = Bar { device: device.clone(), index, at, trace: self.0.trace.clone() };
                    let window = Window::new(inside, bytes, Arc::new(Mutex::new(model)));
                    vacant.insert(window.map_err(|_| unreachable)?)
                }
            };
            let address = core::ptr::with_exposed_provenance_mut(window.address() + offset);
            return NonNull::new(address).ok_or(unreachable);
        }
        Err(unreachable)
    }
}

#[cfg(test)]
mod tests;
