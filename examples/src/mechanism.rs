//! How configuration space is reached: by what the command line says.

use crate::options::{halves, hexadecimal};
use core::fmt;
use core::str::FromStr;
use ivshmem::mmio::Mapper;
use ivshmem::pci::{self, Access, Allocation, AutoError, Ecam, EcamError, Mcfg, McfgError, PortIo};

/// What `config=` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Memory-mapped where the firmware's tables have it, else the ports.
    Auto,
    /// Memory-mapped or not at all.
    Ecam,
    /// Memory-mapped where the command line says, since no table of the firmware does.
    EcamAt(Allocation),
    /// The ports 0xCF8 and 0xCFC or not at all.
    PortIo,
}

impl Mechanism {
    /// What `config=` takes.
    pub const EXPECTED: &'static str = "ecam, ecam:BASE, ecam:BASE:FIRST-LAST (hexadecimal; buses), port-io or auto";
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
            _ => text.strip_prefix("ecam:").and_then(allocation).map(Self::EcamAt).ok_or(UnknownMechanism),
        }
    }
}

/// `BASE` or `BASE:FIRST-LAST`, of segment 0.
fn allocation(text: &str) -> Option<Allocation> {
    let (base, buses) = match halves(text, b':') {
        Some((base, buses)) => {
            let (first, last) = halves(buses, b'-')?;
            (base, u8::try_from(hexadecimal(first)?).ok()?..=u8::try_from(hexadecimal(last)?).ok()?)
        }
        None => (text, 0..=u8::MAX),
    };
    Allocation::new(0, buses, hexadecimal(base)?).ok()
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
            Self::EcamAt(allocation) => {
                // SAFETY: the command line says that configuration space is there; whoever wrote it knows the machine.
                let ecam = unsafe { Ecam::map(&[allocation], mapper) }.map_err(AccessError::Ecam)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecam_is_where_the_command_line_says() {
        for (text, buses, base) in [
            ("ecam:0xe0000000", 0..=0xFF, 0xE000_0000),
            ("ecam:B0000000", 0..=0xFF, 0xB000_0000),
            ("ecam:0xb0000000:0-3f", 0..=0x3F, 0xB000_0000),
            ("ecam:0xb0000000:80-0xff", 0x80..=0xFF, 0xB000_0000),
        ] {
            assert_eq!(text.parse(), Ok(Mechanism::EcamAt(Allocation::new(0, buses, base).unwrap())), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_for_ecam_is_refused() {
        for text in [
            "ecam:",
            "ecam:0",
            "ecam:0xe0000001",
            "ecam:x",
            "ecam:0xe0000000:",
            "ecam:0xe0000000:5-3",
            "ecam:0xe0000000:0-100",
        ] {
            assert_eq!(text.parse::<Mechanism>(), Err(UnknownMechanism), "{text}");
        }
    }
}
