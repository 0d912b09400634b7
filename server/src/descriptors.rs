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

/// Raises the limit to at least `needed`, beyond the hard limit where we may (CAP_SYS_RESOURCE). Whether it is
/// that high now.
pub(crate) fn ensure(needed: u64) -> bool {
    raise_to_hard_limit();
    limit() >= needed || {
        let wanted = Rlimit { current: Some(needed), maximum: Some(needed) };
        setrlimit(Resource::Nofile, wanted).is_ok()
    }
}

/// Doubles the limit, where we may. False when it stays as it is.
pub(crate) fn raise_further() -> bool {
    ensure(limit().saturating_mul(2))
}
