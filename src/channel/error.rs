//! What can go wrong on a channel.

use core::fmt;

/// What no honest peer can have written, with the value found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PeerViolation {
    /// A slot's header is neither the next message's nor what the slot held before.
    Header {
        /// Low half of the position + 1 that the next message's stamp would have.
        expected_stamp: u32,
        /// The header's word.
        found: u64,
    },
    /// A message longer than the channel's messages can be.
    Length {
        /// Bytes.
        found: u16,
        /// Bytes.
        max: u16,
    },
    /// A message shorter than the head that every message of the channel begins with.
    Short {
        /// Bytes.
        found: u16,
        /// Bytes.
        least: u16,
    },
    /// A message of a kind that this channel does not carry.
    Kind {
        /// The kind.
        found: u8,
    },
    /// An acknowledgement of messages never sent, or one taken back.
    Acknowledged {
        /// Low half of the number of messages acknowledged.
        found: u32,
        /// Low half of the number acknowledged before.
        before: u32,
        /// Low half of the number sent.
        sent: u32,
    },
    /// A request or response whose correlation cannot be: bits set that are reserved, a response to no request or the
    /// second one to the same, or a request that is not later than the one before it.
    Correlation {
        /// The correlation word.
        found: u64,
    },
    /// A response with a status that does not exist.
    Status {
        /// The status word.
        found: u64,
    },
    /// A sampling channel's counts gone back, or a sample announced before it was begun.
    Sample {
        /// The number found.
        found: u32,
        /// The least that it can be.
        least: u32,
    },
    /// A link line with a state that does not exist.
    State {
        /// The state word.
        found: u64,
    },
    /// A link line with an identity that is no ivshmem id.
    Identity {
        /// The identity word.
        found: u64,
    },
    /// An epoch whose low 12 bits are 0.
    Epoch {
        /// The epoch.
        found: u64,
    },
    /// The echo of this side's epoch, once given, was changed under the same epoch of the peer.
    Echo {
        /// The echo.
        found: u64,
        /// This side's epoch.
        epoch: u64,
    },
}

impl fmt::Display for PeerViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { expected_stamp, found } => {
                write!(
                    f,
                    "slot header {found:#018x} where stamp {expected_stamp:#x} or the slot's previous header was due"
                )
            }
            Self::Length { found, max } => write!(f, "message of {found} bytes in a channel of at most {max}"),
            Self::Short { found, least } => write!(f, "message of {found} bytes in a channel of at least {least}"),
            Self::Kind { found } => write!(f, "message of kind {found}, which the channel does not carry"),
            Self::Acknowledged { found, before, sent } => {
                write!(f, "{found} messages acknowledged, after {before}, of {sent} sent")
            }
            Self::Correlation { found } => write!(f, "correlation {found:#x}"),
            Self::Status { found } => write!(f, "response status {found:#x}"),
            Self::Sample { found, least } => write!(f, "sample {found} where {least} or later was due"),
            Self::State { found } => write!(f, "link state {found:#x}"),
            Self::Identity { found } => write!(f, "identity word {found:#x}"),
            Self::Epoch { found } => write!(f, "epoch {found:#x}"),
            Self::Echo { found, epoch } => write!(f, "echo changed to {found:#x} from epoch {epoch:#x}"),
        }
    }
}

impl core::error::Error for PeerViolation {}

/// Why a message was not sent. It was not, whatever the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SendError {
    /// The link is not up: poll it.
    NotUp,
    /// The peer has not consumed enough yet.
    Full,
    /// The message is longer than the channel's.
    TooLong {
        /// Bytes.
        len: usize,
        /// Bytes.
        max: u16,
    },
    /// Reported once: a new session began since the last call. The next call sends in it.
    PeerRestarted {
        /// Messages of the earlier session that the peer did not acknowledge; it may have received some of them.
        lost_at_most: u32,
    },
    /// Reported once: the receiver restarted this channel with `resync`. The next call sends.
    PeerResynced {
        /// Messages that the peer did not acknowledge; it may have received some of them.
        lost_at_most: u32,
    },
    /// The channel is closed by what the peer wrote, until `resync`.
    Violated(PeerViolation),
    /// This side or the peer closed the link.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUp => f.write_str("the link is not up"),
            Self::Full => f.write_str("the channel is full"),
            Self::TooLong { len, max } => write!(f, "a message of {len} bytes in a channel of at most {max}"),
            Self::PeerRestarted { lost_at_most } => {
                write!(f, "a new session began; at most {lost_at_most} messages of the earlier one are lost")
            }
            Self::PeerResynced { lost_at_most } => {
                write!(f, "the receiver restarted the channel; at most {lost_at_most} messages are lost")
            }
            Self::Violated(violation) => write!(f, "the peer violated the protocol: {violation}"),
            Self::Closed => f.write_str("the link is closed"),
        }
    }
}

impl core::error::Error for SendError {}

/// Why no message could be received. No message was consumed, whatever the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RecvError {
    /// The link is not up: poll it.
    NotUp,
    /// The next message does not fit; it stays.
    BufferTooSmall {
        /// Bytes of the message, without its channel's heads.
        need: u16,
        /// Bytes of the buffer.
        have: usize,
    },
    /// Reported once: a new session began since the last call. The next call receives in it.
    PeerRestarted {
        /// Messages of the earlier session that this side did not receive.
        lost_at_most: u32,
    },
    /// Reported once: the sender restarted this channel with `resync`. The next call receives.
    PeerResynced {
        /// Messages that this side did not receive.
        lost_at_most: u32,
    },
    /// The channel is closed by what the peer wrote, until `resync`.
    Violated(PeerViolation),
    /// This side closed the link, or the peer did and every message it sent is received.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUp => f.write_str("the link is not up"),
            Self::BufferTooSmall { need, have } => write!(f, "a message of {need} bytes for a buffer of {have}"),
            Self::PeerRestarted { lost_at_most } => {
                write!(f, "a new session began; at most {lost_at_most} messages of the earlier one are lost")
            }
            Self::PeerResynced { lost_at_most } => {
                write!(f, "the sender restarted the channel; at most {lost_at_most} messages are lost")
            }
            Self::Violated(violation) => write!(f, "the peer violated the protocol: {violation}"),
            Self::Closed => f.write_str("the link is closed"),
        }
    }
}

impl core::error::Error for RecvError {}
