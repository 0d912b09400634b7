//! Where memory-mapped configuration space is.

use crate::pci::Buses;
use core::fmt;
use core::ops::RangeInclusive;

/// Bytes of configuration space for one bus: 32 devices of 8 functions of 4 KiB.
pub const BUS_SIZE: u64 = 1 << 20;

/// The first address that no x86 CPU has.
const PHYSICAL_END: u64 = 1 << 52;

/// Memory-mapped configuration space of consecutive buses: one entry of the ACPI MCFG table (PCI Firmware Specification 3.0,
/// table 4-3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Allocation {
    base: u64,
    buses: Buses,
}

/// Numbers that cannot describe configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AllocationError {
    /// The base is 0, not a multiple of 1 MiB, or puts the last bus behind the 52-bit physical address space.
    Base {
        /// The base.
        base: u64,
    },
    /// The first bus comes after the last.
    Buses {
        /// The first.
        first: u8,
        /// The last.
        last: u8,
    },
}

impl fmt::Display for AllocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base { base } => write!(f, "ECAM cannot be based at {base:#x}"),
            Self::Buses { first, last } => write!(f, "ECAM cannot reach from bus {first} to bus {last}"),
        }
    }
}

impl core::error::Error for AllocationError {}

impl Allocation {
    /// Configuration space of `buses` of `segment`.
    ///
    /// `base` is the physical address that bus 0 has or would have, whatever the first bus is: this is how MCFG counts.
    pub const fn new(segment: u16, buses: RangeInclusive<u8>, base: u64) -> Result<Self, AllocationError> {
        let (first, last) = (*buses.start(), *buses.end());
        if first > last {
            return Err(AllocationError::Buses { first, last });
        }
        // Both terms are checked or small enough that the sum fits.
        let end = base.saturating_add((last as u64).saturating_add(1).saturating_mul(BUS_SIZE));
        if base == 0 || !base.is_multiple_of(BUS_SIZE) || end > PHYSICAL_END {
            return Err(AllocationError::Base { base });
        }
        Ok(Self { base, buses: Buses { segment, first, last } })
    }

    /// The physical address that bus 0 has or would have.
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// The buses it is for.
    pub const fn buses(&self) -> Buses {
        self.buses
    }

    /// Physical address of the first bus, and bytes up to the end of the last.
    pub(super) const fn memory(&self) -> (u64, u64) {
        let Buses { first, last, .. } = self.buses;
        // `new` checked that first <= last, and that base + 256 MiB at most does not overflow.
        let physical = self.base.wrapping_add(BUS_SIZE.wrapping_mul(first as u64));
        let count = (last as u64).wrapping_sub(first as u64).wrapping_add(1);
        (physical, BUS_SIZE.wrapping_mul(count))
    }

    /// Whether a bus belongs to both.
    pub(super) const fn shares_bus(&self, other: &Self) -> bool {
        self.buses.segment == other.buses.segment
            && self.buses.first <= other.buses.last
            && other.buses.first <= self.buses.last
    }
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, buses: Buses { segment, first, last } } = self;
        write!(f, "{segment:04x}:{first:02x}-{last:02x} at {base:#x}")
    }
}

impl fmt::Debug for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Allocation {
    fn format(&self, f: defmt::Formatter<'_>) {
        let Self { base, buses: Buses { segment, first, last } } = *self;
        defmt::write!(f, "{=u16:04x}:{=u8:02x}-{=u8:02x} at {=u64:#x}", segment, first, last, base);
    }
}
