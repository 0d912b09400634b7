//! The protected halves of a queuing channel.

use super::super::channels::{Channels, TakeError};
use super::super::config::Kind;
use super::super::error::{RecvError, SendError};
use super::super::notice::Notice;
use super::super::receiver::{Receiver, ReceiverStats};
use super::super::sender::{Sender, SenderStats};
use super::super::wire::kind;
use super::age::Since;
use super::checked::{Checked, Received};
use super::checker::{Arrival, Checker, Expected};
use super::head::{Head, Words};
use super::status::StatusCounts;
use super::window::State;
use crate::memory::Memory;

impl<'a, M: Memory> Channels<'a, M> {
    /// The sending half of a protected queuing channel that this end sends, under the name `source`.
    pub fn protected_sender(&mut self, channel: usize, source: u16) -> Result<ProtectedSender<'a, M>, TakeError> {
        let config = self.take(channel, self.mailbox.end, Kind::Queuing, true)?;
        let sender = Sender::new(self.mailbox, channel, config);
        Ok(ProtectedSender { sender, data_id: config.data_id.unwrap_or_default(), source, sequence: 0 })
    }

    /// The receiving half of a protected queuing channel that the other end sends.
    ///
    /// Take it before the link's first poll: nothing is taken to be older than `now`, in ticks of any clock that only counts up.
    pub fn protected_receiver(
        &mut self,
        channel: usize,
        expected: Expected,
        now: u64,
    ) -> Result<ProtectedReceiver<'a, M>, TakeError> {
        let config = self.take(channel, self.mailbox.end.other(), Kind::Queuing, true)?;
        let checker = Checker::queuing(config.data_id.unwrap_or_default(), expected);
        let receiver = Receiver::new(self.mailbox, channel, config);
        Ok(ProtectedReceiver { receiver, checker, since: Since::new(config.slots(), now) })
    }
}

/// Sends on one protected channel.
#[derive(Debug)]
pub struct ProtectedSender<'a, M> {
    sender: Sender<'a, M>,
    data_id: u32,
    source: u16,
    /// The next message's. A session begins with 0; a restart of the channel within it counts on, and so shows what it lost.
    sequence: u32,
}

impl<M: Memory> ProtectedSender<'_, M> {
    /// Sends one message of at most [`max_len`](Self::max_len) bytes. Accesses and errors as of [`Sender::try_send`], and 3 words more.
    pub fn try_send(&mut self, message: &[u8]) -> Result<Notice, SendError> {
        self.try_publish(message)?;
        Ok(self.sender.notice())
    }

    /// As [`try_send`](Self::try_send), but a message that finds the channel full is dropped and counted: `None`. The
    /// receiver is told with the next one, which is [`Status::SomeLost`](super::Status::SomeLost).
    pub fn try_send_lossy(&mut self, message: &[u8]) -> Result<Option<Notice>, SendError> {
        let published = self.try_publish(message);
        if self.sender.or_dropped(published)? {
            return Ok(Some(self.sender.notice()));
        }
        self.sequence = self.sequence.wrapping_add(1);
        Ok(None)
    }

    /// As [`Sender::try_publish`]: follow a batch of these by one [`notice`](Self::notice).
    pub fn try_publish(&mut self, message: &[u8]) -> Result<(), SendError> {
        let max = self.max_len();
        let length = match u16::try_from(message.len()) {
            Ok(length) if length <= max => length,
            _ => return Err(SendError::TooLong { len: message.len(), max }),
        };
        let published = self.publish(length, message);
        match published {
            Ok(()) => self.sequence = self.sequence.wrapping_add(1),
            Err(SendError::PeerRestarted { .. }) => self.sequence = 0,
            Err(_) => {}
        }
        published
    }

    /// Whether a doorbell is due for what was published since the last notice. At most 1 load.
    pub fn notice(&mut self) -> Notice {
        self.sender.notice()
    }

    /// The longest message, in bytes: 24 less than the channel's.
    pub const fn max_len(&self) -> u16 {
        self.sender.max_len().saturating_sub(kind::PROTECTION)
    }

    /// What this half has counted.
    pub const fn stats(&self) -> SenderStats {
        self.sender.stats()
    }

    /// Restarts the channel after a violation: see [`Sender::resync`].
    pub fn resync(&mut self) -> u64 {
        self.sender.resync()
    }

    fn publish(&mut self, length: u16, message: &[u8]) -> Result<(), SendError> {
        // Joins a new session first. Should yet another begin now, publishing refuses, and no head bears the wrong key.
        let session = self.sender.join_session()?.bits();
        let Self { data_id, source, sequence, .. } = *self;
        let head = Head { data_id, length, source, sequence, session }.seal(message);
        self.sender.try_publish_parts(kind::MESSAGE, head.as_flattened(), message)
    }
}

/// Receives on one protected channel.
#[derive(Debug)]
pub struct ProtectedReceiver<'a, M> {
    receiver: Receiver<'a, M>,
    checker: Checker,
    since: Since,
}

impl<M: Memory> ProtectedReceiver<'_, M> {
    /// Receives the next message into `buffer`, if there is one, and checks it. It is consumed whatever its status.
    ///
    /// Accesses and errors as of [`Receiver::try_recv`], and 3 words more. The age is measured from the last call that
    /// found nothing, and is at most the time in which a whole ring was received: receive in every cycle. A call that finds the
    /// link down counts as one that found nothing, and so poll the link first: a message that comes between poll and
    /// call is taken for younger than it is, by the time between them.
    pub fn try_recv<'b>(&mut self, buffer: &'b mut [u8], now: u64) -> Result<Option<Checked<'b>>, RecvError> {
        let received = self.take(buffer, now)?;
        Ok(received.map(|received| received.into_checked(buffer)))
    }

    /// Receives and checks the next message.
    pub(in crate::channel) fn take(&mut self, buffer: &mut [u8], now: u64) -> Result<Option<Received>, RecvError> {
        let mut head = Words::default();
        let parts = match self.receiver.try_take_parts(head.as_flattened_mut(), buffer) {
            Ok(Some(parts)) => parts,
            Ok(None) => {
                self.since.nothing(now);
                return Ok(None);
            }
            Err(error) => {
                match error {
                    RecvError::NotUp => self.since.nothing(now),
                    RecvError::PeerRestarted { .. } => self.checker.restart(),
                    _ => {}
                }
                return Err(error);
            }
        };
        let bytes = buffer.get(..parts.len).unwrap_or_default();
        let age = self.since.taken(now);
        let arrival = Arrival { session: self.receiver.key().bits(), age, now, fresh: true };
        let status = self.checker.check(arrival, &head, bytes);
        Ok(Some(Received { len: parts.len, status, age }))
    }

    /// Asks for one doorbell for the next message: see [`Receiver::arm`].
    #[must_use = "sleeping although a message is there waits for a doorbell that was never due"]
    pub fn arm(&mut self) -> bool {
        self.receiver.arm()
    }

    /// How the channel stands at `now`.
    pub fn state(&self, now: u64) -> State {
        self.checker.state(now)
    }

    /// How many messages had which status.
    pub const fn counts(&self) -> StatusCounts {
        self.checker.counts()
    }

    /// The longest message, in bytes: 24 less than the channel's.
    pub const fn max_len(&self) -> u16 {
        self.receiver.max_len().saturating_sub(kind::PROTECTION)
    }

    /// What the receiving half has counted.
    pub const fn stats(&self) -> ReceiverStats {
        self.receiver.stats()
    }

    /// Restarts the channel after a violation: see [`Receiver::resync`].
    pub fn resync(&mut self) {
        self.receiver.resync();
    }
}
