//! ACRN's two ivshmem devices: the hypervisor's own, with doorbells, and the device model's, without.
//!
//! Written after what `hypervisor/dm/vpci/{ivshmem,vmsix,vdev,vpci}.c` and `devicemodel/hw/pci/ivshmem.c` do; nothing here was compared with
//! ACRN running. What those files do not settle is marked as an assumption where it is modelled.
//!
//! ```
//! use ivshmem::device::{Device, Options, Selector};
//! use ivshmem::fake::{acrn::{HypervisorLand, Region, V3_3}, vm::Vm};
//!
//! let region = Region::new(0x1000, 2 << 20).unwrap();
//! let vm = Vm::new().with("00:08.0".parse().unwrap(), HypervisorLand::new(V3_3, 1, &region, HypervisorLand::BARS));
//! // SAFETY: configuration space and mapper are one model's.
//! let opened = unsafe { Device::open(&vm, &mut vm.mapper(), Selector::Subsystem(0x1000), Options::default()) };
//! assert_eq!(opened.unwrap().id(), 1);
//! ```

mod bars;
mod device_model;
mod doorbells;
mod hypervisor;

pub use device_model::DeviceModelLand;
pub use hypervisor::HypervisorLand;

use super::vm::{Memory, lock};
use crate::memory::{Memory as _, SharedMemory};
use doorbells::Doorbells;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

/// What ACRN's versions differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// The last version that is so, or the first.
    pub name: &'static str,
    /// Bytes of the hypervisor's BAR0.
    pub registers: u32,
    /// Whether mapping BAR0, which ends its sizing, zeroes all registers, IVPosition among them.
    pub forgets_registers: bool,
    /// Whether register accesses beyond the fourth are ignored, instead of reaching memory of the hypervisor.
    pub bounds_registers: bool,
    /// Whether Subsystem is 8086:region id, instead of 0:0. (Of the device model's before v3.3: an assumption.)
    pub shows_region: bool,
    /// Whether function 0 always says multi-function.
    pub multi_function: bool,
}

/// Up to v2.3: a page of registers.
pub const V2_3: Version = Version { name: "v2.3", registers: 4096, ..V3_2 };
/// From v2.4 to v3.2.
pub const V3_2: Version = Version {
    name: "v3.2",
    registers: 256,
    forgets_registers: true,
    bounds_registers: false,
    shows_region: false,
    multi_function: false,
};
/// From v3.3.
pub const V3_3: Version = Version {
    name: "v3.3",
    registers: 256,
    forgets_registers: false,
    bounds_registers: true,
    shows_region: true,
    multi_function: true,
};
/// All of them.
pub const VERSIONS: [Version; 3] = [V2_3, V3_2, V3_3];

/// One shared region: its memory, and who can be rung about it. What VMs have of other regions they cannot reach through it.
///
/// The memory is what the host's happened to be: ACRN never zeroes it.
#[derive(Debug)]
pub struct Region {
    id: u16,
    memory: Memory,
    peers: Mutex<BTreeMap<u16, Arc<Doorbells>>>,
}

impl Region {
    /// VMs that the peer table has room for (`MAX_VM_NUM`).
    pub const PEERS: u16 = 16;

    /// Region `id` with `length` bytes: a power of two from 2 MiB to 512 MiB.
    pub fn new(id: u16, length: usize) -> io::Result<Arc<Self>> {
        assert!(length.is_power_of_two() && (2 << 20..=512 << 20).contains(&length), "no region has {length} bytes");
        let memory = Memory::new(length)?;
        // What lies at the start is what a mailbox could stumble over.
        let view = memory.view();
        (0..1 << 16).step_by(8).for_each(|at| view.store(at, (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        Ok(Arc::new(Self { id, memory, peers: Mutex::default() }))
    }

    /// What the host sees of the memory.
    pub fn view(&self) -> SharedMemory {
        self.memory.view()
    }

    /// A VM writes its Doorbell: nobody learns what becomes of it.
    fn ring(&self, peer: u16, vector: u16) {
        let target = lock(&self.peers).get(&peer).cloned();
        if let Some(target) = target {
            target.notify(vector);
        }
    }
}

#[cfg(test)]
mod tests;
