//! The local APIC (Intel SDM vol. 3, chapter 11), in xAPIC mode through its page or in x2APIC mode through MSRs.
//!
//! The mode is found at run time. A VM with a passed-through local APIC on ACRN has to be in x2APIC mode, where the page does
//! not answer; QEMU 7.2's TCG has only xAPIC.

use crate::mmio::{Caching, MapError, Mapper, Region};
use core::arch::x86_64::__cpuid;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags, Msr};

/// Bytes of the register page that are used.
const PAGE: u64 = 0x400;

/// Byte offsets in the register page; in x2APIC mode MSR 800h + offset / 16.
#[derive(Clone, Copy)]
enum Register {
    Id = 0x20,
    TaskPriority = 0x80,
    EndOfInterrupt = 0xB0,
    SpuriousVector = 0xF0,
    TimerVector = 0x320,
    InitialCount = 0x380,
    CurrentCount = 0x390,
    Divide = 0x3E0,
}

/// Software Enable, in the spurious vector register.
const SOFTWARE_ENABLE: u32 = 1 << 8;
/// Mask, in a local vector register.
const MASKED: u32 = 1 << 16;
/// Periodic mode, in the timer's local vector register.
const PERIODIC: u32 = 1 << 17;
/// Divide by 1.
const DIVIDE_BY_1: u32 = 0b1011;

/// How the local APIC's registers are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ApicMode {
    /// Through a page of physical memory.
    XApic,
    /// Through model-specific registers.
    X2Apic,
}

/// Why the local APIC cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ApicError {
    /// The CPU has none, or it is disabled in IA32_APIC_BASE.
    Absent,
    /// The CPU has no x2APIC mode.
    NoX2Apic,
    /// A vector below 32, or a spurious vector below 32.
    Vector(u8),
    /// A timer period of 0 ticks.
    NoPeriod,
    /// The register page could not be mapped.
    Map(MapError),
}

impl fmt::Display for ApicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("the CPU has no enabled local APIC"),
            Self::NoX2Apic => f.write_str("the CPU has no x2APIC mode"),
            Self::Vector(vector) => write!(f, "vector {vector} is below 32 and belongs to the CPU's exceptions"),
            Self::NoPeriod => f.write_str("a timer period of 0 ticks"),
            Self::Map(error) => write!(f, "the local APIC's registers cannot be mapped: {error}"),
        }
    }
}

impl core::error::Error for ApicError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Map(error) => Some(error),
            _ => None,
        }
    }
}

impl From<MapError> for ApicError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

/// The local APIC of the CPU that uses the value.
#[derive(Debug)]
pub struct LocalApic {
    /// The page in xAPIC mode, `None` in x2APIC mode.
    page: Option<Region>,
    /// Cached: each read is a VM exit of microseconds on ACRN.
    id: u32,
}

impl LocalApic {
    /// Switches this CPU's local APIC to x2APIC mode. Call [`attach`](Self::attach) afterwards.
    ///
    /// ACRN delivers to a VM with `lapic_passthrough` only when every CPU of it is in this mode.
    ///
    /// # Safety
    /// In ring 0. Nothing uses the local APIC's page from now on.
    pub unsafe fn enter_x2apic() -> Result<(), ApicError> {
        check_present()?;
        if __cpuid(1).ecx & 1 << 21 == 0 {
            return Err(ApicError::NoX2Apic);
        }
        let mut base = ApicBase::MSR;
        // SAFETY: the CPU has a local APIC, hence the register; the caller promises ring 0.
        let value = unsafe { base.read() };
        let enabled = ApicBaseFlags::LAPIC_ENABLE.bits() | ApicBaseFlags::X2APIC_ENABLE.bits();
        // SAFETY: the CPU has the mode; from xAPIC mode and from x2APIC mode this write is legal, and the caller
        // promises that nothing uses the page any more.
        unsafe { base.write(value | enabled) };
        Ok(())
    }

    /// Finds this CPU's local APIC in whichever mode it is, and makes it the one at which the stubs end interrupts.
    ///
    /// # Safety
    /// In ring 0. Every CPU on which stubs of [`install`](super::install) run has its local APIC in the same mode and, in xAPIC mode,
    /// at the same address; after a change of mode this is called again before interrupts are on.
    pub unsafe fn attach(mapper: &mut impl Mapper) -> Result<Self, ApicError> {
        check_present()?;
        // SAFETY: the CPU has a local APIC, hence the register; the caller promises ring 0.
        let base = unsafe { ApicBase::MSR.read() };
        if base & ApicBaseFlags::LAPIC_ENABLE.bits() == 0 {
            return Err(ApicError::Absent);
        }
        if base & ApicBaseFlags::X2APIC_ENABLE.bits() != 0 {
            END.store(X2APIC, Ordering::Relaxed);
            let mut apic = Self { page: None, id: 0 };
            apic.id = apic.read(Register::Id);
            return Ok(apic);
        }
        // SAFETY: IA32_APIC_BASE gives the address of this CPU's local APIC registers.
        let page = unsafe { mapper.map(base & 0x000F_FFFF_FFFF_F000, PAGE, Caching::Uncached) }?;
        // SAFETY: the mapper promises that the page is mapped for ever; pages are aligned.
        Ok(unsafe { Self::from_page(page) })
    }

    /// # Safety
    /// `page` is a mapped register page of a local APIC in xAPIC mode, for ever, or memory that stands in for one.
    unsafe fn from_page(page: NonNull<u8>) -> Self {
        // SAFETY: the caller's promise.
        let region = unsafe { Region::new(page, PAGE as usize) };
        END.store(page.expose_provenance().get(), Ordering::Relaxed);
        let mut apic = Self { page: Some(region), id: 0 };
        apic.id = apic.read(Register::Id) >> 24;
        apic
    }

    /// A local APIC for tests that reach no register of it.
    #[cfg(test)]
    pub(super) fn stand_in() -> Self {
        Self { page: None, id: 0 }
    }

    /// How the registers are reached.
    pub fn mode(&self) -> ApicMode {
        if self.page.is_some() { ApicMode::XApic } else { ApicMode::X2Apic }
    }

    /// This CPU's id: the destination of a [`Message`](crate::msix::Message).
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Accepts interrupts of every priority; spurious ones go to `spurious_vector`, whose handler must not end them: it is
    /// 32 or above, and none of the stubs' vectors.
    pub fn enable(&mut self, spurious_vector: u8) -> Result<(), ApicError> {
        check_vector(spurious_vector)?;
        self.write(Register::TaskPriority, 0);
        self.write(Register::SpuriousVector, SOFTWARE_ENABLE | u32::from(spurious_vector));
        Ok(())
    }

    /// Ends the interrupt in service.
    pub fn end_of_interrupt(&mut self) {
        self.write(Register::EndOfInterrupt, 0);
    }

    /// Raises `vector` every `ticks` of the timer's clock (bus or crystal, undivided; 1 GHz on QEMU). Restarts a running timer.
    pub fn start_timer(&mut self, vector: u8, ticks: u32) -> Result<(), ApicError> {
        check_vector(vector)?;
        if ticks == 0 {
            return Err(ApicError::NoPeriod);
        }
        self.write(Register::Divide, DIVIDE_BY_1);
        self.write(Register::TimerVector, PERIODIC | u32::from(vector));
        self.write(Register::InitialCount, ticks);
        Ok(())
    }

    /// Stops the timer. An interrupt of it may still be on its way.
    pub fn stop_timer(&mut self) {
        self.write(Register::TimerVector, MASKED);
        self.write(Register::InitialCount, 0);
    }

    /// Ticks left in this period of the timer, to measure its clock by.
    pub fn timer_count(&self) -> u32 {
        self.read(Register::CurrentCount)
    }

    fn read(&self, register: Register) -> u32 {
        match &self.page {
            // Never outside: every register lies below PAGE.
            Some(page) => page.read32(register as usize).unwrap_or(0),
            // SAFETY: this CPU is in x2APIC mode, as `attach` found it in ring 0, and has these registers then.
            None => unsafe { msr(register).read() as u32 },
        }
    }

    fn write(&mut self, register: Register, value: u32) {
        match &self.page {
            Some(page) => {
                let _ = page.write32(register as usize, value);
            }
            // SAFETY: as for reading; the values set no reserved bit of these registers.
            None => unsafe { msr(register).write(value.into()) },
        }
    }
}

const fn msr(register: Register) -> Msr {
    Msr::new(0x800 | register as u32 >> 4)
}

fn check_present() -> Result<(), ApicError> {
    if __cpuid(1).edx & 1 << 9 == 0 { Err(ApicError::Absent) } else { Ok(()) }
}

fn check_vector(vector: u8) -> Result<(), ApicError> {
    if vector < 32 { Err(ApicError::Vector(vector)) } else { Ok(()) }
}

/// How the stubs end an interrupt: 0 not at all, [`X2APIC`], or the virtual address of the register page.
///
/// One word, so that a handler never sees half of a change.
static END: AtomicUsize = AtomicUsize::new(0);
/// No page has this address.
const X2APIC: usize = 1;

/// Ends the interrupt in service, for the stubs.
#[cfg_attr(target_feature = "avx", allow(dead_code, reason = "builds with AVX have no stubs"))]
pub(super) fn end_of_interrupt() {
    // Relaxed: stored before the CPU that stored it let interrupts in; other CPUs are started after it.
    match END.load(Ordering::Relaxed) {
        0 => {}
        // SAFETY: `attach` found x2APIC mode, and was promised the same of every CPU that runs stubs, in ring 0.
        X2APIC => unsafe { msr(Register::EndOfInterrupt).write(0) },
        page => {
            if let Some(page) = NonNull::new(core::ptr::with_exposed_provenance_mut(page)) {
                // SAFETY: the address is that of the page which `from_page` was promised to be mapped for ever.
                let page = unsafe { Region::new(page, PAGE as usize) };
                let _ = page.write32(Register::EndOfInterrupt as usize, 0);
            }
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for LocalApic {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "LocalApic {{ mode: {}, id: {=u32} }}", self.mode(), self.id);
    }
}

/// [`END`] is one for the program: tests that set it, or run a stub, take turns, and leave it 0.
#[cfg(test)]
pub(super) fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
