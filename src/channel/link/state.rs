//! What a link says of itself.

use crate::channel::error::PeerViolation;

/// How the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LinkState {
    /// The peer is not there yet, or has not answered yet.
    Waiting,
    /// Both ends have seen each other's epoch and agree on the channels.
    Up {
        /// The low halves of the First and of the Second end's epoch.
        session: u64,
    },
    /// Reported once, by the poll that noticed it: the peer left the session that was up and attached anew.
    PeerRestarted,
    /// As `Up`, but the peer's heartbeat has stood still.
    Stale {
        /// For how long, in the ticks given to [`Link::poll`](super::Link::poll).
        age: u64,
    },
    /// This side closed, or the peer did.
    Closed,
    /// The peer speaks another version of the wire format.
    OtherVersion {
        /// Its version; this side's is [`wire::VERSION`](crate::channel::wire::VERSION).
        found: u64,
    },
    /// The peer has other channels.
    Incompatible {
        /// Digest of this side's channels.
        ours: u64,
        /// Digest of the peer's.
        theirs: u64,
    },
    /// The peer wrote what no honest peer can write; until it attaches anew, or [`Link::resync`](super::Link::resync).
    Violated(PeerViolation),
}

impl LinkState {
    /// Whether channels work: `Up` or `Stale`.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up { .. } | Self::Stale { .. })
    }
}

/// What a link has counted; each saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkStats {
    /// Calls of [`Link::poll`](super::Link::poll).
    pub polls: u64,
    /// Sessions that came up.
    pub sessions: u32,
    /// Times the peer left a session that was up.
    pub peer_restarts: u32,
    /// Violations latched by the link itself.
    pub violations: u32,
}
