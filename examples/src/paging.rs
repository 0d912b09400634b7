//! Device memory: the driver's page-table mapper over the boot page tables, with frames set aside in the image.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use ivshmem::mmio::{PageSize, PageTableMapper, PageTableOptions, Placement};
use x86_64::PhysAddr;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::mapper::PageTableFrameMapping;
use x86_64::structures::paging::{FrameAllocator, MappedPageTable, PageTable, PhysFrame, Size4KiB};

/// Page tables that can be made. A BAR2 of 16 GiB takes 17 without 1 GiB pages, anything else a few; `selftest` maps each
/// device a score of times.
const FRAMES: usize = 512;
const FRAME_BYTES: usize = 4096;

/// Where device memory appears: the upper half of the virtual address space, in which the image itself has nothing.
const WINDOW: Placement = Placement::Window { start: 0xFFFF_8000_0000_0000, length: 1 << 46 };

/// The images' mapper.
pub type DeviceMapper = PageTableMapper<MappedPageTable<'static, Identity>, StaticFrames>;

#[repr(C, align(4096))]
struct Pool(UnsafeCell<[[u8; FRAME_BYTES]; FRAMES]>);

// SAFETY: no Rust code touches the bytes by name; each frame is handed out once, see `StaticFrames`.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(UnsafeCell::new([[0; FRAME_BYTES]; FRAMES]));
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Hands out the image's frames, each once.
#[derive(Debug)]
pub struct StaticFrames(());

// SAFETY: every frame is a whole, aligned page of `POOL`, which nothing else uses, and `NEXT` never goes back.
unsafe impl FrameAllocator<Size4KiB> for StaticFrames {
    fn allocate_frame(&mut self) -> Option<PhysFrame<Size4KiB>> {
        // Relaxed: only the number matters. Wraps after more calls than an image can make.
        let index = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = index.checked_mul(FRAME_BYTES).filter(|_| index < FRAMES)?;
        // The image is mapped one to one, so that its addresses are physical ones.
        let frame = PhysAddr::new(POOL.0.get().expose_provenance().checked_add(offset)? as u64);
        Some(PhysFrame::containing_address(frame))
    }
}

/// Where a page table is seen: where it is.
#[derive(Debug)]
pub struct Identity(());

// SAFETY: every page table, of the boot code and of `POOL`, lies in the image, which is mapped one to one.
unsafe impl PageTableFrameMapping for Identity {
    fn frame_to_pointer(&self, frame: PhysFrame) -> *mut PageTable {
        core::ptr::with_exposed_provenance_mut(frame.start_address().as_u64() as usize)
    }
}

/// The mapper over the active page tables.
///
/// # Safety
/// The active page tables are those of [`boot`](crate::boot), and this is called once.
pub unsafe fn mapper() -> DeviceMapper {
    let (root, _) = Cr3::read();
    let root: *mut PageTable = core::ptr::with_exposed_provenance_mut(root.start_address().as_u64() as usize);
    // SAFETY: the boot page tables lie in the image, which they map one to one; nothing else refers to them.
    let root = unsafe { &mut *root };
    // SAFETY: every page table, of the boot code and of `POOL`, lies in the image, which is mapped one to one.
    let tables = unsafe { MappedPageTable::new(root, Identity(())) };
    let options = PageTableOptions { placement: WINDOW, largest: PageSize::largest_supported(), no_execute: true };
    // SAFETY: these tables are the active ones of the only CPU that runs; nothing else is in the upper half; PAT is
    // as at reset; the boot code has set EFER.NXE; the largest page is one the CPU says it has.
    unsafe { PageTableMapper::new(tables, StaticFrames(()), options) }
}
