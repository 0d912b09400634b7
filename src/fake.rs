//! Stand-ins for hardware and peers, for tests of code that uses this crate.

pub mod config;
pub mod memory;
