//! The ivshmem client/server protocol.
//!
//! - [`client`]: the client's side, for a host process that wants to be a peer.
//! - [`protocol`]: the wire's constants.

pub mod client;
mod descriptors;
pub mod protocol;

pub use client::Client;
