//! Real page tables in allocated memory, walked back entry by entry without the `x86_64` crate.

use super::*;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;
use x86_64::structures::paging::{OffsetPageTable, PageTable};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const PWT: u64 = 1 << 3;
const PCD: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const NX: u64 = 1 << 63;
const GIB: u64 = 1 << 30;

/// Where the arena's first page pretends to be in physical memory.
const ARENA: u64 = 0x10_0000;

#[repr(align(4096))]
#[derive(Clone)]
struct Frame([u64; 512]);

/// Physical memory for page tables: frame 0 is the level 4 table.
struct Arena(Box<[Frame]>);

impl Arena {
    /// Frames start as garbage, as a real allocator's do.
    fn new(frames: usize) -> Self {
        let mut arena = Self(std::vec![Frame([0xDEAD_BEEF_DEAD_BEEF; 512]); frames].into_boxed_slice());
        arena.0[0] = Frame([0; 512]);
        arena
    }

    fn mapper(&mut self, options: PageTableOptions) -> PageTableMapper<OffsetPageTable<'_>, Frames> {
        let base = self.0.as_mut_ptr();
        let frames = Frames { next: ARENA + 4096, end: ARENA + 4096 * self.0.len() as u64 };
        // SAFETY: frame 0 is a zeroed level 4 table, borrowed through `self` for as long as the reference lives.
        let top = unsafe { &mut *base.cast::<PageTable>() };
        let offset = VirtAddr::new(base as u64 - ARENA);
        // SAFETY: the allocator hands out only the arena's other frames, which lie at this offset.
        let tables = unsafe { OffsetPageTable::new(top, offset) };
        // SAFETY: no CPU uses the tables, and no pointer is used.
        unsafe { PageTableMapper::new(tables, frames, options) }
    }

    fn entry(&self, table: u64, index: u64) -> u64 {
        let frame = table.checked_sub(ARENA).expect("a table below the arena") / 4096;
        self.0[frame as usize].0[index as usize]
    }

    /// The page that maps `address`: its physical address, size and flags.
    fn walk(&self, address: u64) -> Option<Leaf> {
        let mut table = ARENA;
        for level in (1..=4).rev() {
            let shift = 12 + 9 * (level - 1);
            let entry = self.entry(table, address >> shift & 0x1FF);
            if entry & PRESENT == 0 {
                return None;
            }
            let frame = entry & 0x000F_FFFF_FFFF_F000;
            if level == 1 || entry & LARGE != 0 {
                assert!(level < 4, "a level 4 entry cannot be a page");
                let size = 1u64 << shift;
                let flags = entry & !0x000F_FFFF_FFFF_F000 & if level == 1 { !0 } else { !LARGE };
                return Some(Leaf { physical: frame + (address & (size - 1)), size, flags });
            }
            assert_eq!(entry & WRITABLE, WRITABLE, "a table that forbids writing");
            table = frame;
        }
        unreachable!("level 1 entries are pages")
    }

    /// Asserts that a range is mapped contiguously with these flags, and returns how many pages of each size do it.
    fn check(&self, address: u64, physical: u64, length: u64, flags: u64) -> BTreeMap<u64, u64> {
        let mut sizes = BTreeMap::new();
        let mut at = 0;
        while at < length {
            let leaf = self.walk(address + at).unwrap_or_else(|| panic!("{:#x} is not mapped", address + at));
            assert_eq!(leaf.physical, physical + at, "at {:#x}", address + at);
            assert_eq!(leaf.flags, flags, "at {:#x}", address + at);
            *sizes.entry(leaf.size).or_default() += 1;
            at += leaf.size - (address + at) % leaf.size;
        }
        sizes
    }
}

#[derive(Debug, PartialEq)]
struct Leaf {
    physical: u64,
    size: u64,
    flags: u64,
}

struct Frames {
    next: u64,
    end: u64,
}

// SAFETY: each frame of the arena is handed out once.
unsafe impl FrameAllocator<Size4KiB> for Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame<Size4KiB>> {
        let frame = (self.next < self.end).then(|| PhysFrame::containing_address(PhysAddr::new(self.next)))?;
        self.next += 4096;
        Some(frame)
    }
}

fn identity(largest: PageSize) -> PageTableOptions {
    PageTableOptions { placement: Placement::Offset(0), largest, no_execute: false }
}

fn window(start: u64, length: u64) -> PageTableOptions {
    PageTableOptions { placement: Placement::Window { start, length }, largest: PageSize::Size1GiB, no_execute: false }
}

fn map(mapper: &mut impl Mapper, physical: u64, length: u64, caching: Caching) -> Result<u64, MapError> {
    // SAFETY: the pointer is never used.
    unsafe { mapper.map(physical, length, caching) }.map(|pointer| pointer.addr().get() as u64)
}

#[test]
fn a_16_gib_bar2_maps_with_1_gib_pages_write_back() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    assert_eq!(map(&mut mapper, 16 * GIB, 16 * GIB, Caching::WriteBack), Ok(16 * GIB));
    let frames = mapper.into_parts().1;
    assert_eq!(frames.next, ARENA + 2 * 4096, "one new table");
    assert_eq!(arena.check(16 * GIB, 16 * GIB, 16 * GIB, PRESENT | WRITABLE), [(GIB, 16)].into());
    assert_eq!(arena.walk(32 * GIB), None);
    assert_eq!(arena.walk(16 * GIB - 1), None);
}

#[test]
fn a_16_gib_bar2_maps_without_1_gib_pages() {
    let mut arena = Arena::new(32);
    let mut mapper = arena.mapper(identity(PageSize::Size2MiB));
    assert_eq!(map(&mut mapper, 16 * GIB, 16 * GIB, Caching::WriteBack), Ok(16 * GIB));
    assert_eq!(arena.check(16 * GIB, 16 * GIB, 16 * GIB, PRESENT | WRITABLE), [(2 << 20, 8192)].into());
}

#[test]
fn bar2_at_896_gib_maps() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    assert_eq!(map(&mut mapper, 896 * GIB, 1 << 20, Caching::WriteBack), Ok(896 * GIB));
    assert_eq!(arena.check(896 * GIB, 896 * GIB, 1 << 20, PRESENT | WRITABLE), [(4096, 256)].into());
}

#[test]
fn bar2_is_mapped_by_the_largest_pages_of_its_size_wherever_it_is_placed() {
    for bits in 12..=34 {
        let size = 1_u64 << bits;
        let page = [GIB, 2 << 20, 4096].into_iter().find(|page| *page <= size).unwrap();
        // Right above RAM, in the hole, and where OVMF puts it: each on a multiple of its size, as BARs are.
        for bar2 in [4 * GIB, 0x8000_0000, 896 * GIB].map(|address| address.next_multiple_of(size)) {
            for options in [identity(PageSize::Size1GiB), window(0xFFFF_9000_0000_0000, 64 * GIB)] {
                let mut arena = Arena::new(8 + 512);
                let mut mapper = arena.mapper(options);
                // What is in the window before it does not keep it from its alignment.
                map(&mut mapper, 0x7EBF_1000, 256, Caching::Uncached).unwrap();
                let address = map(&mut mapper, bar2, size, Caching::WriteBack).unwrap();
                let pages = arena.check(address, bar2, size, PRESENT | WRITABLE);
                assert_eq!(pages, [(page, size / page)].into(), "{size:#x} bytes at {bar2:#x}");
            }
        }
    }
}

#[test]
fn registers_are_uncached_and_keep_their_offset_in_the_page() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(window(0xFFFF_9000_0000_0000, GIB));
    let bar0 = map(&mut mapper, 0xFEBF_1100, 256, Caching::Uncached).unwrap();
    assert_eq!(bar0, 0xFFFF_9000_0000_0100);
    let flags = PRESENT | WRITABLE | PCD | PWT;
    assert_eq!(arena.walk(bar0), Some(Leaf { physical: 0xFEBF_1100, size: 4096, flags }));
    assert_eq!(arena.walk(bar0 + 4096), None);
}

#[test]
fn a_range_across_a_page_boundary_maps_both_pages() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    map(&mut mapper, 0xFEBF_1FFC, 8, Caching::Uncached).unwrap();
    arena.check(0xFEBF_1000, 0xFEBF_1000, 0x2000, PRESENT | WRITABLE | PCD | PWT);
    assert_eq!(arena.walk(0xFEBF_3000), None);
}

#[test]
fn pages_are_as_large_as_alignment_allows() {
    let mut arena = Arena::new(16);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    let (first, length) = (4 * GIB - (2 << 20) - 4096, GIB + (4 << 20) + 8192);
    map(&mut mapper, first, length, Caching::WriteBack).unwrap();
    let sizes = arena.check(first, first, length, PRESENT | WRITABLE);
    assert_eq!(sizes, [(4096, 2), (2 << 20, 2), (GIB, 1)].into());
}

#[test]
fn a_window_aligns_for_the_largest_page_and_never_overlaps() {
    let start = 0xFFFF_9000_0000_0000;
    let mut arena = Arena::new(16);
    let mut mapper = arena.mapper(window(start, 16 * GIB));
    let first = map(&mut mapper, 0xFEBF_0000, 4096, Caching::Uncached).unwrap();
    let second = map(&mut mapper, 896 * GIB, 4 * GIB, Caching::WriteBack).unwrap();
    let third = map(&mut mapper, 0xFEBF_0000, 4096, Caching::Uncached).unwrap();
    assert_eq!((first, second, third), (start, start + GIB, start + 5 * GIB));
    assert_eq!(arena.check(second, 896 * GIB, 4 * GIB, PRESENT | WRITABLE), [(GIB, 4)].into());
}

#[test]
fn a_window_has_an_end() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(window(0x7000_0000_0000, 0x3000));
    assert!(map(&mut mapper, 0x10_0000, 0x2000, Caching::Uncached).is_ok());
    let full = Err(MapError::OutOfAddressSpace { length: 0x2000 });
    assert_eq!(map(&mut mapper, 0x20_0000, 0x2000, Caching::Uncached), full);
    assert_eq!(map(&mut mapper, 0x20_0000, 0x1000, Caching::Uncached), Ok(0x7000_0000_2000));
}

#[test]
fn no_execute_is_set_when_asked_for() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(PageTableOptions { no_execute: true, ..identity(PageSize::Size1GiB) });
    map(&mut mapper, GIB, GIB, Caching::WriteBack).unwrap();
    assert_eq!(arena.check(GIB, GIB, GIB, PRESENT | WRITABLE | NX), [(GIB, 1)].into());
}

#[test]
fn mapping_the_same_again_is_no_error() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    map(&mut mapper, 0xFEBF_0000, 256, Caching::Uncached).unwrap();
    // The second function's registers share the page, and one range goes beyond it.
    assert_eq!(map(&mut mapper, 0xFEBF_0100, 256, Caching::Uncached), Ok(0xFEBF_0100));
    assert_eq!(map(&mut mapper, 0xFEBF_0000, 0x2000, Caching::Uncached), Ok(0xFEBF_0000));
    assert_eq!(arena.check(0xFEBF_0000, 0xFEBF_0000, 0x2000, PRESENT | WRITABLE | PCD | PWT), [(4096, 2)].into());
}

#[test]
fn inside_a_larger_page_of_the_same_kind_nothing_is_done() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    map(&mut mapper, 4 * GIB, GIB, Caching::WriteBack).unwrap();
    assert_eq!(map(&mut mapper, 4 * GIB + 0x5000, 0x3000, Caching::WriteBack), Ok(4 * GIB + 0x5000));
    assert_eq!(arena.check(4 * GIB, 4 * GIB, GIB, PRESENT | WRITABLE), [(GIB, 1)].into());
}

#[test]
fn other_caching_is_a_conflict_and_changes_nothing() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    map(&mut mapper, 4 * GIB, GIB, Caching::WriteBack).unwrap();
    map(&mut mapper, 0x5000, 0x1000, Caching::WriteBack).unwrap();
    for virtual_address in [4 * GIB, 0x5000] {
        let conflict = Err(MapError::AlreadyMapped { virtual_address });
        assert_eq!(map(&mut mapper, virtual_address, 4096, Caching::Uncached), conflict);
    }
    arena.check(4 * GIB, 4 * GIB, GIB, PRESENT | WRITABLE);
    arena.check(0x5000, 0x5000, 0x1000, PRESENT | WRITABLE);
}

#[test]
fn another_frame_is_a_conflict() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    map(&mut mapper, 4 * GIB, 4096, Caching::WriteBack).unwrap();
    let (tables, frames) = mapper.into_parts();
    let elsewhere = PageTableOptions { placement: Placement::Offset(3 * GIB), ..identity(PageSize::Size1GiB) };
    // SAFETY: as in `Arena::mapper`.
    let mut mapper = unsafe { PageTableMapper::new(tables, frames, elsewhere) };
    let conflict = Err(MapError::AlreadyMapped { virtual_address: 4 * GIB });
    assert_eq!(map(&mut mapper, GIB, 4096, Caching::WriteBack), conflict);
    // 4 KiB of the first 2 MiB are in use: the large page does not fit, the small ones conflict at the one in use.
    assert_eq!(map(&mut mapper, GIB, 2 << 20, Caching::WriteBack), conflict);
}

#[test]
fn a_table_in_the_way_of_a_large_page_is_used() {
    let mut arena = Arena::new(520);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    map(&mut mapper, 5 * GIB - 4096, 4096, Caching::WriteBack).unwrap();
    map(&mut mapper, 4 * GIB, GIB, Caching::WriteBack).unwrap();
    let sizes = arena.check(4 * GIB, 4 * GIB, GIB, PRESENT | WRITABLE);
    assert_eq!(sizes, [(2 << 20, 511), (4096, 512)].into());
}

#[test]
fn running_out_of_frames_is_an_error() {
    for frames in 1..4 {
        let mut arena = Arena::new(frames);
        let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
        assert_eq!(map(&mut mapper, GIB, 4096, Caching::Uncached), Err(MapError::OutOfFrames), "{frames}");
    }
    let mut arena = Arena::new(4);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    assert_eq!(map(&mut mapper, GIB, 4096, Caching::Uncached), Ok(GIB));
}

#[test]
fn what_is_no_address_is_refused() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    for (physical, length) in [(0x1000, 0), (u64::MAX, 2), (1 << 52, 1), ((1 << 52) - 4096, 4097)] {
        let invalid = Err(MapError::InvalidRange { physical, length });
        assert_eq!(map(&mut mapper, physical, length, Caching::Uncached), invalid);
    }
    // Not canonical, null, and across the hole between the halves.
    for (physical, length) in [(1 << 47, 4096), (0, 4096), ((1 << 47) - 4096, 8192)] {
        let unreachable = Err(MapError::Unreachable { physical, length });
        assert_eq!(map(&mut mapper, physical, length, Caching::Uncached), unreachable);
    }
}

#[test]
fn any_range_maps_exactly_in_a_window() {
    proptest::proptest!(|(
        first in 0u64..1 << 40, length in 1u64..3 * GIB, largest in 1usize..3, uncached in proptest::bool::ANY,
    )| {
        let mut arena = Arena::new(3000);
        let largest = [PageSize::Size4KiB, PageSize::Size2MiB, PageSize::Size1GiB][largest];
        let mut mapper = arena.mapper(PageTableOptions { largest, ..window(0xFFFF_9000_0000_0000, 16 * GIB) });
        let caching = if uncached { Caching::Uncached } else { Caching::WriteBack };
        let address = map(&mut mapper, first, length, caching).unwrap();
        let flags = PRESENT | WRITABLE | if uncached { PCD | PWT } else { 0 };
        arena.check(address, first, length, flags);
        let end = (address + length).next_multiple_of(4096);
        assert_eq!(arena.walk(end), None);
        let before: Vec<_> = arena.walk((address & !0xFFF) - 1).into_iter().collect();
        assert!(before.is_empty());
    });
}

#[test]
fn the_smallest_page_of_a_range_is_told() {
    let mut arena = Arena::new(8);
    let mut mapper = arena.mapper(identity(PageSize::Size1GiB));
    // A whole GiB, then 2 MiB, then a page.
    map(&mut mapper, GIB, GIB + (2 << 20) + 4096, Caching::WriteBack).unwrap();
    let smallest = |start: u64, length: u64| mapper.smallest_page(start as usize, length as usize);
    assert_eq!(smallest(GIB, GIB), Some(PageSize::Size1GiB));
    assert_eq!(smallest(GIB + 5, GIB - 5), Some(PageSize::Size1GiB));
    assert_eq!(smallest(GIB, GIB + 1), Some(PageSize::Size2MiB));
    assert_eq!(smallest(GIB, GIB + (2 << 20) + 1), Some(PageSize::Size4KiB));
    assert_eq!(smallest(GIB, GIB + (2 << 20) + 4097), None, "not mapped to its end");
    assert_eq!(smallest(GIB, 0), None);
    assert_eq!(smallest(u64::MAX - 1, 8), None);
    assert_eq!(smallest(1 << 47, 8), None, "no address");
    assert_eq!(PageSize::DESCENDING.map(|size| std::string::ToString::to_string(&size)), ["1GiB", "2MiB", "4KiB"]);
}
