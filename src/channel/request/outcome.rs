//! How requests end.

use super::head::RequestId;
use core::fmt;

/// How a request ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure {
    /// The responder's user refused it.
    Refused {
        /// Bytes in the caller's buffer that say why; there may be none.
        len: usize,
    },
    /// Its budget had passed before the responder began, which did nothing.
    Expired,
    /// Its budget passed here. It may be done all the same, or may yet be.
    TimedOut,
    /// [`Requester::cancel`](super::Requester::cancel) ended it. It may be done all the same.
    Cancelled,
    /// The session ended. It may have been done.
    PeerRestarted,
    /// One of the two channels was restarted within the session, by either end. It may have been done.
    Resynced,
    /// The link was closed, and no response to it was left. It may have been done.
    Closed,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused { .. } => "the responder refused",
            Self::Expired => "the request's budget had passed before the responder began",
            Self::TimedOut => "the request's budget has passed",
            Self::Cancelled => "the request was cancelled",
            Self::PeerRestarted => "a new session began",
            Self::Resynced => "the request's or the response's channel was restarted",
            Self::Closed => "the link is closed",
        })
    }
}

impl core::error::Error for Failure {}

/// The end of one request: there is exactly one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Completion {
    /// Which request.
    pub id: RequestId,
    /// How many bytes of result are in the caller's buffer, or how it ended without.
    pub outcome: Result<usize, Failure>,
}

/// What a poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Polled {
    /// A request has ended.
    Ended(Completion),
    /// A response came to a request that had ended before; it is dropped and counted.
    Late,
}
