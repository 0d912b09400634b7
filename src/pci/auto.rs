//! Choosing how configuration space is reached.

#[cfg(target_arch = "x86_64")]
use super::PortIo;
use super::{Address, Buses, ConfigAccess, Ecam, EcamError, Mcfg, McfgError};
use crate::log::log;
use crate::mmio::{MapError, Mapper};
use core::fmt;

/// One of the mechanisms, chosen at run time.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "there is one of these in an image, and no heap for a box")]
pub enum Access {
    /// Memory-mapped.
    Ecam(Ecam),
    /// Through the ports 0xCF8 and 0xCFC.
    #[cfg(target_arch = "x86_64")]
    PortIo(PortIo),
}

impl ConfigAccess for Access {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        match self {
            Self::Ecam(ecam) => ecam.read32(address, offset),
            #[cfg(target_arch = "x86_64")]
            Self::PortIo(ports) => ports.read32(address, offset),
        }
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        match self {
            Self::Ecam(ecam) => ecam.write32(address, offset, value),
            #[cfg(target_arch = "x86_64")]
            Self::PortIo(ports) => ports.write32(address, offset, value),
        }
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        match self {
            Self::Ecam(ecam) => ecam.write16(address, offset, value),
            #[cfg(target_arch = "x86_64")]
            Self::PortIo(ports) => ports.write16(address, offset, value),
        }
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        match self {
            Self::Ecam(ecam) => ecam.buses(index),
            #[cfg(target_arch = "x86_64")]
            Self::PortIo(ports) => ports.buses(index),
        }
    }
}

/// Why configuration space cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AutoError {
    /// The firmware says where ECAM is, but the mapper does not reach it. Mend the mapper, or use [`PortIo`](super::PortIo).
    Map(MapError),
    /// The tables lead to no ECAM, and the machine has no ports either.
    Mcfg(McfgError),
    /// The tables lead to ECAM that cannot be, and the machine has no ports either.
    Ecam(EcamError),
}

impl fmt::Display for AutoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(error) => write!(f, "ECAM could not be mapped: {error}"),
            Self::Mcfg(error) => write!(f, "no ECAM ({error}) and no configuration ports"),
            Self::Ecam(error) => write!(f, "no usable ECAM ({error}) and no configuration ports"),
        }
    }
}

impl core::error::Error for AutoError {}

/// ECAM where the ACPI tables have it, else the ports where they exist, else why not.
///
/// `rsdp` as for [`Mcfg::find`]. If the tables are wrong, the ports are taken; if the tables are right but the mapper
/// does not reach what they name, that is an error, since the ports might reach fewer functions.
/// To insist on a mechanism use [`Mcfg::find`] with [`Ecam::map`], or [`PortIo`](super::PortIo). QEMU 7.2's microvm has neither
/// ports nor MCFG, but ECAM of buses 0 to 255 at 0xE000_0000: [`Ecam::map`] takes that from the caller.
///
/// # Safety
/// - What [`Mcfg::find`] and [`PortIo::new`](super::PortIo::new) ask for.
/// - ECAM is where the firmware says.
pub unsafe fn auto<M: Mapper + ?Sized>(rsdp: Option<u64>, mapper: &mut M) -> Result<Access, AutoError> {
    // SAFETY: the caller promised what `PortIo::new` asks for.
    let ports = || unsafe { ports() };
    // SAFETY: the caller promised what `choose` asks for.
    unsafe { choose(rsdp, mapper, ports) }
}

/// [`auto`] with any way of looking for the ports.
///
/// # Safety
/// As for [`Mcfg::find`], and ECAM is where the firmware says.
unsafe fn choose<M: Mapper + ?Sized>(
    rsdp: Option<u64>,
    mapper: &mut M,
    ports: impl FnOnce() -> Option<Access>,
) -> Result<Access, AutoError> {
    // SAFETY: the caller promised what `find` asks for.
    let mcfg = unsafe { Mcfg::find(rsdp, mapper) };
    let missing = match mcfg {
        // SAFETY: the caller promised that ECAM is where the firmware says.
        Ok(mcfg) => match unsafe { Ecam::map(mcfg.allocations(), mapper) } {
            Ok(ecam) => return Ok(Access::Ecam(ecam)),
            Err(EcamError::Map(error)) => return Err(AutoError::Map(error)),
            Err(error) => AutoError::Ecam(error),
        },
        Err(error) => AutoError::Mcfg(error),
    };
    log!(warn, "PCI configuration space: no ECAM: {}", missing);
    ports().ok_or(missing)
}

/// The ports, where the machine has them.
///
/// # Safety
/// As for `PortIo::new`.
#[cfg(target_arch = "x86_64")]
unsafe fn ports() -> Option<Access> {
    // SAFETY: the caller promised it.
    let ports = unsafe { PortIo::new() };
    let present = ports.is_present();
    log!(info, "PCI configuration space: ports 0xcf8 and 0xcfc present: {=bool}", present);
    present.then_some(Access::PortIo(ports))
}

/// There are no ports on this architecture.
///
/// # Safety
/// None.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn ports() -> Option<Access> {
    None
}

#[cfg(test)]
mod tests;
