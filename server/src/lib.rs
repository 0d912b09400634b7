//! The ivshmem client/server protocol.
//!
//! QEMU's `ivshmem-doorbell` devices (and host processes) meet at a server: it gives each an id, the shared memory, and
//! an eventfd for every interrupt vector of every peer. Start with:
//!
//! - [`Server`]: serves on the calling thread; [`Running`] is one on a thread of its own.
//! - [`Client`]: the client's side, for a host process that wants to be a peer.
//! - [`protocol`]: the wire's constants.
//!
//! ```
//! use ivshmem_server::{Client, Options, Running};
//!
//! let folder = tempfile::tempdir()?;
//! let server = Running::start(Options { vectors: 2, ..Options::new(folder.path().join("socket")) }, |_| {})?;
//! let mut client = Client::connect(server.socket())?;
//! while client.vectors().len() < 2 {
//!     client.wait(None)?;
//! }
//! client.ring(client.id(), 1)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod client;
mod descriptors;
mod error;
mod event;
mod ids;
mod listener;
mod made;
mod memory;
mod options;
mod outbox;
pub mod protocol;
mod server;

pub use client::Client;
pub use error::Error;
pub use event::{Event, Leaving, Refusal};
pub use made::Made;
pub use options::{Memory, Options};
pub use server::{Running, Server};
