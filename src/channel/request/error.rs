//! What can go wrong with requests.

use crate::channel::error::{PeerViolation, RecvError, SendError};
use core::fmt;

/// Why a call on a requester, responder or server did nothing. Each method says what that means for open requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RequestError {
    /// The link is not up: poll it.
    NotUp,
    /// This side or the peer closed the link.
    Closed,
    /// As many requests are open, or have ended and were not polled for, as the requester can hold.
    TooManyOpen {
        /// How many.
        capacity: usize,
    },
    /// No such request is open: it has ended or was answered, or its session has ended.
    NotOpen,
    /// The peer has not consumed enough yet.
    Full,
    /// The arguments or the result are longer than the channel's.
    TooLong {
        /// Bytes.
        len: usize,
        /// Bytes.
        max: u16,
    },
    /// The next message does not fit; it stays.
    BufferTooSmall {
        /// Bytes of the message's arguments or result.
        need: u16,
        /// Bytes of the buffer.
        have: usize,
    },
    /// Reported once: a new session began since the last call, and the requests of the earlier one are over.
    PeerRestarted {
        /// Requests that were open until now.
        open: usize,
    },
    /// Reported once for each of the two channels: the peer restarted it with `resync`.
    PeerResynced {
        /// Requests that were open until now.
        open: usize,
    },
    /// The responder has not followed this side's `resync` yet: poll, and try again.
    Resyncing,
    /// One of the two channels is closed by what the peer wrote, until `resync`.
    Violated(PeerViolation),
}

impl RequestError {
    /// A half's error; `open` requests were open when it came.
    pub(super) const fn from_send(error: SendError, open: usize) -> Self {
        match error {
            SendError::NotUp => Self::NotUp,
            SendError::Full => Self::Full,
            SendError::TooLong { len, max } => Self::TooLong { len, max },
            SendError::PeerRestarted { .. } => Self::PeerRestarted { open },
            SendError::PeerResynced { .. } => Self::PeerResynced { open },
            SendError::Violated(violation) => Self::Violated(violation),
            SendError::Closed => Self::Closed,
        }
    }

    /// A half's error; `open` requests were open when it came.
    pub(super) const fn from_recv(error: RecvError, open: usize) -> Self {
        match error {
            RecvError::NotUp => Self::NotUp,
            RecvError::BufferTooSmall { need, have } => Self::BufferTooSmall { need, have },
            RecvError::PeerRestarted { .. } => Self::PeerRestarted { open },
            RecvError::PeerResynced { .. } => Self::PeerResynced { open },
            RecvError::Violated(violation) => Self::Violated(violation),
            RecvError::Closed => Self::Closed,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUp => f.write_str("the link is not up"),
            Self::Closed => f.write_str("the link is closed"),
            Self::TooManyOpen { capacity } => write!(f, "{capacity} requests are open, and no more can be"),
            Self::NotOpen => f.write_str("no such request is open"),
            Self::Full => f.write_str("the channel is full"),
            Self::TooLong { len, max } => write!(f, "{len} bytes where there is room for {max}"),
            Self::BufferTooSmall { need, have } => write!(f, "{need} bytes for a buffer of {have}"),
            Self::PeerRestarted { open } => write!(f, "a new session began, which ended {open} requests"),
            Self::PeerResynced { open } => write!(f, "the peer restarted the channel, with {open} requests open"),
            Self::Resyncing => f.write_str("the responder has not followed the resync yet"),
            Self::Violated(violation) => write!(f, "the peer violated the protocol: {violation}"),
        }
    }
}

impl core::error::Error for RequestError {}
