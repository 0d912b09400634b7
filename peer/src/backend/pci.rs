//! A PCI function of this machine, whichever way it was opened: shared memory and doorbell through its BARs.

use super::registers::Registers;
use super::{Backend, Kind, RingError, vfio};
use crate::{Mapping, OpenError, Vector};
use ivshmem::notify::Doorbell;

/// An opened function.
#[derive(Debug)]
pub(super) struct Pci {
    memory: Mapping,
    registers: Registers,
    kind: Kind,
    id: u16,
    /// What VFIO holds, with the vectors; `None` by sysfs, which has no interrupts. Dropped after the mappings.
    held: Option<vfio::Held>,
}

impl Pci {
    /// Reads the id of a function whose BARs were mapped.
    pub(super) fn new(
        memory: Mapping,
        registers: Registers,
        kind: Kind,
        held: Option<vfio::Held>,
    ) -> Result<Self, OpenError> {
        let id = registers.id()?;
        Ok(Self { memory, registers, kind, id, held })
    }
}

impl Doorbell for Pci {
    type Error = RingError;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        match self.kind {
            Kind::Plain => Err(RingError::NoDoorbell),
            Kind::Doorbell => self.registers.ring(peer, vector),
        }
    }
}

impl Backend for Pci {
    fn way(&self) -> &'static str {
        if self.held.is_some() { "vfio" } else { "sysfs" }
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn id(&self) -> Option<u16> {
        Some(self.id)
    }

    fn memory(&self) -> &Mapping {
        &self.memory
    }

    fn vector(&self, number: u16) -> Option<&Vector> {
        self.held.as_ref()?.vector(number)
    }
}
