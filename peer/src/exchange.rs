//! The command-and-response mailbox over a [`Backend`]: one end of it, polled or interrupt-driven as the backend allows.

use crate::{Attachment, Backend, Mapping, RingError, Vector};
use core::time::Duration;
use ivshmem::channel::{
    COMMAND_RESPONSE, End, LinkState, Mailbox, MailboxError, Receiver, RecvError, SendError, Sender,
};
use std::time::Instant;

/// How long an interrupt-driven end sleeps at most, and so by how much a lost doorbell delays a message.
pub const LONGEST_SLEEP: Duration = Duration::from_millis(10);

/// Looks before going to sleep: about 10 us on hardware, which saves the doorbell of a peer that answers at once.
const SPIN: u32 = 100;

/// The most bytes of a message, on either channel.
pub const MAX_MESSAGE: usize = 248;

/// One end of a [`COMMAND_RESPONSE`] mailbox, which lies at the start of the shared memory.
///
/// Every call ends within [`LONGEST_SLEEP`], and [`poll`](Self::poll) goes first in every round: it is what answers the peer.
#[derive(Debug)]
pub struct Exchange<'a> {
    attachment: Attachment<'a>,
    sender: Sender<'a, Mapping>,
    receiver: Receiver<'a, Mapping>,
    /// Which channel `sender` sends.
    outgoing: usize,
}

/// What an exchange has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeStats {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Interrupts of the own vector; many doorbells may be one.
    pub interrupts: u32,
    /// Doorbells rung.
    pub doorbells: u64,
    /// Messages found by looking after a sleep in which no doorbell came.
    pub recovered_by_poll: u64,
    /// Times the link came up again after the first.
    pub restarts: u32,
    /// Why the last doorbell that could not be rung could not; the peer then found its message later by itself.
    pub refused: Option<RingError>,
}

/// A mailbox over the backend's memory, to be kept where [`Exchange::attach`] can borrow it.
pub fn mailbox(backend: &dyn Backend, end: End) -> Result<Mailbox<'static, Mapping>, MailboxError> {
    Mailbox::new(backend.memory().clone(), end, &COMMAND_RESPONSE)
}

impl<'a> Exchange<'a> {
    /// Attaches as `end`, the one that `mailbox` was made for: from here on the peer sees a new session.
    pub fn attach(mailbox: &'a mut Mailbox<'static, Mapping>, backend: &'a dyn Backend, end: End) -> Self {
        // Both channels ring the receiver's vector 0.
        let (attachment, mut channels) = Attachment::attach(mailbox, backend, 0);
        let (outgoing, incoming) = match end {
            End::First => (1, 0),
            End::Second => (0, 1),
        };
        let sender = channels.sender(outgoing).expect("COMMAND_RESPONSE has one channel from each end");
        let receiver = channels.receiver(incoming).expect("COMMAND_RESPONSE has one channel to each end");
        Self { attachment, sender, receiver, outgoing }
    }

    /// Looks at the peer and answers it.
    pub fn poll(&mut self) -> LinkState {
        self.attachment.poll()
    }

    /// Since when this end is attached.
    pub fn attached_at(&self) -> Instant {
        self.attachment.attached_at()
    }

    /// The peer's id, if it has published one.
    pub fn peer_id(&self) -> Option<u16> {
        self.attachment.peer_id()
    }

    /// Sends one message and rings if that is due.
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let notice = self.sender.try_send(message)?;
        self.attachment.ring(notice);
        Ok(())
    }

    /// Receives the next message: waits for a doorbell, at most [`LONGEST_SLEEP`], or without vectors looks once and [rests](Self::rest).
    pub fn recv<'b>(&mut self, buffer: &'b mut [u8; MAX_MESSAGE]) -> Result<Option<&'b [u8]>, RecvError> {
        let vector = self.attachment.vector();
        let received = match vector {
            Some(vector) => self.receiver.recv(buffer, &vector.bounded(LONGEST_SLEEP), SPIN)?,
            None => self.receiver.try_recv(buffer)?,
        };
        match (&received, vector) {
            (Some(_), _) => self.attachment.received(),
            (None, None) => self.attachment.pause(),
            (None, Some(_)) => {}
        }
        Ok(received)
    }

    /// Lets others run while there is nothing to do: for at most a millisecond, or until a doorbell comes.
    pub fn rest(&self) {
        self.attachment.rest();
    }

    /// Whether the peer has begun to receive what was sent in this session. From then on it gets all of it, even if this end closes.
    pub fn peer_receives(&self) -> bool {
        self.attachment.peer_receives(&COMMAND_RESPONSE, self.outgoing)
    }

    /// Tells the peer that this end is done.
    pub fn close(&mut self) {
        self.attachment.close();
    }

    /// What was counted so far.
    pub fn stats(&self) -> ExchangeStats {
        let receiver = self.receiver.stats();
        ExchangeStats {
            sent: self.sender.stats().sent,
            received: receiver.received,
            interrupts: self.attachment.vector().map_or(0, Vector::count),
            doorbells: self.attachment.rings(),
            recovered_by_poll: receiver.recovered_by_poll,
            restarts: self.attachment.link_stats().sessions.saturating_sub(1),
            refused: self.attachment.refused(),
        }
    }
}

const _: () = {
    assert!(COMMAND_RESPONSE[0].max_len() as usize <= MAX_MESSAGE);
    assert!(COMMAND_RESPONSE[1].max_len() as usize <= MAX_MESSAGE);
};
