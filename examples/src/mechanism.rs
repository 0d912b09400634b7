//! How configuration space is reached: by what the command line says.

use core::fmt;
use core::str::FromStr;
use ivshmem::mmio::Mapper;
use ivshmem::pci::{self, Access, AutoError, Ecam, EcamError, Mcfg, McfgError, PortIo};

/// What `config=` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Memory-mapped where the firmware's tables have it, else the ports.
    Auto,
    /// Memory-mapped or not at all.
    Ecam,
    /// The ports 0xCF8 and 0xCFC or not at all.
    PortIo,
}

impl Mechanism {
    /// What `config=` takes.
    pub const EXPECTED: &'static str = "ecam, port-io or auto";
}

/// Not the name of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMechanism;

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(text: &str) -> Result<Self, UnknownMechanism> {
        match text {
            "auto" => Ok(Self::Auto),
            "ecam" => Ok(Self::Ecam),
            "port-io" => Ok(Self::PortIo),
            _ => Err(UnknownMechanism),
        }
    }
}

/// Why configuration space cannot be reached the way that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessError {
    /// Neither way works.
    Auto(AutoError),
    /// The firmware's tables do not lead to ECAM.
    Mcfg(McfgError),
    /// They do, but it cannot be used.
    Ecam(EcamError),
    /// The machine has no configuration ports.
    NoPorts,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto(error) => error.fmt(f),
            Self::Mcfg(error) => error.fmt(f),
            Self::Ecam(error) => error.fmt(f),
            Self::NoPorts => f.write_str("the machine has no configuration ports"),
        }
    }
}

impl core::error::Error for AccessError {}

impl Mechanism {
    /// Opens configuration space.
    ///
    /// # Safety
    /// Ring 0; `rsdp` is from the start info; no other value of this function's is in use.
    pub unsafe fn open(self, rsdp: Option<u64>, mapper: &mut impl Mapper) -> Result<Access, AccessError> {
        match self {
            // SAFETY: the firmware's tables are as it left them: the image's memory is elsewhere. The caller
            // promises ring 0 and that nothing else uses the ports.
            Self::Auto => unsafe { pci::auto(rsdp, mapper) }.map_err(AccessError::Auto),
            Self::Ecam => {
                // SAFETY: as above.
                let mcfg = unsafe { Mcfg::find(rsdp, mapper) }.map_err(AccessError::Mcfg)?;
                // SAFETY: the firmware says that configuration space is there.
                let ecam = unsafe { Ecam::map(mcfg.allocations(), mapper) }.map_err(AccessError::Ecam)?;
                Ok(Access::Ecam(ecam))
            }
            Self::PortIo => {
                // SAFETY: ring 0, and nothing else uses the ports; whether they are there is asked next.
                let ports = unsafe { PortIo::new() };
                if ports.is_present() { Ok(Access::PortIo(ports)) } else { Err(AccessError::NoPorts) }
            }
        }
    }
}
