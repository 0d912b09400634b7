//! Which ring the receiver is on: a new one with every session, and with every restart of the channel.

use super::Receiver;
use crate::channel::ahead::Ahead;
use crate::channel::board::{Closed, Session};
use crate::channel::error::RecvError;
use crate::channel::sender::stamp;
use crate::channel::wire::{self, Header, Key, Keyed};
use crate::log::log;
use crate::memory::Memory;

impl<M: Memory> Receiver<'_, M> {
    /// Checks that this half may go on, and joins a session that is new to it. Says whether anybody has closed, for
    /// [`nothing`](Self::nothing): what a peer sent before it closed is found by any look that is made after this.
    #[inline]
    pub(in crate::channel) fn ready(&mut self) -> Result<Closed, RecvError> {
        let board = &self.mailbox.board;
        let (session, closed) = (board.session(), board.closed());
        let session = match (session, closed) {
            (Some(session), _) => session,
            (None, Closed::No) => return Err(RecvError::NotUp),
            (None, Closed::Here) => return Err(RecvError::Closed),
            // What the peer sent before it closed is still good.
            (None, Closed::There) => board.last_session().ok_or(RecvError::Closed)?,
        };
        if self.session != Some(session) {
            self.join(session)?;
        }
        match self.violation {
            Some(violation) => Err(RecvError::Violated(violation)),
            None => Ok(closed),
        }
    }

    #[cold]
    fn join(&mut self, session: Session) -> Result<(), RecvError> {
        let rejoins = self.session.is_some();
        self.session = Some(session);
        self.start_ring(session.key);
        if !rejoins {
            return Ok(());
        }
        self.stats.restarts = self.stats.restarts.saturating_add(1);
        log!(warn, "mailbox: channel {=usize} joined a new session", self.channel);
        Err(RecvError::PeerRestarted { lost_at_most: self.config.slots() })
    }

    /// Expects a ring under `key`, and says so to the sender.
    pub(super) fn start_ring(&mut self, key: Key) {
        self.key = key;
        self.joined = false;
        self.ahead = Ahead::default();
        self.consumed = 0;
        self.acknowledge();
    }

    /// Looks whether the sender offers the ring under the key expected.
    pub(super) fn look_for_ring(&mut self, closed: Closed) -> Result<bool, RecvError> {
        let offered = self.key_at(wire::RING);
        if offered.is_later_generation_of(self.key) {
            self.ring_gone::<()>(offered, closed)?;
        }
        self.joined = offered == self.key;
        if self.joined {
            self.ahead = Ahead::default();
        }
        Ok(self.joined)
    }

    /// The ring is under another key: restarted by the sender, being emptied, or already of a session to come.
    #[cold]
    pub(super) fn ring_gone<T>(&mut self, offered: Key, closed: Closed) -> Result<Option<T>, RecvError> {
        if !offered.is_later_generation_of(self.key) {
            return Self::nothing(closed);
        }
        self.stats.resyncs = self.stats.resyncs.saturating_add(1);
        self.start_ring(offered);
        Err(RecvError::PeerResynced { lost_at_most: self.config.slots() })
    }

    pub(super) fn key_at(&self, word: usize) -> Key {
        let word = self.memory().load(self.place.theirs.saturating_add(word));
        // A word with anything above the key is no key: 0 never is one either.
        Key::from_bits(u32::try_from(word).unwrap_or(0))
    }

    /// Whether a header is what the next message's slot held before it: cleared, or the message one round ago.
    pub(super) fn is_previous(&self, word: u64) -> bool {
        match self.consumed.checked_sub(u64::from(self.config.slots())) {
            None => word == 0,
            Some(position) => {
                let header = Header::from_word(word);
                header.stamp == stamp(position) && header.tag == self.key.tag()
            }
        }
    }

    /// Tells the sender how much is consumed, so that it can go on.
    pub(super) fn acknowledge(&mut self) {
        let acknowledgement = Keyed { count: self.consumed as u32, key: self.key };
        self.memory().publish(self.place.ours.saturating_add(wire::ACKNOWLEDGED), acknowledgement.to_word());
        self.acknowledged = self.consumed;
    }
}
