//! Generic PCI: addresses, configuration access, headers, BARs, capabilities, enumeration. Knows nothing of ivshmem.
//!
//! Everything here reads and writes configuration space through [`ConfigAccess`], which [`Ecam`], [`PortIo`] and [`Access`] implement
//! (and `fake::config` for tests). A kernel that has its own access implements it, or has an adapter already: the features `pci_types` and
//! `virtio-drivers`. [`auto`] picks the mechanism, [`functions`] yields what is there, and [`Header`], [`bar`], [`size_bar`] and
//! [`capabilities`] look closer.
//! [`assign`] gives BARs a place that firmware did not, through any [`Bridge`]; nothing else here changes what is assigned. Whatever configuration space contains, each call ends after a number of reads that its documentation states.

mod access;
mod address;
mod assign;
mod auto;
mod bar;
mod bridge;
mod capability;
mod ecam;
#[cfg(any(feature = "pci_types", feature = "virtio-drivers"))]
mod foreign;
mod header;
mod mcfg;
#[cfg(feature = "pci_types")]
pub mod pci_types;
#[cfg(test)]
mod physical;
#[cfg(target_arch = "x86_64")]
pub(crate) mod port_io;
#[cfg(feature = "virtio-drivers")]
pub mod virtio_drivers;
mod walk;

pub use access::{Buses, ConfigAccess};
pub use address::{Address, AddressError};
pub use assign::{AssignError, Assigned, Windows, assign, number_buses, root_buses};
pub use auto::{Access, AutoError, auto};
pub use bar::{Bar, BarError, BarRange, Width, bar, size_bar};
pub use bridge::{Bridge, BridgeError, BusNumbers, Window};
pub use capability::{Capabilities, Capability, CapabilityError, capabilities, find_capability};
pub use ecam::{Allocation, AllocationError, BUS_SIZE, Ecam, EcamError, MAX_ALLOCATIONS};
pub use header::{Command, Function, Header, Status};
pub use mcfg::{Mcfg, McfgError};
#[cfg(target_arch = "x86_64")]
pub use port_io::PortIo;
pub use walk::{Functions, functions};
