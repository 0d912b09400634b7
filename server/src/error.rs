//! Why a server cannot start or go on.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

/// Why a server cannot start or go on. Nothing that a client does is an error of the server.
#[derive(Debug, Error)]
pub enum Error {
    /// QEMU maps the memory as a PCI BAR and aborts if its size is not a power of two.
    #[error("size {0} is not a power of two (bytes): QEMU can only show such a one to a guest")]
    SizeNotPowerOfTwo(u64),
    /// QEMU refuses memory that is not whole pages.
    #[error("size {size} is not a multiple of the page size {page} of {memory} (bytes)")]
    SizeNotPages {
        /// The size asked for, in bytes.
        size: u64,
        /// The page size in bytes: the system's, or the huge pages' of a hugetlbfs.
        page: u64,
        /// What the memory lies in.
        memory: String,
    },
    /// MSI-X has 1 to 2048 vectors.
    #[error("{0} vectors: there can be 1 to 2048")]
    Vectors(u16),
    /// The limit of open descriptors is too low for even two clients.
    #[error(
        "{vectors} vectors for each of two clients need {needed} file descriptors, and the limit is {limit}: \
         raise it (ulimit -Hn, LimitNOFILE=) or ask for fewer vectors"
    )]
    DescriptorLimit {
        /// Vectors per client.
        vectors: u16,
        /// How many descriptors two clients need.
        needed: u64,
        /// The hard limit (`RLIMIT_NOFILE`).
        limit: u64,
    },
    /// A Unix socket's path has at most 107 bytes.
    #[error("socket path {path} has {length} bytes: there can be at most 107")]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Another process holds the socket.
    #[error("socket {0} belongs to a running server")]
    SocketInUse(PathBuf),
    /// There is something at the socket's path that is no socket, so it is not ours to remove.
    #[error("{0} exists and is not a socket: not removing it")]
    NotASocket(PathBuf),
    /// A POSIX shared memory name is 1 to 255 bytes without a slash (one in front is allowed).
    #[error("{0:?} is no name for POSIX shared memory: 1 to 255 bytes without a slash, but for one in front")]
    SharedMemoryName(String),
    /// The shared memory exists with another size. Changing it would kill whoever has it mapped.
    #[error(
        "shared memory {name} exists with {existing} bytes, not {asked}: ask for that size, take another name, \
         or remove it if nobody uses it"
    )]
    SharedMemorySize {
        /// Its name.
        name: String,
        /// Its size in bytes.
        existing: u64,
        /// The size asked for.
        asked: u64,
    },
    /// The shared memory exists and other users than asked for can open it.
    #[error(
        "shared memory {name} exists with owner {owner} and mode {mode:o}, which lets in others than mode {asked:o} \
         of ours would: remove it, or ask for its mode"
    )]
    SharedMemoryAccess {
        /// Its name.
        name: String,
        /// Its owner's user id.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// The permission bits asked for.
        asked: u32,
    },
    /// The system refused something.
    #[error("cannot {action}: {error}")]
    System {
        /// What was tried, with the name or value it was tried on.
        action: String,
        /// What the system said.
        error: io::Error,
    },
}

/// Turns an error number into [`Error::System`]; the text says what was tried.
pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(Errno) -> Error {
    move |error| Error::System { action: action.into(), error: error.into() }
}
