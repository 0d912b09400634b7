//! What both ends know before they meet: the channels, and the digest by which they compare that knowledge.

use super::wire::{HEADER, SLOT_ALIGN, VERSION};
use core::fmt;

/// Which of the mailbox's two ends. Configuration says; nothing in shared memory does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum End {
    /// The real-time side, by convention. Its section comes first.
    First,
    /// The general-purpose side, by convention.
    Second,
}

impl End {
    /// The opposite end.
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// What a channel does with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Kind {
    /// ARINC 653 queuing port: a bounded FIFO that refuses when full and loses nothing.
    Queuing,
}

/// The most channels in one mailbox.
pub const MAX_CHANNELS: usize = 64;

/// One channel of a mailbox: constant, and the same at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Channel {
    pub(super) kind: Kind,
    pub(super) from: End,
    pub(super) slots: u32,
    pub(super) max_len: u16,
    pub(super) vector: u16,
}

/// A ready configuration for an operator and a machine, 64 messages of at most 248 bytes each way.
///
/// Channel 0 carries commands from [`End::Second`] to [`End::First`], channel 1 responses back.
pub const COMMAND_RESPONSE: [Channel; 2] =
    [Channel::queuing(End::Second, 64, 248), Channel::queuing(End::First, 64, 248)];

impl Channel {
    /// A queuing channel sent by `from`: `slots` messages, a power of two from 4 to 32768, of at most `max_len`
    /// bytes, 1 to 65535. A slot takes 8 bytes more than the payload, rounded up to 64: 56, 120, 248 and 1016 fit well.
    pub const fn queuing(from: End, slots: u32, max_len: u16) -> Self {
        Self { kind: Kind::Queuing, from, slots, max_len, vector: 0 }
    }

    /// The receiver's MSI-X vector that the sender rings, 0 to 255; 0 unless set. Not part of the digest: a doorbell is a hint.
    pub const fn vector(self, vector: u16) -> Self {
        Self { vector, ..self }
    }

    /// The sending end.
    pub const fn from(&self) -> End {
        self.from
    }

    /// Messages the channel holds.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// The longest message, in bytes.
    pub const fn max_len(&self) -> u16 {
        self.max_len
    }

    /// Bytes from one slot to the next.
    pub(super) const fn stride(&self) -> usize {
        (HEADER.saturating_add(self.max_len as usize)).next_multiple_of(SLOT_ALIGN)
    }

    /// Bytes of all slots.
    pub(super) const fn ring_len(&self) -> usize {
        self.stride().saturating_mul(self.slots as usize)
    }

    const fn check(&self, index: usize) -> Result<(), ConfigError> {
        let Self { slots, max_len, vector, .. } = *self;
        if !slots.is_power_of_two() || slots < 4 || slots > 32768 {
            return Err(ConfigError::Slots { channel: index, slots });
        }
        if max_len == 0 {
            return Err(ConfigError::MaxLen { channel: index, max_len });
        }
        if vector > 255 {
            return Err(ConfigError::Vector { channel: index, vector });
        }
        Ok(())
    }
}

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
    /// Messages of no byte.
    MaxLen {
        /// Which channel.
        channel: usize,
        /// Bytes.
        max_len: u16,
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
            Self::MaxLen { channel, max_len } => write!(f, "channel {channel} has messages of {max_len} bytes"),
            Self::Vector { channel, vector } => write!(f, "channel {channel} has vector {vector}, which is above 255"),
        }
    }
}

impl core::error::Error for ConfigError {}

pub(super) fn check(channels: &[Channel]) -> Result<(), ConfigError> {
    if channels.is_empty() || channels.len() > MAX_CHANNELS {
        return Err(ConfigError::Count { channels: channels.len() });
    }
    channels.iter().enumerate().try_for_each(|(index, channel)| channel.check(index))
}

/// The digest by which two ends compare their configurations: FNV-1a, 64 bits.
///
/// Over the version (8 bytes) and the number of channels (8 bytes), then for each channel kind (1 byte, 1 for queuing),
/// sender (1 byte, 0 for First), max_len (2 bytes), slots (4 bytes); all little-endian.
pub fn digest(channels: &[Channel]) -> u64 {
    let mut hash = fnv1a(FNV_OFFSET, &VERSION.to_le_bytes());
    hash = fnv1a(hash, &(channels.len() as u64).to_le_bytes());
    for channel in channels {
        let kind = match channel.kind {
            Kind::Queuing => 1,
        };
        let from = match channel.from {
            End::First => 0,
            End::Second => 1,
        };
        hash = fnv1a(hash, &[kind, from]);
        hash = fnv1a(hash, &channel.max_len.to_le_bytes());
        hash = fnv1a(hash, &channel.slots.to_le_bytes());
    }
    hash
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // The algorithm's published vectors.
        assert_eq!(fnv1a(FNV_OFFSET, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(FNV_OFFSET, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_digest_tells_kind_direction_size_and_depth_apart_but_not_vectors() {
        let base = Channel::queuing(End::First, 64, 248);
        let of = |channel: Channel| digest(&[channel]);
        assert_eq!(of(base), of(base.vector(3)));
        for other in [
            Channel::queuing(End::Second, 64, 248),
            Channel::queuing(End::First, 32, 248),
            Channel::queuing(End::First, 64, 247),
        ] {
            assert_ne!(of(base), of(other));
        }
        assert_ne!(of(base), digest(&[base, base]));
    }

    #[test]
    fn impossible_configurations_are_refused_with_their_value() {
        assert_eq!(check(&[]), Err(ConfigError::Count { channels: 0 }));
        assert_eq!(check(&[COMMAND_RESPONSE[0]; 65]), Err(ConfigError::Count { channels: 65 }));
        for slots in [0, 1, 2, 3, 5, 63, 65536] {
            let channels = [COMMAND_RESPONSE[0], Channel::queuing(End::First, slots, 8)];
            assert_eq!(check(&channels), Err(ConfigError::Slots { channel: 1, slots }));
        }
        assert_eq!(check(&[Channel::queuing(End::First, 4, 0)]), Err(ConfigError::MaxLen { channel: 0, max_len: 0 }));
        let far = Channel::queuing(End::First, 4, 8).vector(256);
        assert_eq!(check(&[far]), Err(ConfigError::Vector { channel: 0, vector: 256 }));
        assert_eq!(check(&COMMAND_RESPONSE), Ok(()));
    }
}
