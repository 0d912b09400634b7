//! Storm defence: a vector that is rung more often than its owner allows is masked until the owner has drained.
//!
//! A peer may ring without end, and each doorbell costs this side an interrupt. Only the handler is sure to run then, so it is the
//! handler that masks: it compares its own count with a bound that the owner set, and past it makes one register write. No clock,
//! no loop, nothing that the peer can steer but the number of calls; and after the write there are none.

use super::Vector;
use crate::log::log;
use crate::mmio::Region;
use crate::msix::{Interrupts, MsixError};
use crate::notify::Event;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// In the record of a vector: how far its count may go, and what masks it.
#[derive(Debug)]
pub(super) struct Bound {
    /// Virtual address of the table entry's Vector Control; 0 without a guard.
    control: AtomicUsize,
    /// What is written there: Vector Control as the owner found it, with Mask.
    masked: AtomicU32,
    /// The last count that is allowed.
    last: AtomicU32,
    /// Whether the handler has masked the vector since the owner looked.
    tripped: AtomicBool,
}

impl Bound {
    pub(super) const fn new() -> Self {
        Self {
            control: AtomicUsize::new(0),
            masked: AtomicU32::new(0),
            last: AtomicU32::new(0),
            tripped: AtomicBool::new(false),
        }
    }

    /// In the handler, with the count that this firing made: masks the vector if it is past the bound.
    pub(super) fn check(&self, count: u32) {
        // Acquire: the other words are those of the guard that stored this address.
        let control = self.control.load(Ordering::Acquire);
        // Relaxed: on another CPU the owner may be opening a window at this moment; to mask by the old bound does no harm.
        let beyond = count.wrapping_sub(self.last.load(Ordering::Relaxed));
        let Some(control) = NonNull::new(core::ptr::with_exposed_provenance_mut(control)) else { return };
        if !(1..=BEYOND).contains(&beyond) {
            return;
        }
        // SAFETY: the address is that of a Vector Control register which `StormGuard::new` took from a mapped table; it is
        // aligned to 4, and mappings of the driver stay for ever.
        let control = unsafe { Region::new(control, 4) };
        let _ = control.write32(0, self.masked.load(Ordering::Relaxed));
        // Release, and after the write: an owner that sees it unmasks after this mask and not before it.
        self.tripped.store(true, Ordering::Release);
    }
}

/// Half of all counts are beyond a bound, the other half not yet.
const BEYOND: u32 = 1 << 31;

/// Bounds how often a device's vector fires between two of its owner's looks.
///
/// Drain the channels, then call [`next_window`](Self::next_window); again and again, at least once a poll period. What fires more often
/// than the limit in between is masked by its handler, and unmasked by that call. While it is masked the owner polls as it does
/// anyway; a sleeper that is rung no more wakes at its wait's bound.
#[derive(Debug)]
#[must_use = "the guard ends when it is dropped"]
pub struct StormGuard {
    vector: &'static Vector,
    msix_vector: u16,
    limit: u32,
    storms: u32,
}

impl StormGuard {
    /// Lets `msix_vector` of `interrupts`, whose message raises the IDT vector of `vector`, fire `limit` times a window; 0 masks it
    /// at each firing. The first window begins now. Limits above 2^31 - 1 count as that.
    ///
    /// One guard a vector: a second one takes the place of the first.
    pub fn new(
        interrupts: &Interrupts,
        msix_vector: u16,
        vector: &'static Vector,
        limit: u32,
    ) -> Result<Self, MsixError> {
        let (address, control) = interrupts.vector_control(msix_vector)?;
        let limit = limit.min(BEYOND.wrapping_sub(1));
        let bound = vector.bound();
        // Relaxed, all: the address is stored last, with Release.
        bound.control.store(0, Ordering::Relaxed);
        bound.masked.store(control | crate::msix::MASK, Ordering::Relaxed);
        bound.tripped.store(false, Ordering::Relaxed);
        bound.last.store(vector.count().wrapping_add(limit), Ordering::Relaxed);
        // Release: pairs with the handler's Acquire.
        bound.control.store(address, Ordering::Release);
        Ok(Self { vector, msix_vector, limit, storms: 0 })
    }

    /// Begins the next window, after a drain. If the last one was a storm, unmasks the vector and returns `true`: look at the
    /// channels once more, for what was rung while it was masked is lost on some hypervisors.
    ///
    /// No register access unless there was a storm; then one read and one write.
    pub fn next_window(&mut self, interrupts: &mut Interrupts) -> Result<bool, MsixError> {
        let bound = self.vector.bound();
        bound.last.store(self.vector.count().wrapping_add(self.limit), Ordering::Relaxed);
        // Acquire: the handler's mask is written before this unmasks. One that masks after this look is found by the next.
        if !bound.tripped.load(Ordering::Acquire) {
            return Ok(false);
        }
        bound.tripped.store(false, Ordering::Relaxed);
        self.storms = self.storms.saturating_add(1);
        log!(warn, "vector {=u16} fired more than {=u32} times in a window", self.msix_vector, self.limit);
        interrupts.unmask(self.msix_vector).map(|()| true)
    }

    /// Windows that were storms; saturates.
    pub const fn storms(&self) -> u32 {
        self.storms
    }
}

impl Drop for StormGuard {
    /// Ends the guard. A vector that is masked then stays so, until [`Interrupts::unmask`].
    fn drop(&mut self) {
        // Relaxed: a handler that still sees the address masks once more.
        self.vector.bound().control.store(0, Ordering::Relaxed);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for StormGuard {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "StormGuard {{ vector: {=u16}, limit: {=u32}, storms: {=u32} }}",
            self.msix_vector,
            self.limit,
            self.storms
        );
    }
}

#[cfg(test)]
mod tests;
