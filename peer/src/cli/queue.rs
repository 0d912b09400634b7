//! What `send` and `recv` share: which queuing channel, and its half, protected or not.

use super::Failure;
use super::mailbox::Role;
use super::protection::words;
use super::window::{ChannelArguments, Picked};
use core::time::Duration;
use ivshmem::channel::protection::{Expected, ProtectedReceiver, ProtectedSender, Status, StatusCounts};
use ivshmem::channel::{Channels, Kind, Notice, Receiver, RecvError, SendError, Sender, TakeError};
use ivshmem_peer::{Attachment, LONGEST_SLEEP, Mapping};

/// A queuing channel, and the end to be.
#[derive(Debug, clap::Args)]
pub(super) struct QueueArguments {
    #[command(flatten)]
    pub(super) window: ChannelArguments,
    /// Which channel, counted from 0; without it, the first queuing channel that goes this way.
    #[arg(long, value_name = "N")]
    channel: Option<usize>,
    /// Which end of the mailbox to be. Of the mailbox that is the default, the first sends responses, the second commands.
    #[arg(long, value_name = "END", default_value = "second")]
    pub(super) end: Role,
    /// On a protected channel: the sender's number, which it calls itself and the receiver expects.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) source: u16,
    /// How long to wait for the other side, in seconds, each time it is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400 * 365))]
    timeout: u64,
}

impl QueueArguments {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// The channel that this end sends on.
    pub(super) fn outgoing(&self) -> Result<Picked<'_>, Failure> {
        self.window.pick(self.channel, Kind::Queuing, self.end.end())
    }

    /// The channel that this end receives on.
    pub(super) fn incoming(&self) -> Result<Picked<'_>, Failure> {
        self.window.pick(self.channel, Kind::Queuing, self.end.end().other())
    }
}

/// The sending half.
pub(super) enum Sending<'a> {
    Plain(Sender<'a, Mapping>),
    Protected(ProtectedSender<'a, Mapping>),
}

impl<'a> Sending<'a> {
    pub(super) fn take(
        channels: &mut Channels<'a, Mapping>,
        picked: Picked<'_>,
        source: u16,
    ) -> Result<Self, TakeError> {
        match picked.is_protected() {
            false => channels.sender(picked.index).map(Self::Plain),
            true => channels.protected_sender(picked.index, source).map(Self::Protected),
        }
    }

    pub(super) fn try_send(&mut self, message: &[u8]) -> Result<Notice, SendError> {
        match self {
            Self::Plain(sender) => sender.try_send(message),
            Self::Protected(sender) => sender.try_send(message),
        }
    }
}

/// A message that came; on a protected channel with its status.
pub(super) struct Message<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) status: Option<Status>,
}

impl Message<'_> {
    /// The status in words, if there is one that is not `Ok`.
    pub(super) fn remark(&self) -> Option<String> {
        self.status.filter(|status| *status != Status::Ok).map(words)
    }
}

/// The receiving half.
pub(super) enum Receiving<'a> {
    Plain(Receiver<'a, Mapping>),
    Protected(ProtectedReceiver<'a, Mapping>),
}

impl<'a> Receiving<'a> {
    /// To be taken before the link is polled first.
    pub(super) fn take(
        channels: &mut Channels<'a, Mapping>,
        picked: Picked<'_>,
        expected: Expected,
        now: u64,
    ) -> Result<Self, TakeError> {
        match picked.is_protected() {
            false => channels.receiver(picked.index).map(Self::Plain),
            true => channels.protected_receiver(picked.index, expected, now).map(Self::Protected),
        }
    }

    pub(super) fn try_recv<'b>(&mut self, buffer: &'b mut [u8], now: u64) -> Result<Option<Message<'b>>, RecvError> {
        Ok(match self {
            Self::Plain(receiver) => receiver.try_recv(buffer)?.map(|bytes| Message { bytes, status: None }),
            Self::Protected(receiver) => receiver
                .try_recv(buffer, now)?
                .map(|checked| Message { bytes: checked.bytes, status: Some(checked.status) }),
        })
    }

    /// Waits for the next message: for a doorbell, at most [`LONGEST_SLEEP`], or without vectors for a moment.
    pub(super) fn wait(&mut self, attachment: &Attachment<'_>) {
        let Some(vector) = attachment.vector() else { return attachment.pause() };
        // Before the wish: a doorbell between the two is not slept through.
        let seen = vector.count();
        let is_there = match self {
            Self::Plain(receiver) => receiver.arm(),
            Self::Protected(receiver) => receiver.arm(),
        };
        if !is_there {
            vector.wait(seen, LONGEST_SLEEP);
        }
    }

    /// How many messages had which status, on a protected channel.
    pub(super) fn counts(&self) -> Option<StatusCounts> {
        match self {
            Self::Plain(_) => None,
            Self::Protected(receiver) => Some(receiver.counts()),
        }
    }
}
