//! GDT and TSS: flat segments, and two stacks that an interrupt switches to.

use core::cell::UnsafeCell;
use spin::{Mutex, MutexGuard};
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

/// Index into the interrupt stack table of the stack for exceptions: usable even when the main stack overflowed.
pub const EXCEPTION_STACK: u16 = 0;
/// Index into the interrupt stack table of the stack for interrupts. One is enough: gates keep interrupts off.
pub const INTERRUPT_STACK: u16 = 1;

const STACK_BYTES: usize = 16 * 1024;

#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; STACK_BYTES]>);

// SAFETY: only one CPU uses the bytes, through the address in the TSS; no Rust code reads or writes them by name.
unsafe impl Sync for Stack {}

impl Stack {
    const fn new() -> Self {
        Self(UnsafeCell::new([0; STACK_BYTES]))
    }

    fn top(&self) -> VirtAddr {
        VirtAddr::new_truncate(self.0.get() as u64 + STACK_BYTES as u64)
    }
}

/// What one CPU has for itself.
#[expect(missing_debug_implementations, reason = "the CPU's, and locked for ever")]
pub struct Segments {
    exceptions: Stack,
    interrupts: Stack,
    tss: Mutex<TaskStateSegment>,
    gdt: Mutex<GlobalDescriptorTable>,
}

/// Those of the CPU that runs the image.
pub static FIRST: Segments = Segments::new();
/// Those of the one that takes the device's interrupts, if it is another.
#[cfg(feature = "any-machine")]
pub static OTHER: Segments = Segments::new();

impl Segments {
    const fn new() -> Self {
        let (tss, gdt) = (Mutex::new(TaskStateSegment::new()), Mutex::new(GlobalDescriptorTable::new()));
        Self { exceptions: Stack::new(), interrupts: Stack::new(), tss, gdt }
    }
}

/// Loads the tables into this CPU. To be called once for each, before the IDT is loaded.
pub fn init(segments: &'static Segments) {
    // Locked for ever: the CPU uses them from now on.
    let tss = MutexGuard::leak(segments.tss.lock());
    tss.interrupt_stack_table[usize::from(EXCEPTION_STACK)] = segments.exceptions.top();
    tss.interrupt_stack_table[usize::from(INTERRUPT_STACK)] = segments.interrupts.top();
    let gdt = MutexGuard::leak(segments.gdt.lock());
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let task = gdt.append(Descriptor::tss_segment(tss));
    gdt.load();
    // SAFETY: `code` is the 64-bit ring 0 code segment of the GDT just loaded, which is static.
    unsafe { CS::set_reg(code) };
    // SAFETY: `data` is the data segment of the same table. Without this the first `iretq` would meet the boot
    // GDT's selector and fault.
    unsafe { SS::set_reg(data) };
    // SAFETY: as above.
    unsafe { DS::set_reg(data) };
    // SAFETY: as above.
    unsafe { ES::set_reg(data) };
    // SAFETY: `task` describes the static TSS, whose stacks are static, and is loaded for the first time.
    unsafe { load_tss(task) };
}
