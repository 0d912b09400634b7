//! The kernel's interrupt table and local APIC, and what of them the driver needs: a vector, and a call when it fires.

use axstd::os::arceos::modules::axhal;
use core::fmt;
use core::ops::RangeInclusive;
use ivshmem::interrupt::{StormGuard, Vector};
use ivshmem::msix::{Interrupts, MsixError};
use ivshmem::notify::Event;
use ivshmem::pci::ConfigAccess;

/// Interrupts in a tick of 10 ms that are no storm yet.
const STORM: u32 = 640;

/// The vectors that the kernel leaves to anybody.
///
/// Above the local APIC's own (timer F0h to IPI F3h): of one below, the kernel would unmask the I/O APIC's pin with that number, whether
/// there is one or not. FFh is the spurious vector of many local APICs at reset.
const FREE: RangeInclusive<u8> = 0xF4..=0xFE;

/// The device's vector. Not the driver's table of all: a handler of this kernel is not told which vector fired.
static DOORBELL: Vector = Vector::new();

/// The handler. The kernel has saved the registers, and ends the interrupt at its local APIC afterwards.
///
/// It may wake a task: the kernel's wakers take locks that are only ever held with interrupts off, and so does the heap, to which the last
/// of a waker goes back.
fn fired() {
    DOORBELL.on_interrupt();
}

/// Registers the handler at the first free vector, and gives the vector. The kernel allocates none: it refuses those that are taken.
pub fn register() -> Option<u8> {
    FREE.into_iter().find(|vector| axhal::irq::register(usize::from(*vector), fired))
}

/// Every vector that is left to anybody is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoVector;

impl fmt::Display for NoVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every interrupt vector is taken")
    }
}

impl core::error::Error for NoVector {}

/// The device's interrupts, on one vector.
#[derive(Debug)]
pub struct Reception {
    vector: u8,
    guard: StormGuard,
    interrupts: Interrupts,
}

impl Reception {
    /// `interrupts` are enabled for one message, with this vector.
    pub fn new(vector: u8, interrupts: Interrupts) -> Result<Self, MsixError> {
        let guard = StormGuard::new(&interrupts, 0, &DOORBELL, STORM)?;
        Ok(Self { vector, guard, interrupts })
    }

    /// How often it fired, and whom to wake.
    pub fn event(&self) -> &'static Vector {
        &DOORBELL
    }

    /// Once a tick: what a peer rang too often to bear is let in again.
    pub fn end_storm(&mut self) {
        // Only a vector that is not in use is refused, and this one is.
        if self.guard.next_window(&mut self.interrupts) == Ok(true) {
            DOORBELL.wake();
        }
    }

    /// Disables the device's interrupts, gives the vector back, and says how many came and in how many ticks too many.
    pub fn close(self, access: &impl ConfigAccess) -> Result<(u32, u32), MsixError> {
        let Self { vector, guard, interrupts } = self;
        let (count, storms) = (DOORBELL.count(), guard.storms());
        drop(guard);
        interrupts.close(access)?;
        axhal::irq::unregister(usize::from(vector));
        Ok((count, storms))
    }
}
