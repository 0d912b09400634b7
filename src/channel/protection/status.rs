//! What is found out about one message, and how often each was.

/// What a protected message's head says, held against what was expected: the first that applies of [`BadCrc`](Self::BadCrc),
/// [`WrongSource`](Self::WrongSource), [`Repeated`](Self::Repeated), [`WrongSequence`](Self::WrongSequence),
/// [`Stale`](Self::Stale), [`SomeLost`](Self::SomeLost), [`Ok`](Self::Ok).
#[must_use = "a message of a bad status is not what was sent, or not when"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Status {
    /// The next message of the right sender, whole and in time.
    Ok,
    /// As [`Ok`](Self::Ok), but messages before it were lost.
    SomeLost {
        /// How many: 1 to [`Expected::max_lost`](super::Expected::max_lost). One whose CRC was bad counts too.
        lost: u32,
    },
    /// The message that came last, once more.
    Repeated {
        /// Its sequence.
        sequence: u32,
    },
    /// A message from before the last one, or after more lost ones than are tolerated. After the latter the
    /// next message is expected to follow it.
    WrongSequence {
        /// The sequence that was due.
        expected: u32,
        /// The message's.
        found: u32,
    },
    /// A whole message of another channel, another sender or another session.
    WrongSource {
        /// Its data id.
        data_id: u32,
        /// Its source.
        source: u16,
        /// Its session.
        session: u32,
    },
    /// Head or payload are not as they were sent, the length included. Nothing else in the head is believed.
    BadCrc {
        /// The head's word 2: the CRC that came, in bits 0 to 31, and zeros.
        found: u64,
        /// The CRC of what came.
        computed: u32,
    },
    /// The message may be older than [`Expected::validity`](super::Expected::validity), by the receiver's clock.
    Stale {
        /// It is at most this old: ticks.
        age: u64,
    },
}

impl Status {
    /// Whether the message can be used: [`Ok`](Self::Ok) or [`SomeLost`](Self::SomeLost).
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Ok | Self::SomeLost { .. })
    }
}

/// How many messages had which status; each saturates. Their sum but for `lost` is the number of messages checked. A sample
/// that is read again counts only as long as its head could not be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StatusCounts {
    /// [`Status::Ok`].
    pub ok: u64,
    /// [`Status::SomeLost`].
    pub some_lost: u64,
    /// [`Status::Repeated`].
    pub repeated: u64,
    /// [`Status::WrongSequence`].
    pub wrong_sequence: u64,
    /// [`Status::WrongSource`].
    pub wrong_source: u64,
    /// [`Status::BadCrc`].
    pub bad_crc: u64,
    /// [`Status::Stale`].
    pub stale: u64,
    /// Messages that were skipped in the sequence, whatever the status of the one that showed it: those lost on the
    /// way, those dropped by a lossy sender and those whose own CRC was bad.
    pub lost: u64,
}

impl StatusCounts {
    pub(super) fn count(&mut self, status: Status) {
        let counter = match status {
            Status::Ok => &mut self.ok,
            Status::SomeLost { .. } => &mut self.some_lost,
            Status::Repeated { .. } => &mut self.repeated,
            Status::WrongSequence { .. } => &mut self.wrong_sequence,
            Status::WrongSource { .. } => &mut self.wrong_source,
            Status::BadCrc { .. } => &mut self.bad_crc,
            Status::Stale { .. } => &mut self.stale,
        };
        *counter = counter.saturating_add(1);
    }
}
