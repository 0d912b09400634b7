//! The kernel's page tables behind the driver's mapper.

use axstd::os::arceos::modules::axhal::mem::{PAGE_SIZE_4K, PhysAddr, VirtAddr, VirtAddrRange};
use axstd::os::arceos::modules::axhal::paging::MappingFlags;
use core::ptr::NonNull;
use ivshmem::mmio::{Caching, MapError, Mapper};

/// Where device memory appears, 64 TiB into the kernel's half, which the kernel's own linear mapping of memory does not reach.
///
/// Not in that linear mapping: the kernel has the hole for PCI devices mapped there already, uncached, and firmware may put BAR2 into it.
const WINDOW: usize = 0xFFFF_C000_0000_0000;
/// The first address that no x86_64 CPU can form.
const PHYSICAL_END: u64 = 1 << 52;

/// Maps device memory into the kernel's address space, for ever.
#[derive(Clone, Copy, Debug)]
pub struct KernelMapper;

// SAFETY: whole pages around the range are mapped, readable, writable and not executable, at addresses that the kernel's address space
// had free and now keeps for this; the kernel unmaps nothing that it is not told to. Its flags select write-back without, and uncached
// with UNCACHED, as PAT is at reset. No Rust allocation is in the range, by the caller's promise.
unsafe impl Mapper for KernelMapper {
    unsafe fn map(&mut self, physical: u64, length: u64, caching: Caching) -> Result<NonNull<u8>, MapError> {
        let end = physical.checked_add(length).filter(|end| length > 0 && *end <= PHYSICAL_END);
        let end = end.ok_or(MapError::InvalidRange { physical, length })?;
        let start = physical as usize;
        let (first, end) = (start - start % PAGE_SIZE_4K, (end as usize).next_multiple_of(PAGE_SIZE_4K));
        let caching = match caching {
            Caching::Uncached => MappingFlags::UNCACHED,
            Caching::WriteBack => MappingFlags::empty(),
        };
        let flags = MappingFlags::READ | MappingFlags::WRITE | caching;
        let mut space = axmm::kernel_aspace().lock();
        let limit = VirtAddrRange::new(space.base(), space.end());
        let page = space.find_free_area(VirtAddr::from(WINDOW), end - first, limit);
        let page = page.ok_or(MapError::OutOfAddressSpace { length })?;
        // The range is free and on whole pages: only frames for page tables can be missing.
        space.map_linear(page, PhysAddr::from(first), end - first, flags).map_err(|_| MapError::OutOfFrames)?;
        NonNull::new((page + start % PAGE_SIZE_4K).as_mut_ptr()).ok_or(MapError::Unreachable { physical, length })
    }
}
