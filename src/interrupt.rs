//! Interrupt delivery on x86_64: entry stubs, the local APIC, and what a vector's firing does.
//!
//! A handler only records that its vector fired, wakes the waker registered for it, and ends the interrupt: a
//! bounded number of steps, nothing that a peer can steer, no lock. Of a vector with a [`StormGuard`] it also masks a storm.
//!
//! A bare-metal image calls [`LocalApic::attach`], [`LocalApic::enable`] and [`install`]. An RTOS that has its own table and
//! ends interrupts itself calls [`on_interrupt`], or that of a [`Vector`] of its own, from its handler, and needs nothing else of this module.

mod apic;
mod storm;
#[cfg(not(target_feature = "avx"))]
mod stubs;
mod vector;
mod wait;

pub use apic::{ApicError, ApicMode, LocalApic};
pub use storm::StormGuard;
#[cfg(not(target_feature = "avx"))]
pub use stubs::{InstallError, install};
pub use vector::{Vector, event, on_interrupt};
pub use wait::{HltWait, tsc};
