//! The CPU's exceptions: none is expected, each prints what happened on COM1 and ends the image as a failure.

use crate::exit::{Exit, exit};
use crate::say;
use crate::segments::EXCEPTION_STACK;
use core::arch::naked_asm;
use core::fmt;
use x86_64::VirtAddr;
use x86_64::registers::control::Cr2;
use x86_64::structures::idt::{Entry, InterruptDescriptorTable};

/// What the stubs leave on the stack, lowest address first.
#[repr(C)]
struct Frame {
    registers: [u64; 15],
    vector: u64,
    error_code: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Names of the registers in [`Frame::registers`].
const REGISTERS: [&str; 15] =
    ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

/// Names by vector (Intel SDM volume 3, table 6-1).
const NAMES: [&str; 32] = [
    "divide error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "no coprocessor",
    "double fault",
    "reserved",
    "invalid TSS",
    "segment not present",
    "stack segment fault",
    "general protection fault",
    "page fault",
    "reserved",
    "floating point",
    "alignment check",
    "machine check",
    "SIMD floating point",
    "virtualization",
    "control protection",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
    "hypervisor injection",
    "VMM communication",
    "security",
    "reserved",
];

/// Entry of exception `VECTOR` when the CPU pushes an error code.
#[unsafe(naked)]
unsafe extern "C" fn with_error_code<const VECTOR: u8>() {
    naked_asm!("push {vector}", "jmp {common}", vector = const VECTOR, common = sym common)
}

/// Entry of exception `VECTOR` when it does not: a 0 takes the code's place.
#[unsafe(naked)]
unsafe extern "C" fn without_error_code<const VECTOR: u8>() {
    naked_asm!("push 0", "push {vector}", "jmp {common}", vector = const VECTOR, common = sym common)
}

/// Completes the [`Frame`]. The CPU aligned the stack to 16 before its 5 words; with code, vector and 15
/// registers that makes 22 words, so the call is aligned.
#[unsafe(naked)]
unsafe extern "C" fn common() {
    naked_asm!(
        "push r15",
        "push r14",
        "push r13",
        "push r12",
        "push r11",
        "push r10",
        "push r9",
        "push r8",
        "push rbp",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push rbx",
        "push rax",
        "cld",
        "mov rdi, rsp",
        "call {report}",
        "ud2",
        report = sym report,
    )
}

extern "sysv64" fn report(frame: &Frame) -> ! {
    let name = usize::try_from(frame.vector).ok().and_then(|vector| NAMES.get(vector)).unwrap_or(&"unknown");
    say!(
        "exception: vector={} {name} code={:#x} rip={:#x} cs={:#x} rflags={:#x} rsp={:#x} ss={:#x} cr2={:#x}",
        frame.vector,
        frame.error_code,
        frame.rip,
        frame.cs,
        frame.rflags,
        frame.rsp,
        frame.ss,
        Cr2::read_raw(),
    );
    for (names, values) in REGISTERS.chunks(5).zip(frame.registers.chunks(5)) {
        say!("exception:{}", Row(names, values));
    }
    exit(Exit::Failure)
}

/// Some registers, with their names.
struct Row<'a>(&'a [&'a str], &'a [u64]);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().zip(self.1).try_for_each(|(name, value)| write!(f, " {name}={value:#x}"))
    }
}

/// Puts a handler for each exception into `idt`, on a stack of its own.
pub fn install(idt: &mut InterruptDescriptorTable) {
    macro_rules! gates {
        ($($entry:ident: $($vector:literal $gate:ident),*;)*) => { $($(
            // SAFETY: the stub is made for this vector and for whether the CPU pushes an error code, and never returns.
            unsafe { set(&mut idt.$gate, $entry::<$vector>) };
        )*)* };
    }
    gates! {
        without_error_code: 0 divide_error, 1 debug, 2 non_maskable_interrupt, 3 breakpoint, 4 overflow,
            5 bound_range_exceeded, 6 invalid_opcode, 7 device_not_available, 16 x87_floating_point,
            18 machine_check, 19 simd_floating_point, 20 virtualization, 28 hv_injection_exception;
        with_error_code: 8 double_fault, 10 invalid_tss, 11 segment_not_present, 12 stack_segment_fault,
            13 general_protection_fault, 14 page_fault, 17 alignment_check, 21 cp_protection_exception,
            29 vmm_communication_exception, 30 security_exception;
    }
}

/// # Safety
/// `stub` is fit for the exception that `gate` is for.
// Not inlined: there are 23 of these.
#[inline(never)]
unsafe fn set<F>(gate: &mut Entry<F>, stub: unsafe extern "C" fn()) {
    let address = VirtAddr::new_truncate(stub as *const () as u64);
    // SAFETY: the caller's promise.
    let options = unsafe { gate.set_handler_addr(address) };
    // SAFETY: `segments` put a static stack there, and no exception handler is entered twice.
    unsafe { options.set_stack_index(EXCEPTION_STACK) };
}
