//! The resource files that the kernel offers of every PCI function: memory and doorbell, but no interrupt.
//!
//! `resource2`, never `resource2_wc`: stores to a write-combining mapping may leave out of order, and then a message's stamp
//! could arrive before its bytes.

use super::registers::{self, Registers};
use super::{Backend, Kind, RingError};
use crate::sysfs::Device;
use crate::{Mapping, OpenError, Sysfs, Vector};
use ivshmem::notify::Doorbell;

/// A function's BAR2 and, if it has a doorbell, BAR0.
#[derive(Debug)]
pub(super) struct Resources {
    memory: Mapping,
    registers: Registers,
    kind: Kind,
    id: u16,
}

impl Resources {
    pub(super) fn open(sysfs: &Sysfs, device: &Device) -> Result<Self, OpenError> {
        sysfs.enable(device)?;
        let kind = device.kind().ok_or(OpenError::NotRoot { address: device.address })?;
        let registers = Registers::new(sysfs.map_bar(device, 0, registers::LENGTH)?);
        let memory = sysfs.map_bar(device, 2, device.size())?;
        let id = registers.id()?;
        Ok(Self { memory, registers, kind, id })
    }
}

impl Doorbell for Resources {
    type Error = RingError;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        match self.kind {
            Kind::Plain => Err(RingError::NoDoorbell),
            Kind::Doorbell => self.registers.ring(peer, vector),
        }
    }
}

impl Backend for Resources {
    fn way(&self) -> &'static str {
        "sysfs"
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

    fn vector(&self, _number: u16) -> Option<&Vector> {
        None
    }
}
