//! The IDT: exceptions, the driver's vectors, and the two sources that may fire for nothing.

use core::arch::naked_asm;
use spin::Once;
use x86_64::VirtAddr;
use x86_64::structures::idt::InterruptDescriptorTable;

/// The local APIC's spurious vector.
pub const SPURIOUS: u8 = 0xFF;

static IDT: Once<InterruptDescriptorTable> = Once::new();

/// An interrupt that needs nothing done, not even an end of interrupt.
#[unsafe(naked)]
unsafe extern "C" fn ignore() {
    naked_asm!("iretq")
}

/// Loads the table. To be called once, after [`segments::init`](crate::segments::init).
pub fn init() {
    let idt = IDT.call_once(|| {
        let mut idt = InterruptDescriptorTable::new();
        crate::exceptions::install(&mut idt);
        let spurious = crate::pic::FIRST_VECTOR..crate::pic::FIRST_VECTOR + 16;
        for vector in spurious.chain([SPURIOUS]) {
            let address = VirtAddr::from_ptr(ignore as *const ());
            // SAFETY: the stub changes nothing and returns with `iretq`; these vectors push no error code.
            unsafe { idt[vector].set_handler_addr(address) };
        }
        idt
    });
    idt.load();
}
