//! The ring that the sender offers: a new one in every session, and with every restart of the channel.

use super::Sender;
use crate::channel::ahead::Ahead;
use crate::channel::board::{Closed, Session};
use crate::channel::error::{PeerViolation, SendError};
use crate::channel::wire::{self, Key, Keyed};
use crate::channel::wish::Wish;
use crate::control;
use crate::log::log;
use crate::memory::Memory;
use crate::sync::{Ordering, fence};

impl<M: Memory> Sender<'_, M> {
    /// Checks that this half may go on, and joins a session that is new to it.
    #[inline]
    pub(in crate::channel) fn ready(&mut self) -> Result<(), SendError> {
        let Some(session) = self.mailbox.board.session() else {
            return Err(match self.mailbox.board.closed() {
                Closed::No => SendError::NotUp,
                Closed::Here | Closed::There => SendError::Closed,
            });
        };
        if self.session != Some(session) {
            self.join(session)?;
        }
        match self.violation {
            Some(violation) => Err(SendError::Violated(violation)),
            None => Ok(()),
        }
    }

    #[cold]
    fn join(&mut self, session: Session) -> Result<(), SendError> {
        let rejoins = self.session.is_some();
        let lost_at_most = self.count_lost();
        self.session = Some(session);
        self.start_ring(session.key);
        if !rejoins {
            return Ok(());
        }
        self.stats.restarts = self.stats.restarts.saturating_add(1);
        log!(warn, "mailbox: channel {=usize} joined a new session, lost at most {=u32}", self.channel, lost_at_most);
        Err(SendError::PeerRestarted { lost_at_most })
    }

    pub(super) fn count_lost(&mut self) -> u32 {
        let lost = self.in_flight();
        self.stats.lost_at_most = self.stats.lost_at_most.saturating_add(lost);
        u32::try_from(lost).unwrap_or(u32::MAX)
    }

    /// Empties the ring and offers it under `key`.
    pub(super) fn start_ring(&mut self, key: Key) {
        let memory = &self.mailbox.memory;
        let ring = self.place.ours.saturating_add(wire::RING);
        let after = self.place.ours.saturating_add(wire::RING_AFTER);
        memory.publish(ring, 0);
        memory.publish(after, 0);
        // Release: a receiver that sees a header cleared below, or payload of a later message, and then looks at
        // the ring's key does not find the old key any more.
        fence(Ordering::Release);
        for position in 0..u64::from(self.config.slots()) {
            if control::CLEARED_SLOTS {
                memory.store(self.place.slot(position), 0);
            }
        }
        // Publish: whoever sees the key sees every header cleared.
        memory.publish(after, u64::from(key.bits()));
        memory.publish(ring, u64::from(key.bits()));
        self.key = key;
        self.produced = 0;
        self.consumed = 0;
        self.ahead = Ahead::default();
        // Of a ring just offered there is no news yet, unless the link is polled again meanwhile.
        self.looked = self.mailbox.board.polls();
        self.wish = Wish::default();
    }

    pub(super) fn acknowledgement(&self) -> Keyed {
        Keyed::from_word(self.memory().load(self.place.theirs.saturating_add(wire::ACKNOWLEDGED)))
    }

    /// Reads the receiver's acknowledgement once and believes it only if it can be true.
    pub(super) fn look_for_acknowledgement(&mut self) -> Result<(), SendError> {
        let Keyed { count: found, key } = self.acknowledgement();
        if key.is_later_generation_of(self.key) {
            let lost_at_most = self.count_lost();
            self.stats.resyncs = self.stats.resyncs.saturating_add(1);
            self.start_ring(key);
            return Err(SendError::PeerResynced { lost_at_most });
        }
        if key != self.key {
            // Of an earlier session or generation: the receiver has not joined yet and has consumed nothing.
            return Ok(());
        }
        self.ahead = Ahead::default();
        let before = self.consumed as u32;
        let newly = u64::from(found.wrapping_sub(before));
        if newly > self.in_flight() && control::ACKNOWLEDGED_RANGE {
            let violation = PeerViolation::Acknowledged { found, before, sent: self.produced as u32 };
            self.violation = Some(violation);
            self.stats.violations = self.stats.violations.saturating_add(1);
            log!(error, "mailbox: channel {=usize} violated, {}", self.channel, violation);
            return Err(SendError::Violated(violation));
        }
        self.consumed = self.consumed.wrapping_add(newly);
        Ok(())
    }
}
