//! What the two ends count.

/// What a requester has counted; each saturates. `started` is the sum of all ends and of the requests
/// [`open`](super::Requester::open).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RequesterStats {
    /// Requests sent.
    pub started: u64,
    /// Ends by an answer.
    pub answered: u64,
    /// Ends as [`Failure::Refused`](super::Failure::Refused).
    pub refused: u64,
    /// Ends as [`Failure::Expired`](super::Failure::Expired).
    pub expired: u64,
    /// Ends as [`Failure::TimedOut`](super::Failure::TimedOut).
    pub timed_out: u64,
    /// Ends as [`Failure::Cancelled`](super::Failure::Cancelled).
    pub cancelled: u64,
    /// Ends as [`Failure::PeerRestarted`](super::Failure::PeerRestarted).
    pub restarted: u64,
    /// Ends as [`Failure::Resynced`](super::Failure::Resynced).
    pub resynced: u64,
    /// Ends as [`Failure::Closed`](super::Failure::Closed).
    pub closed: u64,
    /// Responses dropped because their request had ended.
    pub late: u64,
    /// Cancellations of which the responder could not be told, because the channel was full.
    pub untold: u64,
}

/// What a responder has counted; each saturates. `taken` is the sum of `done`, `expired`, `refused`, `cancelled`, `abandoned`
/// and of the requests [`open`](super::Responder::open).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ResponderStats {
    /// Requests taken.
    pub taken: u64,
    /// Responses sent as [`Status::Done`](super::Status::Done).
    pub done: u64,
    /// Responses sent as [`Status::Expired`](super::Status::Expired).
    pub expired: u64,
    /// Responses sent as [`Status::Refused`](super::Status::Refused).
    pub refused: u64,
    /// Requests cancelled before they were answered.
    pub cancelled: u64,
    /// Requests whose session ended, or whose channel was restarted, before they were answered.
    pub abandoned: u64,
    /// Cancellations that came after the answer.
    pub late: u64,
    /// Answers refused because their request was over.
    pub void: u64,
    /// Calls that could have taken no request, because no further answer could be kept.
    pub held_back: u64,
}
