//! The ivshmem function: finding and opening it, its registers, its memory, its interrupts.
//!
//! [`Device::open`] looks at configuration space once and writes down what it found in a [`Layout`]; everything after that
//! comes from the layout. [`Device::with_layout`] takes one from elsewhere, for a core that must not cause a VM exit.
//!
//! Sources: QEMU `docs/specs/ivshmem-spec.rst` and `hw/misc/ivshmem-pci.c`, ACRN `hypervisor/dm/vpci/ivshmem.c`.

mod doorbell;
mod error;
mod find;
mod layout;
mod open;
pub mod quirks;
mod selector;
mod speed;

pub use doorbell::{DoorbellRegister, RingError};
pub use error::{DeviceGone, OpenError};
pub use find::{find, is_ivshmem};
pub use layout::{Layout, Options, Vectors};
pub use open::{Device, Kind};
pub use selector::{Selector, SelectorError};
pub use speed::MemorySpeed;

/// BAR0's registers, at byte offsets from its start.
///
/// ```text
/// 0x0 IntrMask   0x4 IntrStatus (cleared by reading)   0x8 IVPosition (read only)   0xC Doorbell (write only)
/// ```
/// The first two do nothing in revision 1 and are never touched.
mod register {
    /// Bytes of BAR0, by definition: it is never sized, because ACRN up to v3.2 forgets IVPosition when it is.
    pub(super) const BAR0_SIZE: u64 = 256;
    /// Bytes of BAR0 that hold registers.
    pub(super) const USED: u64 = 16;
    /// The device's own id.
    pub(super) const IV_POSITION: usize = 0x8;
    /// Peer in bits 31 to 16, vector in bits 15 to 0.
    pub(super) const DOORBELL: usize = 0xC;
}

#[cfg(test)]
mod tests;
