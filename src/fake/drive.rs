//! Drives a part of this crate from a string of bytes, against whatever a hostile peer or device can do, and panics if it does
//! what it must not. The property tests and the fuzz targets of the same names share these.
//!
//! | function | what is hostile |
//! |---|---|
//! | [`handshake`] | every word of shared memory |
//! | [`queuing`] | the words of queuing channels, on a link that is up |
//!
//! In the mailbox's, both ends are real and take turns. The one under test works on [`Oracle`](super::memory::Oracle) memory, which
//! asserts each call's documented bound; as long as nothing was tampered with, neither end may accuse the other, and what is
//! received was sent, whole, in order and once. Whatever has happened, both ends attached anew come up and exchange messages.

mod end;
mod half;
mod mailbox;
mod traffic;

pub use mailbox::{handshake, queuing};
