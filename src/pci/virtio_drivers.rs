//! The crate `virtio-drivers`: an access to configuration space that has its [`ConfigurationAccess`], used by this crate; and one that has
//! this crate's [`ConfigAccess`], used with it.

use super::foreign::{merged, register};
use super::{Address, Buses, ConfigAccess};
use ::virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};
use core::fmt;
use spin::Mutex;

/// Their access, with this crate's trait. A lock goes round each cycle, since theirs writes through a unique reference: not for interrupt
/// handlers.
///
/// A 16-bit write becomes a read and a write of 32 bits, both under the lock. A write of Command clears no bit of Status; but a register
/// further on whose neighbour is cleared by writing 1 (PCI Express has some) is not for this access.
pub struct Theirs<A> {
    access: Mutex<A>,
    buses: Buses,
}

impl<A: ConfigurationAccess> Theirs<A> {
    /// Their access, which reaches `buses`: no other bus is asked of it. It panics at no function of these.
    pub const fn new(access: A, buses: Buses) -> Self {
        Self { access: Mutex::new(access), buses }
    }
}

impl<A: ConfigurationAccess> ConfigAccess for Theirs<A> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        let Some(register) = register(self.buses, address, offset) else { return u32::MAX };
        self.access.lock().read_word(theirs(address), register)
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        let Some(register) = register(self.buses, address, offset) else { return };
        self.access.lock().write_word(theirs(address), register, value);
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        let Some(register) = register(self.buses, address, offset) else { return };
        let mut access = self.access.lock();
        let beside = access.read_word(theirs(address), register);
        access.write_word(theirs(address), register, merged(offset, beside, value));
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        (index == 0).then_some(self.buses)
    }
}

impl<A> fmt::Debug for Theirs<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Theirs").field("buses", &self.buses).finish_non_exhaustive()
    }
}

/// This crate's access to one segment, with their trait. Take a reference for `A`: theirs are cloned.
#[derive(Clone, Copy, Debug)]
pub struct Ours<A> {
    access: A,
    segment: u16,
}

impl<A: ConfigAccess + Clone> Ours<A> {
    /// This crate's access to one segment: 0 where there is only one.
    pub const fn new(access: A, segment: u16) -> Self {
        Self { access, segment }
    }

    /// `None` for what is no address of a function: theirs can be.
    fn ours(&self, function: DeviceFunction) -> Option<Address> {
        Address::new(self.segment, function.bus, function.device, function.function).ok()
    }
}

impl<A: ConfigAccess + Clone> ConfigurationAccess for Ours<A> {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        self.ours(function).map_or(u32::MAX, |address| self.access.read32(address, offset.into()))
    }

    fn write_word(&mut self, function: DeviceFunction, offset: u8, value: u32) {
        if let Some(address) = self.ours(function) {
            self.access.write32(address, offset.into(), value);
        }
    }

    unsafe fn unsafe_clone(&self) -> Self {
        self.clone()
    }
}

fn theirs(address: Address) -> DeviceFunction {
    DeviceFunction { bus: address.bus(), device: address.device(), function: address.function() }
}

#[cfg(test)]
mod tests;
