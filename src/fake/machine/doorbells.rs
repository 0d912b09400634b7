//! BAR0 and BAR1 of the device: registers, vector table, pending bits, and what a doorbell does.
//!
//! After QEMU 7.2 `hw/misc/ivshmem-pci.c`, `hw/pci/msix.c` and ACRN `hypervisor/dm/vpci/ivshmem.c`, `vmsix.c`; read for their behaviour.

use super::{Access, Hypervisor, Machine};
use crate::fake::config::{ConfigSpace, Cycle};
use crate::msix::Capability;
use crate::pci::{Address, Command, Header, find_capability};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

/// Bytes of BAR0 that hold registers.
const REGISTERS: usize = 16;
const STATUS: usize = 0x4;
const IV_POSITION: usize = 0x8;
const DOORBELL: usize = 0xC;

/// One BAR's registers.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) index: u8,
}

/// All that the device remembers besides its configuration space.
pub(super) struct State {
    hypervisor: Hypervisor,
    id: u16,
    space: Arc<ConfigSpace>,
    capability: Option<Capability>,
    /// IntrMask and IntrStatus.
    storage: [u32; 2],
    table: Vec<[u32; 4]>,
    pending: BTreeSet<u16>,
    pub(super) ids: VecDeque<u32>,
    pub(super) scripted: VecDeque<Option<u32>>,
    pub(super) broken: bool,
    pub(super) gone: Option<u32>,
    pub(super) trace: Vec<Access>,
    pub(super) messages: Vec<(u32, u32)>,
    pub(super) counts: BTreeMap<u32, u32>,
    pub(super) rung: Vec<(u16, u16)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("hypervisor", &self.hypervisor).field("id", &self.id).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(hypervisor: Hypervisor, id: u16, space: Arc<ConfigSpace>) -> Self {
        let offset = find_capability(&*space, Machine::ADDRESS, Capability::ID).ok().flatten();
        let capability = offset.map(|offset| Capability::read(&*space, Machine::ADDRESS, offset));
        // Every vector is masked after reset.
        let table = vec![[0, 0, 0, 1]; capability.map_or(0, |capability| capability.vectors.into())];
        Self {
            hypervisor,
            id,
            space,
            capability,
            storage: [0; 2],
            table,
            pending: BTreeSet::new(),
            ids: VecDeque::new(),
            scripted: VecDeque::new(),
            broken: false,
            gone: None,
            trace: Vec::new(),
            messages: Vec::new(),
            counts: BTreeMap::new(),
            rung: Vec::new(),
        }
    }

    /// Configuration cycles were made: what waits for Enable or Function Mask may go out now.
    pub(super) fn configured(&mut self, address: Address, cycles: Vec<Cycle>) {
        let written = cycles.iter().any(|cycle| !matches!(cycle, Cycle::Read32 { .. }));
        self.trace.extend(cycles.into_iter().map(Access::Config));
        if written && address == Machine::ADDRESS {
            self.deliver_pending();
        }
    }

    fn command(&self) -> Command {
        self.quietly(|space| Header::new(space, Machine::ADDRESS).command())
    }

    /// Enable and Function Mask.
    fn control(&self) -> (bool, bool) {
        let Some(capability) = self.capability else { return (false, false) };
        let word = self.quietly(|space| crate::pci::ConfigAccess::read32(space, Machine::ADDRESS, capability.offset));
        (word & 1 << 31 != 0, word & 1 << 30 != 0)
    }

    /// The device looks at its own configuration space: no cycle of anybody's.
    fn quietly<T>(&self, look: impl FnOnce(&ConfigSpace) -> T) -> T {
        let value = look(&self.space);
        self.space.take_cycles();
        value
    }

    fn decodes(&self) -> bool {
        self.hypervisor == Hypervisor::Acrn || self.command().contains(Command::MEMORY)
    }

    pub(super) fn read(&mut self, bar: u8, offset: usize) -> u32 {
        let value = match self.gone {
            Some(registers) => registers,
            None if !self.decodes() => 0,
            None if (bar, offset) == (0, IV_POSITION) => self.answer(bar, offset),
            None => self.scripted.pop_front().flatten().unwrap_or_else(|| self.answer(bar, offset)),
        };
        self.trace.push(Access::Read { bar, offset, value });
        value
    }

    pub(super) fn write(&mut self, bar: u8, offset: usize, value: u32) {
        self.trace.push(Access::Write { bar, offset, value });
        if self.gone.is_none() && self.decodes() {
            self.take(bar, offset, value);
        }
    }

    fn answer(&mut self, bar: u8, offset: usize) -> u32 {
        if let Some((vector, register)) = self.entry(bar, offset) {
            return self.table[vector][register];
        }
        if let Some(word) = self.pending_word(bar, offset) {
            let bits = |vector: &u16| usize::from(vector / 32) == word;
            return self.pending.iter().filter(|v| bits(v)).fold(0, |sum, vector| sum | 1 << (vector % 32));
        }
        match (bar, offset) {
            (0, 0) => self.storage[0],
            // QEMU clears IntrStatus by reading it, ACRN does not.
            (0, STATUS) if self.hypervisor == Hypervisor::Qemu => core::mem::take(&mut self.storage[1]),
            (0, STATUS) => self.storage[1],
            (0, IV_POSITION) => self.ids.pop_front().unwrap_or(self.id.into()),
            _ => 0,
        }
    }

    fn take(&mut self, bar: u8, offset: usize, value: u32) {
        if let Some((vector, register)) = self.entry(bar, offset) {
            if !self.broken {
                self.table[vector][register] = value;
            }
            return self.deliver_pending();
        }
        match (bar, offset) {
            (0, 0 | STATUS) => self.storage[offset / 4] = value,
            (0, DOORBELL) => self.doorbell((value >> 16) as u16, value as u16),
            _ => {}
        }
    }

    /// Which vector's which register lies here.
    fn entry(&self, bar: u8, offset: usize) -> Option<(usize, usize)> {
        let table = self.capability.filter(|capability| capability.table.bar == bar)?.table;
        let at = offset.checked_sub(table.offset as usize).filter(|_| bar != 0 || offset >= REGISTERS)?;
        (at / 16 < self.table.len()).then_some((at / 16, at % 16 / 4))
    }

    fn pending_word(&self, bar: u8, offset: usize) -> Option<usize> {
        let pending = self.capability.filter(|capability| capability.pending.bar == bar)?.pending;
        let at = offset.checked_sub(pending.offset as usize)?;
        (at < self.table.len().div_ceil(64) * 8).then_some(at / 4)
    }

    fn doorbell(&mut self, peer: u16, vector: u16) {
        let vector = if self.hypervisor == Hypervisor::Qemu { vector & 0xFF } else { vector };
        if peer == self.id {
            self.notify(vector);
        } else {
            self.rung.push((peer, vector));
        }
    }

    /// This device's vector was rung.
    pub(super) fn notify(&mut self, vector: u16) {
        let (enabled, function_mask) = self.control();
        let Some(entry) = self.table.get(usize::from(vector)) else { return };
        let masked = function_mask || entry[3] & 1 == 1;
        match self.hypervisor {
            _ if !enabled || self.gone.is_some() => {}
            Hypervisor::Qemu if masked => {
                self.pending.insert(vector);
            }
            Hypervisor::Acrn if masked || vector > 7 => {}
            _ => self.deliver(vector),
        }
    }

    fn deliver(&mut self, vector: u16) {
        // QEMU's TCG loses the message without Bus Master, and leaves no pending bit.
        if self.hypervisor == Hypervisor::Qemu && !self.command().contains(Command::BUS_MASTER) {
            return;
        }
        let [address, _, data, _] = self.table[usize::from(vector)];
        self.messages.push((address, data));
        *self.counts.entry(data).or_default() += 1;
    }

    fn deliver_pending(&mut self) {
        if let (true, false) = self.control() {
            let unmasked = |vector: &u16| self.table[usize::from(*vector)][3] & 1 == 0;
            let ready: Vec<u16> = self.pending.iter().copied().filter(unmasked).collect();
            for vector in ready {
                self.pending.remove(&vector);
                self.deliver(vector);
            }
        }
    }
}
