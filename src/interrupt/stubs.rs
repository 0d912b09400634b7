//! Entry stubs: what the CPU jumps to.
//!
//! Each vector has a stub of two instructions that pushes its number and jumps to one common part, which saves what a function call
//! may change, calls [`dispatch`], and returns from the interrupt.
//!
//! Built without SSE, as for `x86_64-unknown-none`, nothing that runs in the handler touches the x87 and SSE state, and none is saved:
//! code of the image that uses SSE keeps its registers. Built with SSE, FXSAVE and FXRSTOR keep that state. They do not keep the upper
//! halves of AVX registers, so a build with AVX has no stubs: such a kernel has its own entry and calls
//! [`on_interrupt`](super::on_interrupt).

use super::{LocalApic, apic, on_interrupt};
use core::arch::naked_asm;
use core::fmt;
use x86_64::VirtAddr;
use x86_64::structures::idt::InterruptDescriptorTable;

/// First vector that is not an exception of the CPU.
const FIRST: u8 = 32;

/// Why stubs were not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum InstallError {
    /// A range that does not lie in vectors 32 to 255.
    Range {
        /// First vector.
        first: u8,
        /// Number of vectors.
        count: u8,
    },
    /// An interrupt stack table index above 6.
    StackIndex(u16),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { first, count } => {
                write!(f, "{count} vectors from {first} on do not lie in 32 to 255")
            }
            Self::StackIndex(index) => write!(f, "interrupt stack table index {index} is above 6"),
        }
    }
}

impl core::error::Error for InstallError {}

/// Enters stubs for `count` IDT vectors from `first` on, on stack `stack_index` (0 to 6) of the interrupt stack table if given.
///
/// The stubs end the interrupt at the local APIC, in the mode that [`LocalApic::attach`] found; hence `_apic`. A firing is then
/// seen at [`event`](super::event). Handlers run with interrupts off, so one stack serves them all.
///
/// # Safety
/// - The table is or will be loaded on CPUs whose CS at interrupts is the one current now, in 64-bit mode.
/// - With `stack_index`: that stack is valid on each such CPU, with at least 1 KiB besides what wakers use, and not used by
///   handlers that these can interrupt or be interrupted by. Without: code that is interrupted has no red zone.
/// - Nothing else handles these vectors, and whatever wakers get registered are fit to be woken in a handler.
pub unsafe fn install(
    table: &mut InterruptDescriptorTable,
    first: u8,
    count: u8,
    stack_index: Option<u16>,
    _apic: &LocalApic,
) -> Result<(), InstallError> {
    let range = InstallError::Range { first, count };
    let end = u16::from(first).saturating_add(count.into());
    if first < FIRST || end > 256 {
        return Err(range);
    }
    if let Some(index) = stack_index.filter(|index| *index > 6) {
        return Err(InstallError::StackIndex(index));
    }
    let stubs = STUBS.as_flattened().iter().skip(usize::from(first.saturating_sub(FIRST)));
    for (vector, stub) in (first..=255).zip(stubs).take(count.into()) {
        let address = VirtAddr::from_ptr(*stub as *const ());
        // SAFETY: the stub follows the CPU's entry convention for vectors without error code, which 32 to 255 are;
        // the caller promises the rest.
        let options = unsafe { table[vector].set_handler_addr(address) };
        if let Some(index) = stack_index {
            // SAFETY: the index is at most 6; the caller promises that the stack is valid and fit.
            unsafe { options.set_stack_index(index) };
        }
    }
    Ok(())
}

/// What the common part calls, with interrupts off.
extern "sysv64" fn dispatch(vector: u64) {
    on_interrupt(vector as u8);
    // After recording: the interrupt may be delivered again at once, and nests only after `iretq`.
    apic::end_of_interrupt();
}

type Stub = unsafe extern "sysv64" fn();

/// The entry of one vector. The CPU has pushed SS, RSP, RFLAGS, CS and RIP on a stack aligned to 16.
#[unsafe(naked)]
unsafe extern "sysv64" fn stub<const VECTOR: u8>() {
    naked_asm!("push {vector}", "jmp {common}", vector = const VECTOR as u32, common = sym common)
}

/// Ten quadwords lie on the stack at the call, and with the CPU's five that is 8 short of a multiple of 16.
#[cfg(not(target_feature = "sse"))]
#[unsafe(naked)]
unsafe extern "sysv64" fn common() {
    naked_asm!(
        "push rax", "push rcx", "push rdx", "push rsi", "push rdi", "push r8", "push r9", "push r10", "push r11",
        "mov rdi, [rsp + 72]",
        "sub rsp, 8",
        "cld",
        "call {dispatch}",
        "add rsp, 8",
        "pop r11", "pop r10", "pop r9", "pop r8", "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rax",
        "add rsp, 8", // the vector
        "iretq",
        dispatch = sym dispatch,
    )
}

/// As without SSE, and 520 bytes more: 512 for FXSAVE, which wants them aligned to 16, and 8 to align them.
#[cfg(target_feature = "sse")]
#[unsafe(naked)]
unsafe extern "sysv64" fn common() {
    naked_asm!(
        "push rax", "push rcx", "push rdx", "push rsi", "push rdi", "push r8", "push r9", "push r10", "push r11",
        "mov rdi, [rsp + 72]",
        "sub rsp, 520",
        "fxsave64 [rsp]",
        "cld",
        "call {dispatch}",
        "fxrstor64 [rsp]",
        "add rsp, 520",
        "pop r11", "pop r10", "pop r9", "pop r8", "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rax",
        "add rsp, 8", // the vector
        "iretq",
        dispatch = sym dispatch,
    )
}

macro_rules! sixteen {
    ($($first:literal)*) => {
        [$([
            stub::<$first>, stub::<{ $first + 1 }>, stub::<{ $first + 2 }>, stub::<{ $first + 3 }>,
            stub::<{ $first + 4 }>, stub::<{ $first + 5 }>, stub::<{ $first + 6 }>, stub::<{ $first + 7 }>,
            stub::<{ $first + 8 }>, stub::<{ $first + 9 }>, stub::<{ $first + 10 }>, stub::<{ $first + 11 }>,
            stub::<{ $first + 12 }>, stub::<{ $first + 13 }>, stub::<{ $first + 14 }>, stub::<{ $first + 15 }>,
        ]),*]
    };
}

/// The stubs of vectors 32 to 255.
static STUBS: [[Stub; 16]; 14] = sixteen!(32 48 64 80 96 112 128 144 160 176 192 208 224 240);

#[cfg(test)]
mod tests;
