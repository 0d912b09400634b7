//! Cloud Hypervisor's device: `devices/src/ivshmem.rs`. Memory, and registers of which every 32-bit read is 0; a narrower read ends the VMM,
//! as it ends the program that uses this model (see [`vm`](super::vm)).

use super::config::Function;
use super::vm::{Memory, Standard};
use std::sync::Arc;

/// The device, on this memory: BARs have addresses from the start, there is no BAR1 and no capability.
///
/// What Command is at the start, and the addresses, are assumptions.
pub fn device(memory: &Arc<Memory>) -> Arc<Standard> {
    let function = Function::ivshmem_plain(memory.length() as u64)
        .subsystem(0, 0)
        .command(2)
        .assigned(0, 0xE800_0000)
        .assigned(2, 0x40_0000_0000);
    Standard::with_memory(function, memory.clone())
}
