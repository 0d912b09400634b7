//! Driver and mailbox for the ivshmem PCI device, for real-time partitions beside a general-purpose VM.
//!
//! From bottom to top:
//!
//! | module | does |
//! |---|---|
//! | [`pci`] | finds functions in configuration space, by port I/O or ECAM, and reads their BARs |
//! | [`mmio`] | maps physical addresses, with a caching attribute |
//! | [`hotplug`] | notices functions that come and go, and lets them go in order |
//! | [`device`] | opens the ivshmem function: its memory, its id, its doorbell |
//! | [`msix`] | sets up its interrupts |
//! | [`interrupt`] | takes them on x86_64: entry stubs, local APIC, one event for each vector |
//! | [`memory`] | the only place that touches inter-VM memory |
//! | [`notify`] | the traits between a channel and whatever rings and wakes |
//! | [`channel`] | the mailbox: start reading here, and with the README's example |
//!
//! `channel`, `memory` and `notify` know nothing of hardware: a Linux peer compiles the same code.
//!
//! Features: `defmt` logs discovery, state changes and errors and implements `defmt::Format` on public types;
//! `embedded-io` and `embedded-io-async` make byte streams, `zerocopy` channels of values;
//! `pci_types` and `virtio-drivers` take configuration space through the traits of these crates, and give it to them;
//! `fake` (needs `std`, on Unix) adds stand-ins for configuration space, device and memory, for tests;
//! `protection` adds protected channels.
//!
//! Nothing allocates, and nothing that a device or a peer does makes it panic. The minimum supported Rust version is
//! 1.95, the oldest that the tests run on.
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

#[cfg(not(target_endian = "little"))]
compile_error!("the wire format is little-endian, and so must be the machine");

#[cfg(any(test, loom, feature = "fake"))]
extern crate std;

mod control;
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
pub mod hotplug;
#[cfg(target_arch = "x86_64")]
pub mod interrupt;
pub mod memory;
pub mod mmio;
pub mod msix;
pub mod notify;
pub mod pci;
mod sync;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
