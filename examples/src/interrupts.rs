//! The IDT and who uses which vector.
//!
//! | vectors | for |
//! |---|---|
//! | 0x00 to 0x1F | the CPU's exceptions |
//! | 0x20 to 0x2F | the masked 8259s, which may still raise one spuriously |
//! | 0x30 | the local APIC's timer |
//! | 0x40 to 0xFE | doorbells |
//! | 0xFF | the local APIC's spurious vector |

use crate::segments::INTERRUPT_STACK;
use core::arch::naked_asm;
use ivshmem::interrupt::{self, InstallError, LocalApic};
use spin::Mutex;
use x86_64::VirtAddr;
use x86_64::structures::idt::InterruptDescriptorTable;

/// Raised by the local APIC's timer.
pub const TICK: u8 = 0x30;
/// The first vector for doorbells.
pub const FIRST_DOORBELL: u8 = 0x40;
/// How many vectors there are for doorbells.
pub const DOORBELLS: u8 = SPURIOUS - FIRST_DOORBELL;
/// The local APIC's spurious vector.
pub const SPURIOUS: u8 = 0xFF;

static IDT: Mutex<InterruptDescriptorTable> = Mutex::new(InterruptDescriptorTable::new());

/// An interrupt that needs nothing done, not even an end of interrupt.
#[unsafe(naked)]
unsafe extern "C" fn ignore() {
    naked_asm!("iretq")
}

/// Loads the table with the exceptions in it. To be called once, after [`segments::init`](crate::segments::init).
pub fn init() {
    let mut idt = IDT.lock();
    crate::exceptions::install(&mut idt);
    let spurious = crate::pic::FIRST_VECTOR..crate::pic::FIRST_VECTOR + 16;
    for vector in spurious.chain([SPURIOUS]) {
        let address = VirtAddr::new_truncate(ignore as *const () as u64);
        // SAFETY: the stub changes nothing and returns with `iretq`; these vectors push no error code.
        unsafe { idt[vector].set_handler_addr(address) };
    }
    // SAFETY: the table lies in a static, so that it stays where it is; each handler in it is fit for its vector.
    unsafe { idt.load_unsafe() };
}

/// Loads the same table into another CPU, after [`segments::init`](crate::segments::init) there.
#[cfg(feature = "any-machine")]
pub fn load() {
    // SAFETY: as in `init`; no entry changes once the stubs are there.
    unsafe { IDT.lock().load_unsafe() };
}

/// Adds the driver's stubs for the timer and the doorbells.
pub fn install_stubs(apic: &LocalApic) -> Result<(), InstallError> {
    let mut idt = IDT.lock();
    for (first, count) in [(TICK, 1), (FIRST_DOORBELL, DOORBELLS)] {
        // SAFETY: the table is that of every CPU that runs, whose CS stays and is the same for all; the stack is a static one of 16 KiB,
        // each CPU's own, that exceptions do not use, and interrupts do not nest; nothing else handles these vectors.
        unsafe { interrupt::install(&mut idt, first, count, Some(INTERRUPT_STACK), apic) }?;
    }
    Ok(())
}
