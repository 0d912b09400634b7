//! Configuration mechanism #1: an address port and a data port (PCI Local Bus 3.0, section 3.2.2.3.2).

use super::{Address, ConfigAccess};
use spin::Mutex;
use x86_64::structures::port::{PortRead, PortWrite};

/// CONFIG_ADDRESS, accessed with 32 bits only.
const ADDRESS: u16 = 0xCF8;
/// CONFIG_DATA, accessed as wide as the cycle that it makes.
const DATA: u16 = 0xCFC;
/// In CONFIG_ADDRESS: turn accesses of the data port into configuration cycles.
const ENABLE: u32 = 1 << 31;

/// The two ports are one shared latch, so a pair of accesses must not be interleaved with another CPU's.
static PAIR: Mutex<CpuPorts> = Mutex::new(CpuPorts);

/// Access through the ports 0xCF8 and 0xCFC: segment 0, every bus, offsets up to 0xFF.
///
/// Each access takes two port cycles under a spin lock, because the address is written before every data access (ACRN forgets it
/// with each one). Not for interrupt handlers: one that interrupts the lock's holder would wait for ever.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PortIo(());

impl PortIo {
    /// # Safety
    /// - The code runs with I/O privilege (ring 0).
    /// - Nothing else uses the ports 0xCF8 to 0xCFF while this value is used.
    /// - The machine has the mechanism, or nothing else behind these ports; see [`is_present`](Self::is_present).
    pub const unsafe fn new() -> Self {
        Self(())
    }

    /// Whether the machine has the mechanism: whether the address port keeps what is written.
    ///
    /// QEMU's microvm has none and answers all-ones.
    pub fn is_present(&self) -> bool {
        is_present(&mut *PAIR.lock())
    }
}

impl ConfigAccess for PortIo {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        read32(&mut *PAIR.lock(), address, offset)
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        write32(&mut *PAIR.lock(), address, offset, value);
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        write16(&mut *PAIR.lock(), address, offset, value);
    }
}

/// The port cycles that the mechanism is made of.
pub(crate) trait Ports {
    fn read32(&mut self, port: u16) -> u32;
    fn write32(&mut self, port: u16, value: u32);
    fn write16(&mut self, port: u16, value: u16);
}

/// The CPU's. Only [`PortIo`]'s methods come here.
struct CpuPorts;

impl Ports for CpuPorts {
    fn read32(&mut self, port: u16) -> u32 {
        // SAFETY: `PortIo::new` was promised I/O privilege and that these ports are this mechanism's alone.
        unsafe { u32::read_from_port(port) }
    }

    fn write32(&mut self, port: u16, value: u32) {
        // SAFETY: as for `read32`.
        unsafe { u32::write_to_port(port, value) }
    }

    fn write16(&mut self, port: u16, value: u16) {
        // SAFETY: as for `read32`.
        unsafe { u16::write_to_port(port, value) }
    }
}

/// What CONFIG_ADDRESS takes to select the 32-bit register at `offset`; `None` if the mechanism cannot.
fn select(address: Address, offset: u16) -> Option<u32> {
    if address.segment() != 0 {
        return None;
    }
    let register = u8::try_from(offset).ok()? & !3;
    let function = address.device() << 3 | address.function();
    Some(ENABLE | u32::from_be_bytes([0, address.bus(), function, register]))
}

fn is_present(ports: &mut impl Ports) -> bool {
    ports.write32(ADDRESS, ENABLE);
    ports.read32(ADDRESS) == ENABLE
}

pub(crate) fn read32(ports: &mut impl Ports, address: Address, offset: u16) -> u32 {
    let Some(selected) = select(address, offset) else { return u32::MAX };
    ports.write32(ADDRESS, selected);
    ports.read32(DATA)
}

pub(crate) fn write32(ports: &mut impl Ports, address: Address, offset: u16, value: u32) {
    if let Some(selected) = select(address, offset) {
        ports.write32(ADDRESS, selected);
        ports.write32(DATA, value);
    }
}

pub(crate) fn write16(ports: &mut impl Ports, address: Address, offset: u16, value: u16) {
    if let Some(selected) = select(address, offset) {
        ports.write32(ADDRESS, selected);
        // The data port's four bytes are the register's: the upper half is two ports further.
        ports.write16(DATA | offset & 2, value);
    }
}

#[cfg(test)]
mod tests;
