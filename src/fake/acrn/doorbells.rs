//! The vectors of one hypervisor-land device: what becomes of a doorbell.

use crate::fake::vm::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::vec::Vec;

/// Vectors of every device (`MAX_IVSHMEM_MSIX_TBL_ENTRY_NUM`).
pub(super) const VECTORS: u16 = 8;

/// Rung by other VMs at any time, so guarded apart from the rest of the device.
#[derive(Debug)]
pub(super) struct Doorbells(Mutex<State>);

#[derive(Debug)]
struct State {
    table: [[u32; 4]; VECTORS as usize],
    enabled: bool,
    function_mask: bool,
    /// The VM's CPUs are on the way from xAPIC to a passed-through x2APIC.
    transition: bool,
    messages: Vec<(u32, u32)>,
    counts: BTreeMap<u32, u32>,
    dropped: u32,
}

impl Doorbells {
    /// Disabled, and every vector masked.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            table: [[0, 0, 0, 1]; VECTORS as usize],
            enabled: false,
            function_mask: false,
            transition: false,
            messages: Vec::new(),
            counts: BTreeMap::new(),
            dropped: 0,
        }))
    }

    /// The VM starts anew; what was counted stays.
    pub(super) fn reset(&self) {
        let mut state = lock(&self.0);
        (state.enabled, state.function_mask, state.transition) = (false, false, false);
        state.table = [[0, 0, 0, 1]; VECTORS as usize];
    }

    /// Enable and Function Mask were written.
    pub(super) fn control(&self, enabled: bool, function_mask: bool) {
        let mut state = lock(&self.0);
        (state.enabled, state.function_mask) = (enabled, function_mask);
    }

    pub(super) fn set_transition(&self, transition: bool) {
        lock(&self.0).transition = transition;
    }

    /// The pending bits, and all else that is not the table, read 0.
    pub(super) fn read(&self, offset: usize) -> u32 {
        lock(&self.0).table.get(offset / 16).map_or(0, |entry| entry[offset % 16 / 4])
    }

    /// Unmasking brings nothing back.
    pub(super) fn write(&self, offset: usize, value: u32) {
        if let Some(entry) = lock(&self.0).table.get_mut(offset / 16) {
            entry[offset % 16 / 4] = value;
        }
    }

    /// Somebody rang. All 16 bits of the vector count, and what cannot be delivered now is dropped.
    pub(super) fn notify(&self, vector: u16) {
        let mut state = lock(&self.0);
        let deliverable = state.enabled && !state.function_mask && !state.transition;
        let message = match state.table.get(usize::from(vector)) {
            // `vlapic_inject_msi` takes messages to the local APICs' addresses only.
            Some(&[address, _, data, 0]) if deliverable && address >> 20 == 0xFEE => (address, data),
            _ => {
                state.dropped += 1;
                return;
            }
        };
        state.messages.push(message);
        *state.counts.entry(message.1).or_default() += 1;
    }

    pub(super) fn take_messages(&self) -> Vec<(u32, u32)> {
        core::mem::take(&mut lock(&self.0).messages)
    }

    pub(super) fn count(&self, data: u32) -> u32 {
        lock(&self.0).counts.get(&data).copied().unwrap_or(0)
    }

    pub(super) fn dropped(&self) -> u32 {
        lock(&self.0).dropped
    }
}
