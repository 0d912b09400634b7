//! Stand-ins for hardware and peers, for tests of code that uses this crate. They use `std`.

pub mod acrn;
pub mod cloud_hypervisor;
pub mod config;
pub mod drive;
pub mod hotplug;
pub mod input;
pub mod machine;
pub mod memory;
mod pages;
#[cfg(target_arch = "x86_64")]
pub mod ports;
pub mod registers;
pub mod stratovirt;
pub mod topology;
pub mod vm;
