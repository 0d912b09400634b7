//! StratoVirt's device: `devices/src/misc/ivshmem.rs`. Memory, and vectors that only StratoVirt itself can ring: IVPosition reads 0 and
//! the Doorbell does nothing, with an MSI-X capability or without.

use super::config::Function;
use super::vm::{Memory, Standard};
use std::sync::Arc;

/// The device, on this memory, with 0 to 128 vectors.
///
/// That the firmware has given addresses, that the vector table lies as QEMU's does and that what is not written of Subsystem is 0 are assumptions.
pub fn device(memory: &Arc<Memory>, vectors: u16) -> Arc<Standard> {
    let length = memory.length() as u64;
    let function = match vectors {
        0 => Function::ivshmem_plain(length),
        _ => Function::ivshmem_doorbell(length, vectors).assigned(1, 0xFEB0_1000),
    };
    let function = function.subsystem(0, 0).assigned(0, 0xFEB0_0000).assigned(2, 0x40_0000_0000);
    Standard::with_memory(function, memory.clone())
}
