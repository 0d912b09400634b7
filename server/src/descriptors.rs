//! The process's limit of open file descriptors: every vector of every peer is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many descriptors this process may have open now.
pub(crate) fn limit() -> u64 {
    // `None` is "unlimited".
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit to the hard limit. Nothing happens where that is refused: who runs out says so.
pub(crate) fn raise_to_hard_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}
