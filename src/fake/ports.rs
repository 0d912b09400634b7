//! The ports 0xCF8 and 0xCFC in software, in front of any configuration space: the driver's own port cycles, without the ports.
//!
//! The address latch is consumed by each data access, as on ACRN (`hypervisor/dm/vpci/vpci.c`): an access that did not write it
//! anew would read all-ones.

use super::vm::lock;
use crate::pci::port_io::{self, Ports};
use crate::pci::{Address, Buses, ConfigAccess};
use std::sync::Mutex;
use std::vec::Vec;

/// Configuration access as [`PortIo`](crate::pci::PortIo) makes it, to another configuration space.
#[derive(Debug)]
pub struct PortLatch<A> {
    space: A,
    ports: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    latch: u32,
    accesses: Vec<(u16, u32)>,
}

impl<A> PortLatch<A> {
    /// Ports that lead to `space`.
    pub fn new(space: A) -> Self {
        Self { space, ports: Mutex::default() }
    }

    /// What is behind the ports.
    pub fn space(&self) -> &A {
        &self.space
    }

    /// The port accesses since the beginning or the last call of this: port and what was written, or 0.
    pub fn take_accesses(&self) -> Vec<(u16, u32)> {
        core::mem::take(&mut lock(&self.ports).accesses)
    }
}

impl<A: ConfigAccess> PortLatch<A> {
    fn record(&self, port: u16, value: u32) {
        lock(&self.ports).accesses.push((port, value));
    }

    /// What the latch selects, which a data access consumes.
    fn consume(&self) -> Option<(Address, u16)> {
        let latch = core::mem::take(&mut lock(&self.ports).latch);
        let [register, function, bus, high] = latch.to_le_bytes();
        assert!(high & 0x7F == 0 && register & 3 == 0, "reserved bits are set in {latch:#x}");
        (high == 0x80).then(|| (Address::new(0, bus, function >> 3, function & 7).unwrap(), register.into()))
    }
}

impl<A: ConfigAccess> Ports for &PortLatch<A> {
    fn read32(&mut self, port: u16) -> u32 {
        self.record(port, 0);
        match port {
            0xCF8 => lock(&self.ports).latch,
            0xCFC => self.consume().map_or(u32::MAX, |(address, offset)| self.space.read32(address, offset)),
            _ => panic!("read of port {port:#x}"),
        }
    }

    fn write32(&mut self, port: u16, value: u32) {
        self.record(port, value);
        match port {
            0xCF8 => lock(&self.ports).latch = value,
            0xCFC => {
                if let Some((address, offset)) = self.consume() {
                    self.space.write32(address, offset, value);
                }
            }
            _ => panic!("write of port {port:#x}"),
        }
    }

    fn write16(&mut self, port: u16, value: u16) {
        self.record(port, value.into());
        assert!(matches!(port, 0xCFC | 0xCFE), "16-bit write of port {port:#x}");
        if let Some((address, offset)) = self.consume() {
            self.space.write16(address, offset + (port - 0xCFC), value);
        }
    }
}

impl<A: ConfigAccess> ConfigAccess for PortLatch<A> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        port_io::read32(&mut &*self, address, offset)
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        port_io::write32(&mut &*self, address, offset, value);
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        port_io::write16(&mut &*self, address, offset, value);
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        self.space.buses(index)
    }
}
