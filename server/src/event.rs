//! What a server tells of its clients.

use std::fmt;

use rustix::io::Errno;

/// Something happened to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A client came and was given this id.
    Joined {
        /// Its id.
        id: u16,
    },
    /// A client is gone; the others are told.
    Left {
        /// Its id.
        id: u16,
        /// Why.
        why: Leaving,
    },
    /// A client was sent away before it got an id: its connection was closed.
    Refused(Refusal),
}

/// Why a client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It closed the connection, or died.
    Closed,
    /// It sent something, which no client may.
    Spoke,
    /// It did not read, and more than this many comings and goings were waiting for it.
    Overrun {
        /// [`Options::backlog`](crate::Options::backlog).
        backlog: usize,
    },
    /// The connection failed with this error number.
    Failed(i32),
}

/// Why a client was sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// All 65536 ids were given, and every one that is free again was known to a client that still lives: QEMU
    /// cannot bear to see an id twice. Restarting that client frees it.
    NoIdLeft,
    /// It needs this many descriptors, more than are left under the limit (`RLIMIT_NOFILE`).
    DescriptorLimit {
        /// How many one client needs.
        needed: u64,
        /// The limit in force.
        limit: u64,
    },
    /// The system refused something else, with this error number.
    System(i32),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Joined { id } => write!(f, "client {id} joined"),
            Self::Left { id, why } => write!(f, "client {id} left: {why}"),
            Self::Refused(refusal) => write!(f, "client refused: {refusal}"),
        }
    }
}

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Closed => write!(f, "it closed the connection"),
            Self::Spoke => write!(f, "it sent something, which no client may"),
            Self::Overrun { backlog } => write!(f, "it did not read while more than {backlog} others came or went"),
            Self::Failed(errno) => write!(f, "{}", Errno::from_raw_os_error(errno)),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoIdLeft => write!(
                f,
                "all 65536 peer ids are spent, and clients live that knew their owners (QEMU cannot bear an id twice); \
                 restart the oldest clients"
            ),
            Self::DescriptorLimit { needed, limit } => write!(
                f,
                "it needs {needed} file descriptors, more than are left of {limit}: raise the limit \
                 (ulimit -Hn, LimitNOFILE=) or have fewer vectors"
            ),
            Self::System(errno) => write!(f, "{}", Errno::from_raw_os_error(errno)),
        }
    }
}
