//! What a server is asked for.

use std::path::PathBuf;

use crate::error::Error;
use crate::protocol::MAX_VECTORS;

/// Where the shared memory lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// A POSIX shared memory object of this name (`/dev/shm/NAME` on Linux), so that an `ivshmem-plain` device can
    /// share it. One that exists already is taken as it is, and stays.
    Named(String),
    /// A file without a name in this directory, usually a hugetlbfs, of which all pages are taken at once.
    Directory(PathBuf),
    /// A file without a name or place (memfd), sealed: nobody can truncate it under a guest, which would kill QEMU.
    Sealed,
}

/// What a server is asked for. All fields have a default but the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where clients connect.
    pub socket: PathBuf,
    /// Permission bits of the socket; whoever may write to it may connect. Default 0600.
    pub socket_mode: u32,
    /// Where the shared memory lies. Default [`Memory::Sealed`].
    pub memory: Memory,
    /// Permission bits of the shared memory. Default 0600.
    pub memory_mode: u32,
    /// Bytes of shared memory: a power of two and whole pages. Default 4 MiB.
    pub size: u64,
    /// Overwrite the shared memory with zeros if it exists already. Default false.
    pub zero: bool,
    /// Interrupt vectors of each client, 1 to 2048. Default 1.
    pub vectors: u16,
    /// The first client's id; the next ones count up from there, and on from 0 after 65535. Default 0.
    pub first_id: u16,
    /// How many comings and goings of others may wait for a client that does not read, beyond its greeting, before it
    /// is dropped. A peer that comes and goes unseen leaves nothing waiting. Default 4096.
    pub backlog: usize,
}

impl Options {
    /// The default of everything, with this socket.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            socket_mode: 0o600,
            memory: Memory::Sealed,
            memory_mode: 0o600,
            size: 4 << 20,
            zero: false,
            vectors: 1,
            first_id: 0,
            backlog: 4096,
        }
    }

    /// What can be said without touching anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.size.is_power_of_two() {
            return Err(Error::SizeNotPowerOfTwo(self.size));
        }
        if !(1..=MAX_VECTORS).contains(&self.vectors) {
            return Err(Error::Vectors(self.vectors));
        }
        Ok(())
    }
}
