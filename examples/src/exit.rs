//! Ending the virtual machine through isa-debug-exit at port 0xF4.

use x86_64::instructions::hlt;
use x86_64::instructions::port::PortWriteOnly;

/// How the image ended. QEMU exits with twice the value plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Exit {
    /// QEMU exits 33.
    Success = 0x10,
    /// QEMU exits 35.
    Failure = 0x11,
}

/// Ends the virtual machine; without isa-debug-exit it only halts.
pub fn exit(how: Exit) -> ! {
    // SAFETY: the image runs in ring 0 and ends here, so that nothing can depend on what the port's owner does; on
    // a machine without isa-debug-exit nothing answers at 0xF4.
    unsafe { PortWriteOnly::new(0xF4).write(how as u32) };
    loop {
        hlt();
    }
}
