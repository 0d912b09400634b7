//! Hands out the channels' halves.

use super::config::{Channel, End, Kind};
use super::mailbox::Mailbox;
use super::receiver::Receiver;
use super::sampling::{Reader, Writer};
use super::sender::Sender;
use crate::memory::Memory;
use core::fmt;

/// Hands out each channel's half, once.
#[derive(Debug)]
pub struct Channels<'a, M> {
    pub(super) mailbox: &'a Mailbox<'a, M>,
    pub(super) taken: u64,
}

/// Why a half was not handed out. `channel` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TakeError {
    /// There is no such channel.
    NoSuchChannel {
        /// The one asked for.
        channel: usize,
        /// How many there are.
        channels: usize,
    },
    /// The half was handed out already.
    Taken {
        /// The one asked for.
        channel: usize,
    },
    /// The channel is of another kind than the half asked for, or is (is not) protected.
    WrongKind {
        /// The one asked for.
        channel: usize,
        /// What the channel is.
        kind: Kind,
        /// Whether the channel is protected.
        protected: bool,
    },
    /// This end receives where a sender was asked for, or sends where a receiver was.
    WrongDirection {
        /// The one asked for.
        channel: usize,
        /// Who sends on it.
        from: End,
    },
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchChannel { channel, channels } => {
                write!(f, "there is no channel {channel}: the mailbox has {channels}, counted from 0")
            }
            Self::Taken { channel } => write!(f, "this end's half of channel {channel} is taken already"),
            Self::WrongKind { channel, kind, protected } => {
                let protected = if *protected { "protected " } else { "" };
                write!(f, "channel {channel} is a {protected}{kind:?} channel, which has no such half")
            }
            Self::WrongDirection { channel, from } => write!(f, "channel {channel} is sent by the {from:?} end"),
        }
    }
}

impl core::error::Error for TakeError {}

impl<'a, M: Memory> Channels<'a, M> {
    pub(super) const fn new(mailbox: &'a Mailbox<'a, M>) -> Self {
        Self { mailbox, taken: 0 }
    }

    /// The sending half of a queuing channel that this end sends.
    pub fn sender(&mut self, channel: usize) -> Result<Sender<'a, M>, TakeError> {
        let config = self.take(channel, self.mailbox.end, Kind::Queuing, false)?;
        Ok(Sender::new(self.mailbox, channel, config))
    }

    /// The receiving half of a queuing channel that the other end sends.
    pub fn receiver(&mut self, channel: usize) -> Result<Receiver<'a, M>, TakeError> {
        let config = self.take(channel, self.mailbox.end.other(), Kind::Queuing, false)?;
        Ok(Receiver::new(self.mailbox, channel, config))
    }

    /// The writing half of a sampling channel that this end writes.
    pub fn writer(&mut self, channel: usize) -> Result<Writer<'a, M>, TakeError> {
        let config = self.take(channel, self.mailbox.end, Kind::Sampling, false)?;
        Ok(Writer::new(self.mailbox, channel, config))
    }

    /// The reading half of a sampling channel that the other end writes.
    pub fn reader(&mut self, channel: usize) -> Result<Reader<'a, M>, TakeError> {
        let config = self.take(channel, self.mailbox.end.other(), Kind::Sampling, false)?;
        Ok(Reader::new(self.mailbox, channel, config, true))
    }

    /// A reader that has no section of its own.
    pub(super) fn onlooker(&mut self, channel: usize) -> Result<Reader<'a, M>, TakeError> {
        let config = self.take(channel, self.mailbox.end.other(), Kind::Sampling, false)?;
        Ok(Reader::new(self.mailbox, channel, config, false))
    }

    /// Takes this end's half of a channel, if it is what the caller is about to make of it.
    pub(super) fn take(
        &mut self,
        channel: usize,
        from: End,
        kind: Kind,
        protected: bool,
    ) -> Result<Channel, TakeError> {
        let channels = self.mailbox.channels;
        let config = *channels.get(channel).ok_or(TakeError::NoSuchChannel { channel, channels: channels.len() })?;
        if config.kind != kind || config.data_id.is_some() != protected {
            let protected = config.data_id.is_some();
            return Err(TakeError::WrongKind { channel, kind: config.kind, protected });
        }
        if config.from() != from {
            return Err(TakeError::WrongDirection { channel, from: config.from() });
        }
        // `channel` is below 64: `config::check` allows no more channels.
        let bit = 1 << (channel & 63);
        if self.taken & bit != 0 {
            return Err(TakeError::Taken { channel });
        }
        self.taken |= bit;
        Ok(config)
    }
}
