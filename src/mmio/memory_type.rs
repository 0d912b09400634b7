//! Which memory type an address gets: page attribute table and memory type range registers (Intel SDM vol. 3, chapter
//! "Memory Cache Control").
//!
//! A mapping that asks for write-back gets it only where the MTRRs let it: firmware leaves the PCI hole uncached, and where the
//! hypervisor honours that, every access to BAR2 is a bus cycle. These functions say what the CPU was told; what it does under a
//! hypervisor that ignores the guest's types (KVM on Intel) or overrides them (ACRN) only [a measurement](crate::device::Device::probe_memory) tells.

use core::fmt;

/// How the CPU may treat memory; the values are those of the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MemoryType {
    /// UC: each access is a bus cycle, in order.
    Uncacheable = 0,
    /// WC: as UC, but stores may be collected and leave out of order, which a channel does not stand.
    WriteCombining = 1,
    /// WT: loads are cached.
    WriteThrough = 4,
    /// WP: loads are cached.
    WriteProtected = 5,
    /// WB: what BAR2 is mapped as.
    WriteBack = 6,
    /// UC-: UC unless the MTRR says WC. In the PAT only.
    UncachedMinus = 7,
}

use MemoryType::{Uncacheable, UncachedMinus, WriteBack, WriteCombining, WriteProtected, WriteThrough};

impl MemoryType {
    /// The type of a page: the MTRRs' for its address, and the PAT entry's that its table entry chooses (SDM table "Effective
    /// Page-Level Memory Types for Pentium III and More Recent Processor Families").
    pub const fn effective(mtrr: Self, pat: Self) -> Self {
        match (mtrr, pat) {
            (_, WriteCombining) => WriteCombining,
            (_, Uncacheable) | (Uncacheable, _) => Uncacheable,
            (WriteCombining, UncachedMinus | WriteBack) => WriteCombining,
            (WriteCombining, _) => Uncacheable,
            (WriteProtected, UncachedMinus) => WriteCombining,
            (_, UncachedMinus) => Uncacheable,
            (WriteBack | UncachedMinus, pat) => pat,
            (mtrr, WriteBack) => mtrr,
            (_, pat) => pat,
        }
    }

    const fn decode(value: u8) -> Option<Self> {
        match value {
            0 => Some(Uncacheable),
            1 => Some(WriteCombining),
            4 => Some(WriteThrough),
            5 => Some(WriteProtected),
            6 => Some(WriteBack),
            7 => Some(UncachedMinus),
            _ => None,
        }
    }
}

impl fmt::Display for MemoryType {
    /// As the SDM abbreviates them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Uncacheable => "UC",
            WriteCombining => "WC",
            WriteThrough => "WT",
            WriteProtected => "WP",
            WriteBack => "WB",
            UncachedMinus => "UC-",
        })
    }
}

/// Why an address has no one memory type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MemoryTypeError {
    /// A register holds a value that is no type.
    Reserved(u8),
    /// There is no such PAT entry.
    Entry(u8),
    /// Two range registers disagree in a way for which the SDM defines no result.
    Conflict(MemoryType, MemoryType),
    /// One part of the range has another type than the rest, as far as a single register tells: several that make up the whole
    /// are not added up.
    Mixed {
        /// What a range register says of a part of it.
        part: MemoryType,
        /// The rest.
        rest: MemoryType,
    },
    /// No power of two bytes on a multiple of that, as a BAR has; or it begins below 1 MiB, where other registers count.
    Range {
        /// The first address.
        physical: u64,
        /// Bytes.
        length: u64,
    },
}

impl fmt::Display for MemoryTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved(value) => write!(f, "{value:#x} is no memory type"),
            Self::Entry(entry) => write!(f, "the page attribute table has no entry {entry}"),
            Self::Conflict(one, other) => write!(f, "range registers say {one} and {other} of the same memory"),
            Self::Mixed { part, rest } => write!(f, "a part of the memory is {part}, the rest {rest}"),
            Self::Range { physical, length } => {
                write!(f, "{length} bytes at {physical:#x} are no BAR above 1 MiB")
            }
        }
    }
}

impl core::error::Error for MemoryTypeError {}

/// IA32_PAT, MSR 277h: eight memory types among which a page table entry chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pat(pub u64);

impl Pat {
    /// Its content after reset.
    pub const RESET: Self = Self(0x0007_0406_0007_0406);

    /// The type of an entry, 0 to 7: bit 2 of the number is a page's PAT bit, bit 1 PCD, bit 0 PWT. What the mappers of this
    /// crate map write-back uses entry 0.
    pub const fn entry(self, entry: u8) -> Result<MemoryType, MemoryTypeError> {
        if entry > 7 {
            return Err(MemoryTypeError::Entry(entry));
        }
        let value = (self.0 >> (entry << 3)) as u8;
        match MemoryType::decode(value) {
            Some(memory_type) => Ok(memory_type),
            None => Err(MemoryTypeError::Reserved(value)),
        }
    }
}

/// Variable range registers that are kept; IA32_MTRRCAP counts up to 255, CPUs have about 10.
pub const MAX_RANGES: usize = 32;

/// The memory type range registers, as far as they matter to a BAR: those for the first MiB are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mtrrs {
    /// IA32_MTRR_DEF_TYPE, MSR 2FFh.
    pub default_type: u64,
    /// IA32_MTRR_PHYSBASEn and IA32_MTRR_PHYSMASKn, MSR 200h + 2n and 201h + 2n.
    pub ranges: heapless::Vec<(u64, u64), MAX_RANGES>,
}

/// Of IA32_MTRR_DEF_TYPE: MTRRs are enabled. Of IA32_MTRR_PHYSMASKn: the range is valid.
const ENABLED: u64 = 1 << 11;
/// The address bits of a base and a mask, up to the 52 that there can be.
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
/// The fixed range registers reach up to here.
const FIXED_END: u64 = 1 << 20;

impl Mtrrs {
    /// The type of `length` bytes, a power of two, at `physical`, a multiple of that, from 1 MiB on.
    ///
    /// Where ranges overlap, UC wins, and WT over WB (SDM, "MTRR Precedences"); anything else is undefined.
    pub fn of(&self, physical: u64, length: u64) -> Result<MemoryType, MemoryTypeError> {
        if !length.is_power_of_two() || physical & length.wrapping_sub(1) != 0 || physical < FIXED_END {
            return Err(MemoryTypeError::Range { physical, length });
        }
        if self.default_type & ENABLED == 0 {
            return Ok(Uncacheable);
        }
        // Whatever else the ranges say, and whether or not they agree about it.
        if self.matching(physical, length).any(|found| found == (Ok(Uncacheable), true)) {
            return Ok(Uncacheable);
        }
        let mut whole = None;
        for (memory_type, _) in self.matching(physical, length).filter(|(_, whole)| *whole) {
            whole = Some(combine(whole, memory_type?)?);
        }
        let rest = match whole {
            Some(memory_type) => memory_type,
            None => range_type(self.default_type)?,
        };
        for (memory_type, _) in self.matching(physical, length).filter(|(_, whole)| !*whole) {
            // Over a range that covers everything, what wins counts; over the default, the range does.
            let part = combine(whole, memory_type?)?;
            if part != rest {
                return Err(MemoryTypeError::Mixed { part, rest });
            }
        }
        Ok(rest)
    }

    /// The ranges that match at least one address, and whether they match all.
    fn matching(
        &self,
        physical: u64,
        length: u64,
    ) -> impl Iterator<Item = (Result<MemoryType, MemoryTypeError>, bool)> {
        let inside = length.wrapping_sub(1);
        let valid = self.ranges.iter().filter(|(_, mask)| mask & ENABLED != 0);
        let matches = valid.filter(move |(base, mask)| (physical ^ base) & mask & ADDRESS & !inside == 0);
        matches.map(move |(base, mask)| (range_type(*base), mask & ADDRESS & inside == 0))
    }
}

fn range_type(register: u64) -> Result<MemoryType, MemoryTypeError> {
    let value = register as u8;
    MemoryType::decode(value).filter(|found| *found != UncachedMinus).ok_or(MemoryTypeError::Reserved(value))
}

fn combine(so_far: Option<MemoryType>, next: MemoryType) -> Result<MemoryType, MemoryTypeError> {
    match (so_far, next) {
        (None, next) => Ok(next),
        (Some(first), next) if first == next => Ok(next),
        (Some(Uncacheable), _) | (_, Uncacheable) => Ok(Uncacheable),
        (Some(WriteThrough), WriteBack) | (Some(WriteBack), WriteThrough) => Ok(WriteThrough),
        (Some(first), next) => Err(MemoryTypeError::Conflict(first, next)),
    }
}

#[cfg(target_arch = "x86_64")]
mod msr {
    use super::{Mtrrs, Pat};
    use core::arch::x86_64::__cpuid;
    use x86_64::registers::model_specific::Msr;

    const MTRRCAP: u32 = 0xFE;
    const PHYSBASE: u32 = 0x200;
    const PAT: u32 = 0x277;
    const DEF_TYPE: u32 = 0x2FF;

    impl Pat {
        /// This CPU's; `None` if it has none (CPUID leaf 1, EDX bit 16).
        ///
        /// # Safety
        /// In ring 0.
        pub unsafe fn read() -> Option<Self> {
            // SAFETY: the CPU has the register; the caller promises ring 0.
            (__cpuid(1).edx & 1 << 16 != 0).then(|| Self(unsafe { Msr::new(PAT).read() }))
        }
    }

    impl Mtrrs {
        /// This CPU's; `None` if it has none (CPUID leaf 1, EDX bit 12). At most 66 registers, each a VM exit under some hypervisors.
        ///
        /// # Safety
        /// In ring 0.
        pub unsafe fn read() -> Option<Self> {
            if __cpuid(1).edx & 1 << 12 == 0 {
                return None;
            }
            // SAFETY: the CPU has the register; the caller promises ring 0.
            let count = unsafe { Msr::new(MTRRCAP).read() } & 0xFF;
            let ranges = (0..count as u32).take(super::MAX_RANGES).map(|n| {
                let register = PHYSBASE.saturating_add(n.saturating_mul(2));
                // SAFETY: the capability register says that the CPU has this pair; the caller promises ring 0.
                let base = unsafe { Msr::new(register).read() };
                // SAFETY: as for its other half.
                let mask = unsafe { Msr::new(register.saturating_add(1)).read() };
                (base, mask)
            });
            let ranges = ranges.collect();
            // SAFETY: as for the capability register.
            Some(Self { default_type: unsafe { Msr::new(DEF_TYPE).read() }, ranges })
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Mtrrs {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Mtrrs {{ default: {=u64:#x}, ranges: {=[?]} }}", self.default_type, self.ranges.as_slice());
    }
}

#[cfg(test)]
mod tests;
