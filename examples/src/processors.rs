//! A second CPU, which takes the device's interrupts and does nothing else: started by INIT and SIPI (Intel SDM vol. 3, "Multiple-Processor
//! Management"), through real mode into the page tables of the first.

use crate::clock::Clock;
use crate::interrupts::SPURIOUS;
use crate::paging::DeviceMapper;
use crate::{interrupts, segments};
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use embedded_hal::delay::DelayNs;
use ivshmem::interrupt::{ApicError, ApicMode, LocalApic};
use ivshmem::mmio::{AccessError, Caching, MapError, Mapper, Region};
use x86_64::registers::model_specific::{ApicBase, Msr};

/// Where the CPU begins: a page below 1 MiB, whose number is the SIPI's vector. What is there is kept and put back.
const START: usize = 0x8000;
/// Where interrupt commands are written: in the page, and the MSR.
const COMMAND: usize = 0x300;
const COMMAND_HIGH: usize = 0x310;
const COMMAND_MSR: u32 = 0x830;
/// Of an interrupt command in xAPIC mode: it has not left yet.
const PENDING: u32 = 1 << 12;
/// INIT, asserted; and start-up at [`START`].
const INIT: u32 = 0x4500;
const STARTUP: u32 = 0x4600 | (START >> 12) as u32;
/// Bytes of a page of the local APIC's registers that are used.
const APIC_PAGE: u64 = 0x400;
/// How long the CPU may take, in milliseconds: a busy host delays it.
const PATIENCE_MS: u64 = 10_000;
#[cfg(target_os = "none")]
const STACK_BYTES: usize = 16 * 1024;

/// How far the other CPU is.
static STATE: AtomicU32 = AtomicU32::new(ABSENT);
const ABSENT: u32 = 0;
const READY: u32 = 1;
const REFUSED: u32 = 2;
/// The local APIC's page as the first CPU mapped it; 0 in x2APIC mode.
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// How many interrupts ended a halt of the other CPU.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Interrupts that the other CPU has taken, but for those that came while it took one.
pub fn taken() -> u32 {
    // Relaxed: a count.
    TAKEN.load(Ordering::Relaxed)
}

/// Why the CPU takes no interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessorError {
    /// An id that only x2APIC mode can address.
    Id(u32),
    /// The local APIC's page cannot be mapped.
    Map(MapError),
    /// It cannot be accessed.
    Access(AccessError),
    /// The command did not leave.
    Stuck,
    /// Nothing was heard of the CPU: there is none of this id.
    Silent(u32),
    /// Its local APIC cannot be used.
    Refused(u32),
}

impl fmt::Display for ProcessorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "the local APIC is in xAPIC mode, which cannot address {id}"),
            Self::Map(error) => write!(f, "the local APIC's page: {error}"),
            Self::Access(error) => write!(f, "the local APIC's page: {error}"),
            Self::Stuck => f.write_str("the local APIC does not send an interrupt command"),
            Self::Silent(id) => write!(f, "no CPU with the local APIC id {id} has started"),
            Self::Refused(id) => write!(f, "the local APIC of CPU {id} cannot be used"),
        }
    }
}

impl core::error::Error for ProcessorError {}

/// Starts the CPU with this local APIC id, in the mode that `own` is in, and returns once it takes interrupts. To be called once.
pub fn start(id: u32, mapper: &mut DeviceMapper, clock: Clock, own: &LocalApic) -> Result<(), ProcessorError> {
    let mut sender = Sender::new(own, mapper)?;
    // Relaxed: the CPU that reads it starts later.
    PAGE.store(sender.page.as_ref().map_or(0, |(page, _)| page.expose_provenance().get()), Ordering::Relaxed);
    with_code_below_1_mib(|| {
        let mut clock = clock;
        // The waits are the SDM's.
        sender.send(id, INIT)?;
        clock.delay_ms(10);
        for _ in 0..2 {
            sender.send(id, STARTUP)?;
            clock.delay_us(200);
        }
        let start = clock.ticks();
        let patience = clock.from_us(PATIENCE_MS * 1000);
        loop {
            // Acquire: what the CPU did before it is ready is seen.
            match STATE.load(Ordering::Acquire) {
                READY => return Ok(()),
                REFUSED => return Err(ProcessorError::Refused(id)),
                _ if clock.ticks().wrapping_sub(start) > patience => return Err(ProcessorError::Silent(id)),
                _ => core::hint::spin_loop(),
            }
        }
    })
}

/// Sends interrupt commands.
struct Sender {
    /// In xAPIC mode.
    page: Option<(NonNull<u8>, Region)>,
}

impl Sender {
    fn new(own: &LocalApic, mapper: &mut DeviceMapper) -> Result<Self, ProcessorError> {
        if own.mode() == ApicMode::X2Apic {
            return Ok(Self { page: None });
        }
        // SAFETY: ring 0, and the CPU has a local APIC, as `own` shows.
        let base = unsafe { ApicBase::MSR.read() } & 0x000F_FFFF_FFFF_F000;
        // SAFETY: the register says that the local APIC is there.
        let page = unsafe { mapper.map(base, APIC_PAGE, Caching::Uncached) }.map_err(ProcessorError::Map)?;
        // SAFETY: the mapper promises that the page is mapped for ever, and pages are aligned.
        let region = unsafe { Region::new(page, APIC_PAGE as usize) };
        Ok(Self { page: Some((page, region)) })
    }

    fn send(&mut self, id: u32, command: u32) -> Result<(), ProcessorError> {
        let Some((_, page)) = &self.page else {
            // SAFETY: ring 0, in x2APIC mode, which has this register; INIT and start-up of another CPU change no memory of Rust's.
            unsafe { Msr::new(COMMAND_MSR).write(u64::from(id) << 32 | u64::from(command)) };
            return Ok(());
        };
        let id = u8::try_from(id).map_err(|_| ProcessorError::Id(id))?;
        page.write32(COMMAND_HIGH, u32::from(id) << 24).map_err(ProcessorError::Access)?;
        page.write32(COMMAND, command).map_err(ProcessorError::Access)?;
        for _ in 0..1_000_000 {
            if page.read32(COMMAND).map_err(ProcessorError::Access)? & PENDING == 0 {
                return Ok(());
            }
        }
        Err(ProcessorError::Stuck)
    }
}

/// Runs `work` while the code that a CPU starts with is at [`START`].
fn with_code_below_1_mib<T>(work: impl FnOnce() -> T) -> T {
    let code = code();
    let there: *mut u8 = core::ptr::with_exposed_provenance_mut(START);
    let mut before = [0; MOST_CODE];
    let length = code.len().min(MOST_CODE);
    // SAFETY: the page is memory that the boot page tables map one to one; nothing of the image lies there.
    unsafe { there.copy_to_nonoverlapping(before.as_mut_ptr(), length) };
    // SAFETY: as above, and the code is elsewhere.
    unsafe { there.copy_from_nonoverlapping(code.as_ptr(), length) };
    let result = work();
    // SAFETY: as above; the other CPU has left the page, or never came.
    unsafe { there.copy_from_nonoverlapping(before.as_ptr(), length) };
    result
}

const MOST_CODE: usize = 256;

/// The CPU's first Rust code, on a stack of its own, in long mode with the first one's page tables.
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "only an image starts CPUs"))]
extern "sysv64" fn run() -> ! {
    segments::init(&segments::OTHER);
    interrupts::load();
    // Release: what was done here is done for whoever sees the state.
    STATE.store(if attach().is_ok() { READY } else { REFUSED }, Ordering::Release);
    loop {
        x86_64::instructions::interrupts::enable_and_hlt();
        // Only this CPU writes it, and no interrupt that it takes does.
        TAKEN.store(TAKEN.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

fn attach() -> Result<(), ApicError> {
    let page = NonNull::new(core::ptr::with_exposed_provenance_mut(PAGE.load(Ordering::Relaxed)));
    if page.is_none() {
        // SAFETY: ring 0, and nothing on this CPU has used its local APIC.
        unsafe { LocalApic::enter_x2apic() }?;
    }
    // SAFETY: ring 0; every CPU that runs is in the same mode now, and in xAPIC mode has its page at the same address, as after reset.
    let mut apic = unsafe { LocalApic::attach(&mut Mapped(page)) }?;
    apic.enable(SPURIOUS)
}

/// The local APIC's page, mapped already.
struct Mapped(Option<NonNull<u8>>);

// SAFETY: what it gives is the page that the first CPU's mapper mapped for ever, as registers, at the address where every CPU has its own;
// that no other address is asked for is what `attach` does.
unsafe impl Mapper for Mapped {
    unsafe fn map(&mut self, physical: u64, length: u64, _: Caching) -> Result<NonNull<u8>, MapError> {
        self.0.ok_or(MapError::Unreachable { physical, length })
    }
}

#[cfg(target_os = "none")]
core::arch::global_asm!(
    r#"
    .section .bss.processor, "aw", @nobits
    .balign 16
    .skip {stack_bytes}
processor_stack_top:

    .section .rodata.processor, "a", @progbits
    .global processor_begin
    .global processor_end
    .code16
processor_begin:
    cli
    cld
    mov ax, cs
    mov ds, ax
    .byte 0x66, 0x0F, 0x01, 0x16    // lgdt with a base of 32 bits
    .short processor_gdt_pointer - processor_begin
    mov eax, 1 << 5                 // PAE
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, 0xC0000080             // EFER
    rdmsr
    or eax, (1 << 8) | (1 << 11)    // LME, NXE
    wrmsr
    mov eax, (1 << 31) | (1 << 16) | (1 << 4) | 1   // PG, WP, ET, PE: caches on, from real into long mode
    mov cr0, eax
    .byte 0x66, 0xEA                // a far jump of 32 bits
    .long processor_long
    .short 0x08
processor_gdt_pointer:
    .short 23
    .long boot_gdt
processor_end:

    .section .text.processor, "ax", @progbits
    .code64
processor_long:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lea rsp, [rip + processor_stack_top]
    xor ebp, ebp
    call {run}
    ud2
    "#,
    stack_bytes = const STACK_BYTES,
    run = sym run,
);

/// The code that a CPU starts with: position independent, but for what it refers to in the image.
#[cfg(target_os = "none")]
fn code() -> &'static [u8] {
    unsafe extern "C" {
        static processor_begin: u8;
        static processor_end: u8;
    }
    let (begin, end) = (&raw const processor_begin, &raw const processor_end);
    // SAFETY: both symbols are of the one section above, the end after the beginning, and what is between them is constant.
    unsafe { core::slice::from_raw_parts(begin, end.addr() - begin.addr()) }
}

#[cfg(not(target_os = "none"))]
fn code() -> &'static [u8] {
    &[]
}
