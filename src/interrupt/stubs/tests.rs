//! The real stubs, entered as the CPU enters them. `iretq` to the same privilege level works in user mode too.

use super::*;
use crate::interrupt::event;
use crate::notify::Event;
use core::arch::asm;

/// Enters a stub with every caller-saved register holding a pattern, and returns the registers after it.
#[inline(never)]
fn enter(stub: Stub) -> ([u64; 9], u64, u64) {
    let mut registers = [0u64; 9];
    let (stack_before, stack_after, sse_after): (u64, u64, u64);
    // SAFETY: builds the frame that the CPU builds (SS, RSP, RFLAGS, CS, RIP on an aligned stack, below the red zone) and
    // jumps to the stub, which returns to label 2 with the stack as it was. All that changes is declared.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "mov rbx, rsp",
            "sub rsp, 128", // the red zone
            "and rsp, -16",
            "mov r14, ss",
            "push r14",
            "push rbx",
            "pushfq",
            "mov r14, cs",
            "push r14",
            "lea r14, [rip + 2f]",
            "push r14",
            "mov rax, 0x1111", "mov rcx, 0x2222", "mov rdx, 0x3333", "mov rsi, 0x4444", "mov rdi, 0x5555",
            "mov r8, 0x6666", "mov r9, 0x7777", "mov r10, 0x8888", "mov r11, 0x9999",
            "movq xmm7, r11",
            "jmp r13",
            "2:",
            "mov [r12], rax", "mov [r12 + 8], rcx", "mov [r12 + 16], rdx", "mov [r12 + 24], rsi",
            "mov [r12 + 32], rdi", "mov [r12 + 40], r8", "mov [r12 + 48], r9", "mov [r12 + 56], r10",
            "mov [r12 + 64], r11",
            "mov rcx, rsp",
            "mov rdx, rbx",
            "movq rax, xmm7",
            "pop rbp",
            "pop rbx",
            inout("r12") registers.as_mut_ptr() => _,
            inout("r13") stub as *const () => _,
            out("rax") sse_after, out("rcx") stack_after, out("rdx") stack_before,
            out("rsi") _, out("rdi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r14") _, out("xmm7") _,
        );
    }
    assert_eq!(stack_after, stack_before);
    (registers, stack_after, sse_after)
}

#[test]
fn every_stub_records_its_own_vector_and_keeps_every_register() {
    let _turn = apic::turn();
    for (vector, stub) in (32u8..=255).zip(STUBS.as_flattened()) {
        let before = event(vector).count();
        let others = || (32u8..=255).filter(|v| *v != vector).map(|v| event(v).count() as u64).sum::<u64>();
        let others_before = others();
        let (registers, _, sse) = enter(*stub);
        assert_eq!(registers, [0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777, 0x8888, 0x9999]);
        assert_eq!(sse, 0x9999);
        assert_eq!(event(vector).count(), before.wrapping_add(1));
        assert_eq!(others(), others_before, "vector {vector} fired another one");
    }
}

#[test]
fn a_range_is_installed_and_nothing_else() {
    let mut table = InterruptDescriptorTable::new();
    let apic = LocalApic::stand_in();
    // SAFETY: the table is never loaded.
    unsafe { install(&mut table, 0x40, 8, Some(2), &apic) }.unwrap();
    let untouched = InterruptDescriptorTable::new();
    for vector in 32..=255u8 {
        let inside = (0x40..0x48).contains(&vector);
        assert_eq!(table[vector] != untouched[vector], inside, "{vector:#x}");
        if inside {
            let stub = STUBS.as_flattened()[usize::from(vector) - 32];
            assert_eq!(table[vector].handler_addr(), VirtAddr::from_ptr(stub as *const ()));
        }
    }
}

#[test]
fn the_last_vector_can_be_installed() {
    let mut table = InterruptDescriptorTable::new();
    // SAFETY: the table is never loaded.
    unsafe { install(&mut table, 32, 224, None, &LocalApic::stand_in()) }.unwrap();
    let last = STUBS[13][15];
    assert_eq!(table[255].handler_addr(), VirtAddr::from_ptr(last as *const ()));
}

#[test]
fn exceptions_and_ranges_past_the_end_are_refused() {
    let mut table = InterruptDescriptorTable::new();
    let apic = LocalApic::stand_in();
    for (first, count) in [(31, 1), (0, 255), (32, 225), (255, 2)] {
        // SAFETY: the table is never loaded.
        let result = unsafe { install(&mut table, first, count, None, &apic) };
        assert_eq!(result, Err(InstallError::Range { first, count }));
    }
    // SAFETY: the table is never loaded.
    let result = unsafe { install(&mut table, 0x40, 1, Some(7), &apic) };
    assert_eq!(result, Err(InstallError::StackIndex(7)));
}
