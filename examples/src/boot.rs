//! From PVH's 32-bit entry to Rust in long mode.
//!
//! PVH (Xen's `docs/misc/pvh.pandoc`): QEMU finds the note of type 18, jumps to its address in 32-bit protected
//! mode without paging, with the physical address of `hvm_start_info` in EBX.
//!
//! The boot page tables map the first GiB one to one, write-back, but for the guard below the stack. Everything
//! else (ACPI tables, local APIC, ECAM, BARs) is mapped on demand, see [`crate::paging`].

/// Bytes of stack of an image, at the very start of it.
pub const STACK_BYTES: usize = 64 * 1024;

#[cfg(target_os = "none")]
core::arch::global_asm!(
    r#"
    .section .note.pvh, "a", @note
    .balign 4
    .long 4                         // bytes of the name
    .long 8                         // bytes of the entry's address; QEMU reads 8 of an ELF64 file
    .long 18                        // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_entry
    .long 0

    .section .stack, "aw", @nobits
    .balign 4096
    .skip {stack_bytes}
stack_top:

    .section .text.boot, "ax", @progbits
    .code32
    .global pvh_entry
pvh_entry:
    cli
    cld
    mov eax, cr4
    or eax, 1 << 5                  // PAE
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, 0xC0000080             // EFER
    rdmsr
    or eax, (1 << 8) | (1 << 11)    // LME, and NXE: the mapper sets no-execute
    wrmsr
    mov eax, cr0
    or eax, (1 << 31) | (1 << 16)   // PG, WP
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    ljmp 0x08, offset long_mode
    .code64
long_mode:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lea rsp, [rip + stack_top]
    xor ebp, ebp
    mov edi, ebx                    // start info; the upper half becomes 0
    call image_start                // made by `image!`
    ud2

    .section .rodata.boot, "a", @progbits
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF        // 64-bit code
    .quad 0x00CF93000000FFFF        // data
boot_gdt_pointer:
    .short boot_gdt_pointer - boot_gdt - 1
    .quad boot_gdt

    .section .data.boot, "aw", @progbits
    .balign 4096
boot_pml4:
    .quad boot_pdpt + 3             // present, writable
    .fill 511, 8, 0
boot_pdpt:
    .quad boot_pd + 3
    .fill 511, 8, 0
boot_pd:
    .quad 0x83                      // present, writable, 2 MiB
    .quad 0                         // the guard below the stack: 2 MiB to 4 MiB
    .set address, 0x400000
    .rept 510
    .quad address + 0x83
    .set address, address + 0x200000
    .endr
    "#,
    stack_bytes = const STACK_BYTES,
);
