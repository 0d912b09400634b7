//! What both ends know before they meet: the channels.

use super::wire::{HEADER, SAMPLES, SLOT_ALIGN, kind};

mod error;
pub use error::ConfigError;

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
    /// ARINC 653 sampling port: the latest whole value and its age.
    Sampling,
    /// Requests, and cancellations of them: a queue whose messages begin with a head of 16 bytes.
    Request,
    /// Responses to the requests of another channel: likewise.
    Response,
}

impl Kind {
    /// The byte by which the digest tells kinds apart.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Queuing => 1,
            Self::Sampling => 2,
            Self::Request => 3,
            Self::Response => 4,
        }
    }

    /// Whether a slot header's kind byte may stand in a channel of this kind.
    #[inline]
    pub(super) const fn carries(self, byte: u8) -> bool {
        match self {
            Self::Queuing | Self::Sampling => byte == kind::MESSAGE,
            Self::Request => byte == kind::REQUEST || byte == kind::CANCEL,
            Self::Response => byte == kind::RESPONSE,
        }
    }

    /// Bytes at the start of each message that the protocol needs for itself.
    const fn head(self) -> u16 {
        match self {
            Self::Queuing | Self::Sampling => 0,
            Self::Request | Self::Response => kind::HEAD,
        }
    }
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
    pub(super) priority: u8,
    pub(super) data_id: Option<u32>,
}

/// A ready configuration for an operator and a machine, 64 messages of at most 248 bytes each way.
///
/// Channel 0 carries commands from [`End::Second`] to [`End::First`], channel 1 responses back.
pub const COMMAND_RESPONSE: [Channel; 2] =
    [Channel::queuing(End::Second, 64, 248), Channel::queuing(End::First, 64, 248)];

impl Channel {
    /// A queuing channel sent by `from`: `slots` messages, a power of two from 4 to 32768, of at most `max_len`
    /// bytes, 1 to 65535, of which up to a quarter may be received and not acknowledged yet. A slot takes 8 bytes more than the payload, rounded up to 64: 56, 120, 248 and 1016 fit well.
    pub const fn queuing(from: End, slots: u32, max_len: u16) -> Self {
        Self::new(Kind::Queuing, from, slots, max_len)
    }

    /// A sampling channel written by `from`: values of at most `max_len` bytes, 1 to 65535, of which the latest counts.
    pub const fn sampling(from: End, max_len: u16) -> Self {
        Self::new(Kind::Sampling, from, SAMPLES, max_len)
    }

    /// A channel of requests made by `from`: as [`queuing`](Self::queuing), but 16 bytes of `max_len` (16 to 65535) are
    /// the head that each request has. 40 bytes of arguments, so a `max_len` of 56, fit one line.
    pub const fn request(from: End, slots: u32, max_len: u16) -> Self {
        Self::new(Kind::Request, from, slots, max_len)
    }

    /// The channel of the responses that `from` gives: as [`request`](Self::request).
    pub const fn response(from: End, slots: u32, max_len: u16) -> Self {
        Self::new(Kind::Response, from, slots, max_len)
    }

    const fn new(kind: Kind, from: End, slots: u32, max_len: u16) -> Self {
        Self { kind, from, slots, max_len, vector: 0, priority: 0, data_id: None }
    }

    /// The receiver's MSI-X vector that the sender rings, 0 to 255; 0 unless set. Not part of the digest: a doorbell is a hint.
    pub const fn vector(self, vector: u16) -> Self {
        Self { vector, ..self }
    }

    /// How urgently this end serves the channel, 0 first; 0 unless set. Not part of the digest: each end decides for itself.
    pub const fn priority(self, priority: u8) -> Self {
        Self { priority, ..self }
    }

    /// Every message carries a head of 24 bytes, counted in `max_len`, that protects it against accidents on its way;
    /// `data_id` names the channel's data, and two channels that might be confused have different ones.
    /// Both ends take the protected halves (feature `protection`). Queuing and sampling channels only.
    pub const fn protected(self, data_id: u32) -> Self {
        Self { data_id: Some(data_id), ..self }
    }

    /// The vector that [`vector`](Self::vector) set.
    pub const fn rings(&self) -> u16 {
        self.vector
    }

    /// The data id that [`protected`](Self::protected) set.
    pub const fn data_id(&self) -> Option<u32> {
        self.data_id
    }

    /// What the channel does with messages.
    pub const fn kind(&self) -> Kind {
        self.kind
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
        // Not `next_multiple_of`: that no overflow can be is seen here by the compiler too, and no panic path is left.
        HEADER.saturating_add(self.max_len as usize).div_ceil(SLOT_ALIGN).saturating_mul(SLOT_ALIGN)
    }

    /// Bytes of all slots.
    pub(super) const fn ring_len(&self) -> usize {
        self.stride().saturating_mul(self.slots as usize)
    }

    /// The least `max_len`: what the protocol needs for itself, or else one byte.
    const fn least_len(&self) -> u16 {
        match (self.kind.head(), self.data_id) {
            (0, None) => 1,
            (0, Some(_)) => kind::PROTECTION,
            (head, _) => head,
        }
    }

    const fn check(&self, index: usize) -> Result<(), ConfigError> {
        let Self { slots, max_len, vector, .. } = *self;
        if !slots.is_power_of_two() || slots < 4 || slots > 32768 {
            return Err(ConfigError::Slots { channel: index, slots });
        }
        if self.data_id.is_some() && self.kind.head() != 0 {
            return Err(ConfigError::Protected { channel: index, kind: self.kind });
        }
        let least = self.least_len();
        if max_len < least {
            return Err(ConfigError::MaxLen { channel: index, max_len, least });
        }
        if vector > 255 {
            return Err(ConfigError::Vector { channel: index, vector });
        }
        Ok(())
    }
}

pub(super) fn check(channels: &[Channel]) -> Result<(), ConfigError> {
    if channels.is_empty() || channels.len() > MAX_CHANNELS {
        return Err(ConfigError::Count { channels: channels.len() });
    }
    channels.iter().enumerate().try_for_each(|(index, channel)| channel.check(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_configurations_are_refused_with_their_value() {
        assert_eq!(check(&[]), Err(ConfigError::Count { channels: 0 }));
        assert_eq!(check(&[COMMAND_RESPONSE[0]; 65]), Err(ConfigError::Count { channels: 65 }));
        for slots in [0, 1, 2, 3, 5, 63, 65536] {
            let channels = [COMMAND_RESPONSE[0], Channel::queuing(End::First, slots, 8)];
            assert_eq!(check(&channels), Err(ConfigError::Slots { channel: 1, slots }));
        }
        assert_eq!(
            check(&[Channel::queuing(End::First, 4, 0)]),
            Err(ConfigError::MaxLen { channel: 0, max_len: 0, least: 1 })
        );
        let far = Channel::queuing(End::First, 4, 8).vector(256);
        assert_eq!(check(&[far]), Err(ConfigError::Vector { channel: 0, vector: 256 }));
        for (channel, kind) in [
            (Channel::request(End::First, 4, 56), Kind::Request),
            (Channel::response(End::First, 4, 56), Kind::Response),
        ] {
            assert_eq!(check(&[channel.protected(7)]), Err(ConfigError::Protected { channel: 0, kind }));
        }
        assert_eq!(check(&COMMAND_RESPONSE), Ok(()));
    }

    #[test]
    fn the_most_slots_and_the_shortest_messages_of_each_kind_are_possible_and_a_byte_less_is_not() {
        assert_eq!(check(&[Channel::queuing(End::First, 32768, 8)]), Ok(()));
        for (with, least) in [
            ((|max_len| Channel::queuing(End::First, 4, max_len)) as fn(u16) -> Channel, 1),
            (|max_len| Channel::sampling(End::First, max_len), 1),
            (|max_len| Channel::queuing(End::First, 4, max_len).protected(7), 24),
            (|max_len| Channel::sampling(End::First, max_len).protected(7), 24),
            (|max_len| Channel::request(End::First, 4, max_len), 16),
            (|max_len| Channel::response(End::First, 4, max_len), 16),
        ] {
            assert_eq!(check(&[with(least)]), Ok(()));
            let max_len = least - 1;
            assert_eq!(check(&[with(max_len)]), Err(ConfigError::MaxLen { channel: 0, max_len, least }));
        }
    }

    #[test]
    fn what_a_channel_was_given_can_be_asked_of_it() {
        let channel = Channel::queuing(End::Second, 8, 100).vector(3).priority(2).protected(0x51);
        assert_eq!((channel.rings(), channel.data_id(), channel.priority), (3, Some(0x51), 2));
        assert_eq!(
            (channel.kind(), channel.from(), channel.slots(), channel.max_len()),
            (Kind::Queuing, End::Second, 8, 100)
        );
    }
}
