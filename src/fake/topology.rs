//! Functions behind bridges that route: what is reached depends on what the bridges were told.
//!
//! Configuration cycles go through bridges by bus number (PCI-to-PCI Bridge Architecture 1.2, section 3.1), memory cycles through
//! their windows while Command lets them (section 4.2). A BAR at address 0 is not decoded, as in QEMU.
//!
//! ```
//! use ivshmem::fake::{config::Function, topology::Topology};
//! use ivshmem::pci;
//!
//! let mut topology = Topology::new();
//! let port = topology.add(None, (4, 0), Function::new(0x1B36, 0xC).bridge(0, 0, 0));
//! let device = topology.add(Some(port), (0, 0), Function::ivshmem_plain(1 << 20));
//! assert_eq!(topology.address(device), None, "nobody numbered the bus");
//! let buses = pci::Buses { segment: 0, first: 0, last: 255 };
//! assert_eq!(pci::number_buses(&topology, buses), Ok(1));
//! assert_eq!(topology.address(device), "01:00.0".parse().ok());
//! ```

use super::config::Function;
use crate::pci::{Address, Buses, ConfigAccess};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

const COMMAND: u16 = 0x04;
const MEMORY_ENABLE: u32 = 1 << 1;

/// A root bus, number 0, and what is on it and behind its bridges.
#[derive(Debug, Default)]
pub struct Topology {
    nodes: Mutex<Vec<Node>>,
}

#[derive(Clone, Debug)]
struct Node {
    /// The bridge that it is behind.
    parent: Option<usize>,
    device: u8,
    function: u8,
    space: Function,
}

/// Who takes a memory cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The function, as [`Topology::add`] named it.
    pub node: usize,
    /// Its BAR.
    pub bar: u8,
    /// Bytes from the start of the BAR.
    pub offset: u64,
}

impl Node {
    fn is_bridge(&self) -> bool {
        self.space.bytes()[0x0E] & 0x7F == 1
    }

    fn buses(&self) -> (u8, u8) {
        (self.space.bytes()[0x19], self.space.bytes()[0x1A])
    }

    fn decodes(&self) -> bool {
        self.space.read32(COMMAND) & MEMORY_ENABLE != 0
    }

    /// Number, address and size of each memory BAR.
    fn bars(&self) -> Vec<(u8, u64, u64)> {
        let (mut bars, mut index) = (Vec::new(), 0);
        while index < if self.is_bridge() { 2 } else { 6 } {
            let offset = 0x10 + 4 * u16::from(index);
            let (value, mask) = (self.space.read32(offset), self.space.writable(offset));
            let wide = value & 0b111 == 0b100;
            if value & 1 == 0 {
                let upper = |get: &dyn Fn(u16) -> u32| if wide { u64::from(get(offset + 4)) << 32 } else { 0 };
                let address = u64::from(value & !0xF) | upper(&|at| self.space.read32(at));
                let mask = u64::from(mask) | upper(&|at| self.space.writable(at));
                if mask != 0 {
                    bars.push((index, address, mask & mask.wrapping_neg()));
                }
            }
            index += if wide { 2 } else { 1 };
        }
        bars
    }

    /// Whether a bridge passes a memory cycle on to what is behind it.
    fn forwards(&self, physical: u64) -> bool {
        let (memory, prefetchable) = (self.space.read32(0x20), self.space.read32(0x24));
        let upper = |offset| u64::from(self.space.read32(offset)) << 32;
        let within = |value: u32, (base, limit): (u64, u64)| {
            let base = base | u64::from(value & 0xFFF0) << 16;
            let limit = limit | u64::from(value & 0xFFF0_0000) | 0xF_FFFF;
            (base..=limit).contains(&physical)
        };
        let has_prefetchable = self.space.writable(0x24) != 0;
        within(memory, (0, 0)) || has_prefetchable && within(prefetchable, (upper(0x28), upper(0x2C)))
    }
}

impl Topology {
    /// Nothing on the root bus.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a function at (device, function) of the root bus or of the bus behind a bridge that was added before, and names it.
    pub fn add(&mut self, parent: Option<usize>, (device, function): (u8, u8), space: Function) -> usize {
        let mut nodes = self.nodes();
        assert!(parent.is_none_or(|parent| nodes[parent].is_bridge()), "{parent:?} is no bridge");
        nodes.push(Node { parent, device, function, space });
        nodes.len() - 1
    }

    /// Where a function is reached now.
    pub fn address(&self, node: usize) -> Option<Address> {
        let nodes = self.nodes();
        let Node { parent, device, function, .. } = nodes[node];
        let bus = parent.map_or(0, |parent| nodes[parent].buses().0);
        let address = Address::new(0, bus, device, function).ok()?;
        (locate(&nodes, address) == Some(node)).then_some(address)
    }

    /// Who takes a memory cycle of the CPU's: more than one is a conflict.
    pub fn claims(&self, physical: u64) -> Vec<Claim> {
        let nodes = self.nodes();
        let mut found = Vec::new();
        claims_on(&nodes, None, physical, &mut found);
        found
    }

    /// Number, address and size of each memory BAR of a function.
    pub fn bars(&self, node: usize) -> Vec<(u8, u64, u64)> {
        self.nodes()[node].bars()
    }

    /// Every byte of every function.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.nodes().iter().map(|node| node.space.bytes().to_vec()).collect()
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        // A test that panicked with the lock held has left nothing half-written.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn locate(nodes: &[Node], address: Address) -> Option<usize> {
    let mut parent = None;
    while parent.map_or(0, |bridge: usize| nodes[bridge].buses().0) != address.bus() {
        let next = nodes.iter().position(|node| {
            let (secondary, subordinate) = node.buses();
            node.parent == parent
                && node.is_bridge()
                && secondary != 0
                && (secondary..=subordinate).contains(&address.bus())
        })?;
        parent = Some(next);
    }
    let at = (address.device(), address.function());
    nodes.iter().position(|node| node.parent == parent && (node.device, node.function) == at)
}

fn claims_on(nodes: &[Node], parent: Option<usize>, physical: u64, found: &mut Vec<Claim>) {
    for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.parent == parent && node.decodes()) {
        for (bar, address, size) in node.bars() {
            if address != 0 && physical >= address && physical - address < size {
                found.push(Claim { node: index, bar, offset: physical - address });
            }
        }
        if node.is_bridge() && node.forwards(physical) {
            claims_on(nodes, Some(index), physical, found);
        }
    }
}

impl ConfigAccess for Topology {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        let nodes = self.nodes();
        locate(&nodes, address).map_or(u32::MAX, |node| nodes[node].space.read32(offset & 0xFFC))
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        let mut nodes = self.nodes();
        if let Some(node) = locate(&nodes, address) {
            nodes[node].space.write(offset & 0xFFC, &value.to_le_bytes());
        }
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        let mut nodes = self.nodes();
        if let Some(node) = locate(&nodes, address) {
            nodes[node].space.write(offset & 0xFFE, &value.to_le_bytes());
        }
    }

    /// As of an ECAM window of 64 MiB, so that tests need not look at buses that none of them has.
    fn buses(&self, index: usize) -> Option<Buses> {
        (index == 0).then_some(Buses { segment: 0, first: 0, last: 63 })
    }
}
