//! The small runtime under the bare-metal images, and nothing an image could do without.
//!
//! An image is a binary of this package that calls [`image!`]. It boots through PVH ([`boot`]), gets a
//! [`machine::Machine`], talks on COM1 ([`serial`]: text, one event a line) and COM2 ([`logger`]: defmt), and ends
//! through isa-debug-exit ([`exit`]). Read [`machine`] first: it puts the other modules in order.
//!
//! On a host the crate only checks, lints and runs the unit tests of its pure parts.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod announcer;
pub mod boot;
pub mod clock;
pub mod exceptions;
pub mod executor;
pub mod exit;
pub mod failure;
pub mod interrupts;
pub mod logger;
pub mod machine;
pub mod mechanism;
pub mod options;
pub mod paging;
pub mod pic;
pub mod response;
pub mod segments;
pub mod serial;
pub mod service;
pub mod start_info;
pub mod station;
pub mod timer;
