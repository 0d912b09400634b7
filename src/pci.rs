//! Generic PCI: addresses, configuration access, headers, BARs, capabilities, enumeration. Knows nothing of ivshmem.

mod access;
mod address;

pub use access::ConfigAccess;
pub use address::{Address, AddressError};
