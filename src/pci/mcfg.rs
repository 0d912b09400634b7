//! The ACPI tables that lead to ECAM: RSDP, then RSDT or XSDT, then MCFG (ACPI 6.5, sections 5.2.5 to 5.2.8; PCI Firmware
//! Specification 3.0, section 4.1.2).

use super::ecam::{Allocation, AllocationError, MAX_ALLOCATIONS};
use crate::log::log;
use crate::mmio::{MapError, Mapper};
use core::fmt;
use heapless::Vec;
use table::Table;

mod memory;
mod rsdp;
mod table;

/// Where MCFG's entries begin: behind the standard header and 8 reserved bytes.
const FIRST_ENTRY: usize = 44;
const ENTRY: usize = 16;

/// What the firmware says about memory-mapped configuration space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mcfg {
    allocations: Vec<Allocation, MAX_ALLOCATIONS>,
}

/// Why there is no usable MCFG table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum McfgError {
    /// No RSDP was given and the BIOS area has none.
    NoRsdp,
    /// Something else is where a table should be.
    Signature {
        /// Physical address.
        physical: u64,
        /// What is there, the RSDP's first four bytes of eight.
        found: [u8; 4],
    },
    /// The bytes of a table do not add up to 0.
    Checksum {
        /// Physical address.
        physical: u64,
        /// What they add up to, modulo 256.
        sum: u8,
    },
    /// A table shorter than what every such table has, or longer than 4 KiB.
    Length {
        /// Physical address.
        physical: u64,
        /// Bytes in it, as it says.
        length: u32,
    },
    /// The RSDP has neither an XSDT nor an RSDT.
    NoRoot {
        /// Physical address of the RSDP.
        rsdp: u64,
    },
    /// The root table names no MCFG: the machine has no ECAM, or does not say so.
    NoMcfg,
    /// MCFG has no entry.
    Empty {
        /// Physical address.
        physical: u64,
    },
    /// MCFG has more than [`MAX_ALLOCATIONS`] entries.
    TooMany {
        /// How many.
        count: usize,
    },
    /// An entry cannot be right.
    Allocation(AllocationError),
    /// A table could not be mapped.
    Map(MapError),
}

impl fmt::Display for McfgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRsdp => f.write_str("there is no ACPI RSDP in the BIOS area"),
            Self::Signature { physical, found } => {
                write!(f, "no ACPI table is at {physical:#x} but \"{}\"", found.escape_ascii())
            }
            Self::Checksum { physical, sum } => {
                write!(f, "the bytes of the ACPI table at {physical:#x} add up to {sum:#04x} instead of 0")
            }
            Self::Length { physical, length } => {
                write!(f, "the ACPI table at {physical:#x} cannot have {length} bytes")
            }
            Self::NoRoot { rsdp } => write!(f, "the ACPI RSDP at {rsdp:#x} names neither XSDT nor RSDT"),
            Self::NoMcfg => f.write_str("ACPI has no MCFG table"),
            Self::Empty { physical } => write!(f, "the ACPI MCFG table at {physical:#x} has no entry"),
            Self::TooMany { count } => write!(f, "{count} ACPI MCFG entries are more than {MAX_ALLOCATIONS}"),
            Self::Allocation(error) => write!(f, "a wrong ACPI MCFG entry: {error}"),
            Self::Map(error) => write!(f, "an ACPI table could not be mapped: {error}"),
        }
    }
}

impl core::error::Error for McfgError {}

impl Mcfg {
    /// Reads the MCFG table.
    ///
    /// `rsdp` is the RSDP's physical address, which PVH's start info has as `rsdp_paddr`. With `None` or 0 the
    /// BIOS area is searched: the first KiB of the EBDA, then 0xE0000 to 0xFFFFF. Signatures, lengths and checksums are
    /// checked; a table has at most 4 KiB, so the work is bounded whatever the tables contain. Tables are mapped write-back, each by its
    /// header first, and stay mapped as far as this is concerned.
    ///
    /// # Safety
    /// `rsdp`, or the BIOS area, and what it leads to is the firmware's memory, and nothing in it changes meanwhile.
    pub unsafe fn find<M: Mapper + ?Sized>(rsdp: Option<u64>, mapper: &mut M) -> Result<Self, McfgError> {
        // SAFETY: the caller promised that the RSDP or the BIOS area is the firmware's memory.
        let root = unsafe { rsdp::root(rsdp, mapper) }?;
        // SAFETY: the caller promised that what the RSDP leads to is the firmware's memory.
        let mcfg = unsafe { root.find(*b"MCFG", mapper) }?;
        let allocations = parse(&mcfg)?;
        log!(info, "ACPI: MCFG at {=u64:#x} has {=usize} entries", mcfg.physical(), allocations.len());
        Ok(Self { allocations })
    }

    /// Its entries, as they come.
    pub fn allocations(&self) -> &[Allocation] {
        &self.allocations
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Mcfg {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Mcfg {}", self.allocations.as_slice());
    }
}

fn parse(mcfg: &Table) -> Result<Vec<Allocation, MAX_ALLOCATIONS>, McfgError> {
    // What is left over after the last whole entry is no entry.
    let count = mcfg.length().saturating_sub(FIRST_ENTRY).checked_div(ENTRY).unwrap_or(0);
    if count == 0 {
        return Err(McfgError::Empty { physical: mcfg.physical() });
    }
    if count > MAX_ALLOCATIONS {
        return Err(McfgError::TooMany { count });
    }
    let entries = (FIRST_ENTRY..).step_by(ENTRY).take(count);
    entries
        .map(|at| {
            let base = u64::from_le_bytes(mcfg.bytes(at));
            let segment = u16::from_le_bytes(mcfg.bytes(at.saturating_add(8)));
            let [first, last] = mcfg.bytes(at.saturating_add(10));
            Allocation::new(segment, first..=last, base).map_err(McfgError::Allocation)
        })
        .collect()
}

#[cfg(test)]
mod tests;
