//! MSI-X: capability, where the table and the pending bits lie, message composition, enabling and masking.
//!
//! PCI Local Bus specification 3.0, 6.8.2. What QEMU and ACRN make of it is in [`crate::device::quirks`].

mod arrived;
mod capability;
mod error;
mod interrupts;
mod message;
mod placement;
mod table;

pub use arrived::Arrived;
pub use capability::{Capability, Location};
pub use error::MsixError;
pub use interrupts::Interrupts;
pub use message::{Message, MessageError};
pub use placement::{BarExtent, Placement};

pub(crate) use interrupts::Vectors;
#[cfg(target_arch = "x86_64")]
pub(crate) use table::MASK;

/// The most vectors a function can have (PCI 3.0, 6.8.2.3: Table Size is 11 bits, encoded as N - 1).
pub const MAX_VECTORS: u16 = 2048;
