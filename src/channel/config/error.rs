//! Configurations that no mailbox can have.

use super::{Kind, MAX_CHANNELS};
use core::fmt;

/// A configuration that no mailbox can have. `channel` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// No channel, or more than [`MAX_CHANNELS`].
    Count {
        /// How many.
        channels: usize,
    },
    /// Slots that are not a power of two from 4 to 32768.
    Slots {
        /// Which channel.
        channel: usize,
        /// How many slots.
        slots: u32,
    },
    /// Messages of no byte, or of fewer than the channel's kind and protection need for themselves.
    MaxLen {
        /// Which channel.
        channel: usize,
        /// Bytes.
        max_len: u16,
        /// Bytes that it takes.
        least: u16,
    },
    /// A protected channel of a kind that has no protected halves.
    Protected {
        /// Which channel.
        channel: usize,
        /// Its kind.
        kind: Kind,
    },
    /// A vector above 255, which QEMU cannot ring.
    Vector {
        /// Which channel.
        channel: usize,
        /// The vector.
        vector: u16,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { channels } => write!(f, "a mailbox has 1 to {MAX_CHANNELS} channels, not {channels}"),
            Self::Slots { channel, slots } => {
                write!(f, "channel {channel} has {slots} slots, which is not a power of two from 4 to 32768")
            }
            Self::MaxLen { channel, max_len, least } => {
                write!(f, "channel {channel} has messages of {max_len} bytes, and its kind takes {least} at least")
            }
            Self::Protected { channel, kind } => {
                write!(f, "channel {channel} is protected, which is for queuing and sampling, not {kind:?}")
            }
            Self::Vector { channel, vector } => write!(f, "channel {channel} has vector {vector}, which is above 255"),
        }
    }
}

impl core::error::Error for ConfigError {}
