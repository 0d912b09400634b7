//! The crate `pci_types`: an access to configuration space that has its [`ConfigRegionAccess`], used by this crate; and one that has this
//! crate's [`ConfigAccess`], used with it.
//!
//! Its own enumeration and capability walk are not used by this crate: they follow whatever configuration space says, in circles too.

use super::foreign::{merged, register};
use super::{Address, Buses, ConfigAccess};
use ::pci_types::{ConfigRegionAccess, PciAddress};

/// Their access, with this crate's trait.
///
/// A 16-bit write becomes a read and a write of 32 bits, between which nothing else may write the register. A write of Command clears no
/// bit of Status; but a register further on whose neighbour is cleared by writing 1 (PCI Express has some) is not for this access.
#[derive(Clone, Copy, Debug)]
pub struct Theirs<A> {
    access: A,
    buses: Buses,
}

impl<A: ConfigRegionAccess> Theirs<A> {
    /// Their access, which reaches `buses`: no other bus is asked of it, and no register from 100h on.
    ///
    /// # Safety
    /// Registers 0 to FCh of every function on these buses are valid for reads and writes through `access`, as its trait asks it, whether
    /// the function is there or not.
    pub const unsafe fn new(access: A, buses: Buses) -> Self {
        Self { access, buses }
    }
}

impl<A: ConfigRegionAccess> ConfigAccess for Theirs<A> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        let Some(register) = register(self.buses, address, offset) else { return u32::MAX };
        // SAFETY: `new` was promised that this register, aligned and below 100h, can be read on these buses.
        unsafe { self.access.read(address.into(), register.into()) }
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        let Some(register) = register(self.buses, address, offset) else { return };
        // SAFETY: `new` was promised that this register, aligned and below 100h, can be written on these buses.
        unsafe { self.access.write(address.into(), register.into(), value) };
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.write32(address, offset, merged(offset, self.read32(address, offset), value));
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        (index == 0).then_some(self.buses)
    }
}

/// This crate's access, with their trait.
///
/// Any address and offset is valid: what is out of reach reads as all-ones.
#[derive(Clone, Copy, Debug)]
pub struct Ours<A>(pub A);

impl<A: ConfigAccess> ConfigRegionAccess for Ours<A> {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        ours(address).map_or(u32::MAX, |address| self.0.read32(address, offset))
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        if let Some(address) = ours(address) {
            self.0.write32(address, offset, value);
        }
    }
}

impl From<Address> for PciAddress {
    fn from(address: Address) -> Self {
        Self::new(address.segment(), address.bus(), address.device(), address.function())
    }
}

/// Always there: theirs has no more bits for a device and a function than ours.
fn ours(address: PciAddress) -> Option<Address> {
    Address::new(address.segment(), address.bus(), address.device(), address.function()).ok()
}

#[cfg(test)]
mod tests;
