//! Drives a part of this crate from a string of bytes, against whatever a hostile peer or device can do, and panics if it does
//! what it must not. The property tests and the fuzz targets of the same names share these.
//!
//! | function | what is hostile |
//! |---|---|
//! | [`handshake`] | every word of shared memory |
//! | [`queuing`] | the words of queuing channels, on a link that is up |
//! | [`sampling`] | the words of sampling channels, likewise |
//! | [`request`] | the words of request and response channels, likewise |
//! | [`capabilities`] | configuration space, for the walk through the capability list |
//! | [`bars`] | configuration space, for decoding and sizing a BAR |
//! | [`assign`] | configuration space, for numbering buses and placing BARs |
//! | [`msix`] | all of a device: configuration space and registers |
//!
//! In the mailbox's, both ends are real and take turns. The one under test works on [`Oracle`](super::memory::Oracle) memory, which
//! asserts each call's documented bound; as long as nothing was tampered with, neither end may accuse the other, and what is
//! received was sent, whole, in order and once. Whatever has happened, both ends attached anew come up and exchange messages.

mod assign;
mod device;
mod end;
mod half;
mod mailbox;
mod onlooker;
mod pci;
mod traffic;

pub use assign::assign;
pub use device::msix;
pub use mailbox::{handshake, queuing, request, sampling};
pub use pci::{bars, capabilities, sized};

#[cfg(test)]
mod tests;
