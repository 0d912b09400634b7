//! Mappings in the image's own x86_64 page tables.

use super::{Caching, MapError, Mapper, physical_end};
use core::fmt;
use core::ptr::NonNull;
use x86_64::structures::paging::mapper::{MapToError, MappedFrame, MapperAllSizes, TranslateResult};
use x86_64::structures::paging::{self, FrameAllocator, Page, PageTableFlags, PhysFrame, Translate};
use x86_64::structures::paging::{Size1GiB, Size2MiB, Size4KiB};
use x86_64::{PhysAddr, VirtAddr};

/// A page size of x86_64 (Intel SDM vol. 3, 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PageSize {
    /// 4096 bytes.
    Size4KiB,
    /// 2,097,152 bytes.
    Size2MiB,
    /// 1,073,741,824 bytes. Not every CPU has it: see [`PageSize::largest_supported`].
    Size1GiB,
}

impl PageSize {
    const DESCENDING: [Self; 3] = [Self::Size1GiB, Self::Size2MiB, Self::Size4KiB];

    /// Bytes in a page.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Size4KiB => 1 << 12,
            Self::Size2MiB => 1 << 21,
            Self::Size1GiB => 1 << 30,
        }
    }

    /// The largest page that this CPU has: CPUID leaf 8000_0001h, EDX bit 26 (QEMU's default CPU lacks 1 GiB).
    pub fn largest_supported() -> Self {
        let extended = core::arch::x86_64::__cpuid(0x8000_0000).eax;
        if extended >= 0x8000_0001 && core::arch::x86_64::__cpuid(0x8000_0001).edx & 1 << 26 != 0 {
            Self::Size1GiB
        } else {
            Self::Size2MiB
        }
    }
}

impl fmt::Display for PageSize {
    /// As in `2MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size4KiB => "4KiB",
            Self::Size2MiB => "2MiB",
            Self::Size1GiB => "1GiB",
        })
    }
}

/// Where in the virtual address space mappings go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Placement {
    /// At the physical address plus this constant, wrapping; 0 is an identity map.
    ///
    /// Mapping again what is mapped already, the same way, is no error and changes nothing.
    Offset(u64),
    /// One after another in this window, which holds nothing else.
    Window {
        /// First virtual address, canonical.
        start: u64,
        /// Bytes. Leave room for alignment: up to the largest page size a mapping.
        length: u64,
    },
}

/// How a [`PageTableMapper`] maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PageTableOptions {
    /// Where mappings go.
    pub placement: Placement,
    /// The largest page to use; usually [`PageSize::largest_supported`].
    pub largest: PageSize,
    /// Whether to forbid execution. Only with EFER.NXE set: without it the bit is reserved and faults.
    pub no_execute: bool,
}

/// Maps BARs in page tables of the `x86_64` crate, with 4 KiB, 2 MiB and 1 GiB pages as alignment allows.
///
/// [`Caching::Uncached`] sets PCD and PWT (PAT entry 3, UC at reset), [`Caching::WriteBack`] neither (PAT entry 0, WB at reset).
/// A 16 GiB BAR2 aligned to its size takes 16 entries of one table; at 896 GiB it takes two new frames.
///
/// After [`MapError::OutOfFrames`] or [`MapError::AlreadyMapped`] the pages before the failing one stay mapped,
/// and a window's addresses stay used.
pub struct PageTableMapper<T, F> {
    tables: T,
    frames: F,
    options: PageTableOptions,
    /// First unused address of the window.
    next: u64,
}

impl<T, F> fmt::Debug for PageTableMapper<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageTableMapper")
            .field("options", &self.options)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl<T, F> PageTableMapper<T, F>
where
    T: MapperAllSizes + Translate,
    F: FrameAllocator<Size4KiB>,
{
    /// # Safety
    /// - `tables` are the page tables of every CPU that uses the pointers.
    /// - The placement's addresses hold nothing of the image's but device mappings.
    /// - PAT entries 0 and 3 are WB and UC, as at reset, and PCIDs or protection keys do not forbid access.
    /// - `no_execute` only with EFER.NXE set, `largest` no larger than the CPU has.
    pub const unsafe fn new(tables: T, frames: F, options: PageTableOptions) -> Self {
        let next = match options.placement {
            Placement::Offset(_) => 0,
            Placement::Window { start, .. } => start,
        };
        Self { tables, frames, options, next }
    }

    /// Gives the page tables and the frame allocator back. What is mapped stays so.
    pub fn into_parts(self) -> (T, F) {
        (self.tables, self.frames)
    }

    /// The smallest of the pages that map `length` bytes from the virtual address `start`; `None` if a part is not mapped, or there is
    /// none. A real-time loop over memory in pages of 4 KiB meets a TLB miss for each.
    ///
    /// One walk of the tables for each page. Not for a real-time phase.
    pub fn smallest_page(&self, start: usize, length: usize) -> Option<PageSize> {
        let end = start.checked_add(length)?;
        let (mut at, mut smallest) = (start, None::<PageSize>);
        while at < end {
            let address = VirtAddr::try_new(at as u64).ok()?;
            let TranslateResult::Mapped { frame, offset, .. } = self.tables.translate(address) else { return None };
            let size = match frame {
                MappedFrame::Size4KiB(_) => PageSize::Size4KiB,
                MappedFrame::Size2MiB(_) => PageSize::Size2MiB,
                MappedFrame::Size1GiB(_) => PageSize::Size1GiB,
            };
            smallest = Some(smallest.map_or(size, |before| before.min(size)));
            at = at.checked_add(usize::try_from(size.bytes().checked_sub(offset)?).ok()?)?;
        }
        smallest
    }

    /// The virtual address of the page at `first`, for a range of whole pages up to `end`.
    fn place(&mut self, first: u64, end: u64) -> Result<u64, MapError> {
        let length = end.saturating_sub(first);
        match self.options.placement {
            Placement::Offset(offset) => {
                let (address, unreachable) =
                    (first.wrapping_add(offset), MapError::Unreachable { physical: first, length });
                canonical(address, length).then_some(address).ok_or(unreachable)
            }
            Placement::Window { start, length: window } => {
                let full = MapError::OutOfAddressSpace { length };
                // Congruent to the physical address modulo the largest page that fits into the range, so that it can be used.
                let fits = |size: &PageSize| {
                    let aligned = first.checked_next_multiple_of(size.bytes());
                    *size <= self.options.largest
                        && aligned.and_then(|at| at.checked_add(size.bytes())).is_some_and(|at| at <= end)
                };
                let size = PageSize::DESCENDING.into_iter().find(fits).unwrap_or(PageSize::Size4KiB).bytes();
                let gap = first.wrapping_sub(self.next).checked_rem(size).unwrap_or(0);
                let address = self.next.checked_add(gap).ok_or(full)?;
                let after = address.checked_add(length).ok_or(full)?;
                if after > start.saturating_add(window) || !canonical(address, length) {
                    return Err(full);
                }
                self.next = after;
                Ok(address)
            }
        }
    }

    /// Maps one page at `address`, the largest that both addresses and `length` allow. Returns the bytes that are mapped now.
    fn map_page(&mut self, address: u64, physical: u64, length: u64, flags: PageTableFlags) -> Result<u64, MapError> {
        for size in PageSize::DESCENDING {
            let bytes = size.bytes();
            if size > self.options.largest || bytes > length || !(address | physical).is_multiple_of(bytes) {
                continue;
            }
            let mapped = match size {
                PageSize::Size4KiB => self.insert::<Size4KiB>(address, physical, flags),
                PageSize::Size2MiB => self.insert::<Size2MiB>(address, physical, flags),
                PageSize::Size1GiB => self.insert::<Size1GiB>(address, physical, flags),
            }?;
            if mapped {
                return Ok(bytes);
            }
            match self.existing(address, physical, flags) {
                Existing::Same { bytes } => return Ok(bytes.min(length)),
                // A table of smaller pages is in the way: use it.
                Existing::None => {}
                Existing::Other => break,
            }
        }
        Err(MapError::AlreadyMapped { virtual_address: address })
    }

    /// Enters one page; `false` if an entry is in the way. Addresses are multiples of the page size.
    fn insert<S>(&mut self, address: u64, physical: u64, flags: PageTableFlags) -> Result<bool, MapError>
    where
        S: paging::PageSize,
        T: paging::Mapper<S>,
    {
        let page = Page::<S>::containing_address(VirtAddr::new_truncate(address));
        let frame = PhysFrame::<S>::containing_address(PhysAddr::new_truncate(physical));
        // SAFETY: the page lies in addresses that `new` was promised to hold only device mappings, and map_to
        // refuses one that is in use; the caller of `map` promised that the frame is no ordinary memory of the image.
        match unsafe { self.tables.map_to(page, frame, flags, &mut self.frames) } {
            Ok(flush) => {
                // The entry was not present before, and x86 caches no entry that is not (Intel SDM vol. 3, 4.10.2.3).
                flush.ignore();
                Ok(true)
            }
            Err(MapToError::FrameAllocationFailed) => Err(MapError::OutOfFrames),
            Err(MapToError::ParentEntryHugePage | MapToError::PageAlreadyMapped(_)) => Ok(false),
        }
    }

    /// What is mapped at `address` already.
    fn existing(&self, address: u64, physical: u64, wanted: PageTableFlags) -> Existing {
        let TranslateResult::Mapped { frame, offset, flags } = self.tables.translate(VirtAddr::new_truncate(address))
        else {
            return Existing::None;
        };
        // In a 4 KiB entry bit 7 is PAT; in larger ones it says that they are, and PAT is an address bit that fails to translate.
        let caching = match frame {
            MappedFrame::Size4KiB(_) => CACHING | PageTableFlags::HUGE_PAGE,
            _ => CACHING,
        };
        let same = frame.start_address().as_u64().checked_add(offset) == Some(physical)
            && flags.contains(PageTableFlags::WRITABLE)
            && (flags & caching) == (wanted & caching);
        if same { Existing::Same { bytes: frame.size().saturating_sub(offset) } } else { Existing::Other }
    }
}

#[cfg(feature = "defmt")]
impl<T, F> defmt::Format for PageTableMapper<T, F> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "PageTableMapper {{ options: {}, next: {=u64:#x} }}", self.options, self.next);
    }
}

/// What a page table has at an address.
enum Existing {
    None,
    /// The frame wanted with the caching wanted, for so many bytes.
    Same {
        bytes: u64,
    },
    Other,
}

/// The bits that choose PAT entries 0 to 3.
const CACHING: PageTableFlags = PageTableFlags::NO_CACHE.union(PageTableFlags::WRITE_THROUGH);

/// Whether a range lies in one half of the 48-bit virtual address space and does not start at null.
fn canonical(address: u64, length: u64) -> bool {
    let Some(last) = length.checked_sub(1).and_then(|more| address.checked_add(more)) else { return false };
    address != 0 && address >> 47 == last >> 47 && matches!(address >> 47, 0 | 0x1_FFFF)
}

// SAFETY: every page from the first to the last byte's is entered with exactly the frame asked for, or found to map it with the
// same caching; nothing here unmaps. `new` was promised that the tables are the active ones and hold nothing else there.
unsafe impl<T, F> Mapper for PageTableMapper<T, F>
where
    T: MapperAllSizes + Translate,
    F: FrameAllocator<Size4KiB>,
{
    unsafe fn map(&mut self, physical: u64, length: u64, caching: Caching) -> Result<NonNull<u8>, MapError> {
        let invalid = MapError::InvalidRange { physical, length };
        let page = PageSize::Size4KiB.bytes();
        let end = physical_end(physical, length)?.checked_next_multiple_of(page).ok_or(invalid)?;
        let inside = physical & 0xFFF;
        let mut frame = physical.saturating_sub(inside);

        let mut flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
        flags.set(CACHING, caching == Caching::Uncached);
        flags.set(PageTableFlags::NO_EXECUTE, self.options.no_execute);

        let first = self.place(frame, end)?;
        let mut address = first;
        while frame < end {
            let bytes = self.map_page(address, frame, end.saturating_sub(frame), flags)?;
            frame = frame.saturating_add(bytes);
            address = address.saturating_add(bytes);
        }
        let pointer = usize::try_from(first.saturating_add(inside)).map_err(|_| invalid)?;
        NonNull::new(core::ptr::with_exposed_provenance_mut(pointer)).ok_or(invalid)
    }
}

#[cfg(test)]
mod tests;
