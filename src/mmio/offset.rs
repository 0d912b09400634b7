//! Virtual = physical + a constant: an identity map, or a kernel's map of all physical memory.

use super::{Caching, MapError, Mapper, physical_end};
use core::ptr::NonNull;

/// Finds physical memory at a constant distance, where the image has mapped it already.
///
/// It cannot choose the caching: that is as the image's page tables and the MTRRs have it. Firmware leaves the
/// PCI hole uncached by MTRR, which is right for registers; BAR2 is then uncached too where the hypervisor honours
/// the guest's memory types, which is correct but some fifty times slower.
/// [`PageTableMapper`](super::PageTableMapper) sets the caching per mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OffsetMapper {
    offset: u64,
    limit: u64,
}

impl OffsetMapper {
    /// A mapper that adds `offset` (wrapping; 0 for an identity map) to physical addresses below `limit` (bytes).
    ///
    /// # Safety
    /// - Every physical address below `limit` is mapped, readable and writable, at itself plus `offset`, for as
    ///   long as any pointer from this mapper is used.
    /// - Registers are mapped so that accesses reach the device (uncached by page table or MTRR, or trapped by
    ///   the hypervisor whatever the caching); inter-VM memory is write-back or uncached, never write-combining.
    pub const unsafe fn new(offset: u64, limit: u64) -> Self {
        Self { offset, limit }
    }
}

// SAFETY: `new` was promised that the physical range below `limit` is mapped at the constant offset with fitting
// caching; ranges that end above it are refused. The caller of `map` promises that Rust allocates nothing there.
unsafe impl Mapper for OffsetMapper {
    unsafe fn map(&mut self, physical: u64, length: u64, _: Caching) -> Result<NonNull<u8>, MapError> {
        let unreachable = MapError::Unreachable { physical, length };
        if physical_end(physical, length)? > self.limit {
            return Err(unreachable);
        }
        let first = physical.wrapping_add(self.offset);
        // A range that wraps past the end of the address space would come back at null.
        first.checked_add(length).ok_or(unreachable)?;
        let first = usize::try_from(first).map_err(|_| unreachable)?;
        NonNull::new(core::ptr::with_exposed_provenance_mut(first)).ok_or(unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(mapper: &mut OffsetMapper, physical: u64, length: u64) -> Result<usize, MapError> {
        // SAFETY: the pointer is never used.
        unsafe { mapper.map(physical, length, Caching::Uncached) }.map(|pointer| pointer.addr().get())
    }

    #[test]
    fn adds_the_offset() {
        // SAFETY: no pointer of this mapper is used.
        let mut mapper = unsafe { OffsetMapper::new(0xFFFF_8000_0000_0000, 1 << 40) };
        assert_eq!(map(&mut mapper, 0xE0_0000_0008, 16), Ok(0xFFFF_80E0_0000_0008));
        // SAFETY: no pointer of this mapper is used.
        let mut identity = unsafe { OffsetMapper::new(0, 1 << 32) };
        assert_eq!(map(&mut identity, 0xFEBF_1000, 0x1000), Ok(0xFEBF_1000));
    }

    #[test]
    fn refuses_what_it_does_not_reach() {
        // SAFETY: no pointer of this mapper is used.
        let mut mapper = unsafe { OffsetMapper::new(0, 1 << 32) };
        let refused = |physical, length| Err(MapError::Unreachable { physical, length });
        assert_eq!(map(&mut mapper, 0xE0_0000_0000, 1 << 20), refused(0xE0_0000_0000, 1 << 20));
        assert_eq!(map(&mut mapper, 0xFFFF_FFFF, 2), refused(0xFFFF_FFFF, 2));
        assert_eq!(map(&mut mapper, 0, 16), refused(0, 16), "the null pointer");
        // SAFETY: no pointer of this mapper is used.
        let mut wrapping = unsafe { OffsetMapper::new(u64::MAX - 0xFFF, 1 << 32) };
        assert_eq!(map(&mut wrapping, 0xFF0, 32), refused(0xFF0, 32));
    }

    #[test]
    fn refuses_what_is_no_physical_range() {
        // SAFETY: no pointer of this mapper is used.
        let mut mapper = unsafe { OffsetMapper::new(0, u64::MAX) };
        for (physical, length) in [(0x1000, 0), (u64::MAX, 2), (1 << 52, 1), ((1 << 52) - 4, 8)] {
            assert_eq!(map(&mut mapper, physical, length), Err(MapError::InvalidRange { physical, length }));
        }
    }
}
