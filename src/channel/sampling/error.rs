//! What can go wrong with a sample.

use crate::channel::error::PeerViolation;
use core::fmt;

/// Why a value was not written. The one before it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WriteError {
    /// The value is longer than the channel's.
    TooLong {
        /// Bytes.
        len: usize,
        /// Bytes.
        max: u16,
    },
    /// This side closed the link.
    Closed,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "a value of {len} bytes in a channel of at most {max}"),
            Self::Closed => f.write_str("the link is closed"),
        }
    }
}

impl core::error::Error for WriteError {}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ReadError {
    /// The link is not up: poll it.
    NotUp,
    /// The writer has written nothing since it attached.
    Empty,
    /// The writer began four values during the copy. Try again.
    Busy,
    /// The value does not fit.
    BufferTooSmall {
        /// Bytes of the value, without its channel's heads.
        need: u16,
        /// Bytes of the buffer.
        have: usize,
    },
    /// The channel is closed by what the writer wrote, until `resync`.
    Violated(PeerViolation),
    /// This side closed the link, or the writer did.
    Closed,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUp => f.write_str("the link is not up"),
            Self::Empty => f.write_str("nothing was written yet"),
            Self::Busy => f.write_str("the writer overtook the reader"),
            Self::BufferTooSmall { need, have } => write!(f, "a value of {need} bytes for a buffer of {have}"),
            Self::Violated(violation) => write!(f, "the peer violated the protocol: {violation}"),
            Self::Closed => f.write_str("the link is closed"),
        }
    }
}

impl core::error::Error for ReadError {}
