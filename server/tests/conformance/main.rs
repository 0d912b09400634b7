//! The server against the protocol, from raw socket bytes, and against everything a client can do to it.
//!
//! No test sleeps: each waits for the message, the event or the end of a process itself. The limit on those waits is
//! there for a broken server to fail the test instead of hanging it.

mod clients;
mod descriptors;
mod library_client;
mod memory;
mod names;
mod program;
mod qemu;
mod raw;
mod wire;
