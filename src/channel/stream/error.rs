//! What can go wrong with a stream, and of which of `embedded-io`'s kinds it is.

use crate::channel::error::{RecvError, SendError};
use core::fmt;
use embedded_io::ErrorKind;

/// Why nothing was read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StreamError {
    /// Nothing came, or no room, in as many waits as were allowed.
    TimedOut,
    /// A message of no bytes, which no stream is made of. It is dropped.
    Empty,
    /// The channel's sender.
    Send(SendError),
    /// The channel's receiver.
    Receive(RecvError),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("waited in vain"),
            Self::Empty => f.write_str("a message of no bytes in a stream"),
            Self::Send(error) => write!(f, "{error}"),
            Self::Receive(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for StreamError {}

impl embedded_io::Error for StreamError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TimedOut | Self::Send(SendError::Full) => ErrorKind::TimedOut,
            Self::Send(SendError::NotUp) | Self::Receive(RecvError::NotUp) => ErrorKind::NotConnected,
            Self::Send(SendError::Closed) | Self::Receive(RecvError::Closed) => ErrorKind::BrokenPipe,
            Self::Send(SendError::PeerRestarted { .. } | SendError::PeerResynced { .. })
            | Self::Receive(RecvError::PeerRestarted { .. } | RecvError::PeerResynced { .. }) => {
                ErrorKind::ConnectionReset
            }
            Self::Empty | Self::Send(SendError::Violated(_)) | Self::Receive(RecvError::Violated(_)) => {
                ErrorKind::InvalidData
            }
            Self::Send(SendError::TooLong { .. }) | Self::Receive(RecvError::BufferTooSmall { .. }) => {
                ErrorKind::InvalidInput
            }
        }
    }
}

impl From<SendError> for StreamError {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl From<RecvError> for StreamError {
    fn from(error: RecvError) -> Self {
        Self::Receive(error)
    }
}
