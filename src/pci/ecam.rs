//! Memory-mapped configuration space (PCI Express Base, section 7.2.2: ECAM), for any number of segments.

use super::{Address, Buses, ConfigAccess};
use crate::log::log;
use crate::mmio::{Caching, MapError, Mapper};
use core::fmt;
use core::ptr::NonNull;
use heapless::Vec;
use volatile::VolatilePtr;

mod allocation;
pub use allocation::{Allocation, AllocationError, BUS_SIZE};

/// How many allocations an [`Ecam`] takes.
pub const MAX_ALLOCATIONS: usize = 32;

/// Access through mapped memory: 4 KiB of configuration space for each function of the buses it was given.
///
/// Every access is one aligned volatile cycle, safe from every CPU and from interrupt handlers.
pub struct Ecam {
    /// In ascending order, without overlap.
    windows: Vec<Window, MAX_ALLOCATIONS>,
}

/// An allocation, mapped.
struct Window {
    allocation: Allocation,
    /// Maps the allocation's first bus and the ones after it.
    base: NonNull<u8>,
}

// SAFETY: the windows are device registers that stay mapped for every CPU; each access is one volatile cycle through a raw pointer,
// so nothing in them belongs to a thread.
unsafe impl Send for Ecam {}
// SAFETY: as above; the host bridge orders concurrent cycles, and no access here spans two.
unsafe impl Sync for Ecam {}

/// Why configuration space could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EcamError {
    /// No allocation was given.
    Empty,
    /// More than [`MAX_ALLOCATIONS`] were given.
    TooMany {
        /// How many.
        count: usize,
    },
    /// Two allocations are for the same bus.
    SameBus {
        /// One.
        first: Allocation,
        /// The other.
        second: Allocation,
    },
    /// The mapper refused.
    Map(MapError),
    /// The mapper gave a pointer that is not on a 32-bit boundary.
    Misaligned {
        /// The physical address asked for.
        physical: u64,
    },
}

impl fmt::Display for EcamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no ECAM allocation was given"),
            Self::TooMany { count } => write!(f, "{count} ECAM allocations are more than {MAX_ALLOCATIONS}"),
            Self::SameBus { first, second } => write!(f, "two ECAM allocations share a bus: {first} and {second}"),
            Self::Map(error) => write!(f, "ECAM could not be mapped: {error}"),
            Self::Misaligned { physical } => write!(f, "ECAM at {physical:#x} was mapped across 32-bit boundaries"),
        }
    }
}

impl core::error::Error for EcamError {}

impl Ecam {
    /// Maps configuration space where `allocations` say it is: uncached, 1 MiB for each bus.
    ///
    /// # Safety
    /// At each allocation's physical addresses there is configuration space of its buses, and nothing else.
    pub unsafe fn map<M: Mapper + ?Sized>(allocations: &[Allocation], mapper: &mut M) -> Result<Self, EcamError> {
        if allocations.is_empty() {
            return Err(EcamError::Empty);
        }
        let key = |allocation: &Allocation| {
            let Buses { segment, first, last } = allocation.buses();
            (segment, first, last)
        };
        // By hand: there are few, and the library's sorting takes kilobytes of an image.
        let mut sorted = Vec::<Allocation, MAX_ALLOCATIONS>::new();
        for allocation in allocations {
            let place = sorted.iter().take_while(|before| key(before) <= key(allocation)).count();
            let inserted = sorted.insert(place, *allocation);
            inserted.map_err(|_| EcamError::TooMany { count: allocations.len() })?;
        }
        for (first, second) in sorted.iter().zip(sorted.iter().skip(1)) {
            if first.shares_bus(second) {
                return Err(EcamError::SameBus { first: *first, second: *second });
            }
        }
        let mut windows = Vec::new();
        for allocation in sorted {
            let (physical, length) = allocation.memory();
            // SAFETY: the caller promised that configuration space, that is device registers, is there.
            let base = unsafe { mapper.map(physical, length, Caching::Uncached) }.map_err(EcamError::Map)?;
            if !base.cast::<u32>().is_aligned() {
                return Err(EcamError::Misaligned { physical });
            }
            log!(info, "PCI configuration space: ECAM {}", allocation);
            // As many as `sorted` has, so there is room for each.
            let _ = windows.push(Window { allocation, base });
        }
        Ok(Self { windows })
    }

    /// Where configuration space is, in ascending order of segment and bus.
    pub fn allocations(&self) -> impl ExactSizeIterator<Item = Allocation> {
        self.windows.iter().map(|window| window.allocation)
    }

    /// The register of type `T` at `offset`, rounded down to its size.
    fn register<T: Copy>(&self, address: Address, offset: u16) -> Option<VolatilePtr<'_, T>> {
        let size = size_of::<T>();
        let offset = usize::from(offset).checked_div(size)?.checked_mul(size)?;
        if offset >= 0x1000 {
            return None;
        }
        let window = self.windows.iter().find(|window| window.allocation.buses().contains(address))?;
        let bus = usize::from(address.bus().checked_sub(window.allocation.buses().first)?);
        let at = bus << 20 | usize::from(address.device()) << 15 | usize::from(address.function()) << 12 | offset;
        // SAFETY: the bus is one of the allocation's, device is below 32, function below 8 and the offset below 4096, so the sum
        // lies within the memory that was mapped for the allocation.
        let register = unsafe { window.base.byte_add(at) }.cast::<T>();
        // SAFETY: `map` saw that the mapping is aligned to 4, and the offset is a multiple of the size (2 or 4), so the pointer is
        // aligned; `map` was promised configuration space, which is in no Rust allocation and answers every cycle.
        Some(unsafe { VolatilePtr::new(register) })
    }
}

impl ConfigAccess for Ecam {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        self.register(address, offset).map_or(u32::MAX, VolatilePtr::read)
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        if let Some(register) = self.register(address, offset) {
            register.write(value);
        }
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        if let Some(register) = self.register(address, offset) {
            register.write(value);
        }
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        self.windows.get(index).map(|window| window.allocation.buses())
    }
}

impl fmt::Debug for Ecam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ecam ")?;
        f.debug_list().entries(self.allocations()).finish()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Ecam {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Ecam");
        for window in &self.windows {
            defmt::write!(f, " {}", window.allocation);
        }
    }
}

#[cfg(test)]
mod tests;
