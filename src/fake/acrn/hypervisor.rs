//! The hypervisor's device: `hypervisor/dm/vpci/ivshmem.c`.

use super::bars::Bars;
use super::doorbells::{Doorbells, VECTORS};
use super::{Region, Version};
use crate::fake::vm::{Device, Memory, lock};
use core::ops::Range;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

const SUBSYSTEM: usize = 0x2C;
const CAPABILITY: usize = 0x40;
/// Message Control's upper byte, with Enable and Function Mask.
const CONTROL: usize = CAPABILITY + 3;
const CAPABILITY_END: usize = CAPABILITY + 12;

/// The registers: IntrMask and IntrStatus (plain storage, not cleared by reading), IVPosition, Doorbell.
const IV_POSITION: usize = 2;
const DOORBELL: usize = 3;

/// A hypervisor-land device of one VM.
///
/// Configuration space stores whatever is written to it, but for BARs and the MSI-X capability; BARs have addresses from the start and are decoded
/// whatever Command says; what is rung while a vector cannot be delivered is lost.
#[derive(Debug)]
pub struct HypervisorLand {
    version: Version,
    vm: u16,
    region: Arc<Region>,
    doorbells: Arc<Doorbells>,
    bars: [u64; 3],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: [u8; 256],
    bars: Bars,
    registers: [u32; 4],
    placed: Vec<(u8, u64)>,
}

impl HypervisorLand {
    /// Addresses as a pre-launched VM finds them: registers in the 32-bit window from 2 GiB, memory in the 64-bit one from 256 GiB.
    pub const BARS: [u64; 3] = [0x8000_0000, 0x8000_1000, 0x40_0000_0000];

    /// The device of VM `vm` (0 to 15) on a region, which is bound to it: a second one of the same VM takes the first one's doorbells.
    pub fn new(version: Version, vm: u16, region: &Arc<Region>, bars: [u64; 3]) -> Arc<Self> {
        assert!(vm < Region::PEERS, "there is no VM {vm}");
        let doorbells = Arc::new(Doorbells::new());
        lock(&region.peers).insert(vm, doorbells.clone());
        let state = Mutex::new(State::new(version, vm, region, bars));
        Arc::new(Self { version, vm, region: region.clone(), doorbells, bars, state })
    }

    /// The VM is started again: everything is as at first, but the memory.
    pub fn restart(&self) {
        *lock(&self.state) = State::new(self.version, self.vm, &self.region, self.bars);
        self.doorbells.reset();
    }

    /// The VM's CPUs begin, or have ended, to change over to a local APIC that is passed through: messages meanwhile are dropped.
    pub fn set_transition(&self, transition: bool) {
        self.doorbells.set_transition(transition);
    }

    /// The messages that reached the VM since the beginning or the last call of this: address and data.
    pub fn take_messages(&self) -> Vec<(u32, u32)> {
        self.doorbells.take_messages()
    }

    /// Messages so far with this data.
    pub fn count(&self, data: u32) -> u32 {
        self.doorbells.count(data)
    }

    /// Doorbells of others, or its own, that were dropped.
    pub fn dropped(&self) -> u32 {
        self.doorbells.dropped()
    }

    /// Every BAR that a write has put somewhere, back in its place included: each time the VM's memory map changed.
    pub fn placed(&self) -> Vec<(u8, u64)> {
        lock(&self.state).placed.clone()
    }
}

impl State {
    fn new(version: Version, vm: u16, region: &Region, bars: [u64; 3]) -> Self {
        let mut bytes = [0; 256];
        bytes[..4].copy_from_slice(&[0xF4, 0x1A, 0x10, 0x11]);
        // Status: there are capabilities.
        bytes[6] = 0x10;
        bytes[8..12].copy_from_slice(&[1, 0, 0, 5]);
        bytes[0x0E] = if version.multi_function { 0x80 } else { 0 };
        if version.shows_region {
            bytes[SUBSYSTEM..][..2].copy_from_slice(&0x8086_u16.to_le_bytes());
            bytes[SUBSYSTEM + 2..][..2].copy_from_slice(&region.id.to_le_bytes());
        }
        bytes[0x34] = CAPABILITY as u8;
        // MSI-X, the last capability: table at BAR1 + 0, pending bits at BAR1 + 0x800.
        bytes[CAPABILITY..CAPABILITY_END].copy_from_slice(&[0x11, 0, VECTORS as u8 - 1, 0, 1, 0, 0, 0, 1, 8, 0, 0]);
        let length = region.memory.length() as u32;
        let bars = Bars::new([version.registers, 0x1000, length], bars, 0xC);
        let mut registers = [0; 4];
        registers[IV_POSITION] = vm.into();
        Self { bytes, bars, registers, placed: Vec::new() }
    }

    /// A BAR's register was written, in whatever width: the value is taken as all of it.
    fn write_bar(&mut self, register: usize, value: u32, version: Version) {
        self.bars.write(register, value);
        let index = register.min(2) as u8;
        let Some(range) = self.bars.range(index) else { return };
        self.placed.push((index, range.start));
        if index == 0 && version.forgets_registers {
            self.registers = [0; 4];
        }
    }
}

impl Device for HypervisorLand {
    /// Behind the first 256 bytes nothing is (an assumption).
    fn config_read(&self, offset: u16) -> u32 {
        let state = lock(&self.state);
        match Bars::index(offset) {
            Some(index) => state.bars.read(index),
            None => {
                let word = state.bytes.get(usize::from(offset)..).and_then(|bytes| bytes.first_chunk());
                word.map_or(0, |bytes| u32::from_le_bytes(*bytes))
            }
        }
    }

    fn config_write(&self, offset: u16, bytes: &[u8]) {
        let mut state = lock(&self.state);
        if let Some(index) = Bars::index(offset) {
            let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            return state.write_bar(index, value, self.version);
        }
        for (at, byte) in (usize::from(offset)..).zip(bytes) {
            match at {
                CONTROL => {
                    state.bytes[at] = state.bytes[at] & 0x3F | byte & 0xC0;
                    self.doorbells.control(byte & 0x80 != 0, byte & 0x40 != 0);
                }
                CAPABILITY..CAPABILITY_END | 0x100.. => {}
                _ => state.bytes[at] = *byte,
            }
        }
    }

    fn decoded(&self, index: u8) -> Option<Range<u64>> {
        lock(&self.state).bars.range(index)
    }

    fn read(&self, bar: u8, offset: usize) -> u32 {
        match (bar, offset / 4) {
            (1, _) => self.doorbells.read(offset),
            (_, DOORBELL) => 0,
            (_, register @ ..DOORBELL) => lock(&self.state).registers[register],
            // The request keeps the value it came with, which is anything.
            _ => {
                assert!(self.version.bounds_registers, "a read of BAR0 at {offset:#x} reads the hypervisor's memory");
                0xA5A5_A5A5
            }
        }
    }

    fn write(&self, bar: u8, offset: usize, value: u32) {
        match (bar, offset / 4) {
            (1, _) => self.doorbells.write(offset, value),
            (_, DOORBELL) => self.region.ring((value >> 16) as u16, value as u16),
            (_, register @ ..IV_POSITION) => lock(&self.state).registers[register] = value,
            (_, IV_POSITION) => {}
            _ => {
                assert!(self.version.bounds_registers, "a write of BAR0 at {offset:#x} writes the hypervisor's memory")
            }
        }
    }

    fn memory(&self) -> Option<&Memory> {
        Some(&self.region.memory)
    }
}
