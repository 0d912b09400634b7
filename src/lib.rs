#![doc = "Driver and mailbox for the ivshmem PCI device."]
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]
#![warn(missing_docs)]

#[cfg(any(test, feature = "fake"))]
extern crate std;

mod log;

pub mod channel;
pub mod device;
#[cfg(any(test, feature = "fake"))]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
pub mod fake;
#[cfg(target_arch = "x86_64")]
pub mod interrupt;
pub mod memory;
pub mod mmio;
pub mod msix;
pub mod notify;
pub mod pci;
