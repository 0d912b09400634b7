//! The receiving half of a queuing channel.

use super::ahead::Ahead;
use super::board::{Closed, Session};
use super::config::Channel;
use super::error::{PeerViolation, RecvError};
use super::layout::Place;
use super::mailbox::Mailbox;
use super::sender::stamp;
use super::wire::{self, HEADER, Header, Key};
use super::wish::Wish;
use crate::control;
use crate::log::log;
use crate::memory::Memory;
use crate::notify::Wait;
use crate::sync::{Ordering, fence};
use core::cell::Cell;
use core::marker::PhantomData;

mod ring;

/// What a receiver has counted; each saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReceiverStats {
    /// Messages received.
    pub received: u64,
    /// Messages found by looking after a wait in which no doorbell came.
    pub recovered_by_poll: u64,
    /// Waits that put the caller to sleep.
    pub sleeps: u64,
    /// Sessions begun after the first.
    pub restarts: u32,
    /// Restarts of this channel within a session, by either end.
    pub resyncs: u32,
    /// Violations latched.
    pub violations: u32,
}

/// A message whose head and body were received apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// One of [`wire::kind`]'s, and one that the channel carries.
    pub(super) kind: u8,
    /// Bytes of the body.
    pub(super) len: usize,
}

/// Receives on one channel: the only one that does, by type.
#[derive(Debug)]
pub struct Receiver<'a, M> {
    mailbox: &'a Mailbox<'a, M>,
    /// Only said in log lines.
    #[cfg_attr(not(feature = "defmt"), expect(dead_code))]
    channel: usize,
    config: Channel,
    place: Place,
    session: Option<Session>,
    /// The key of the ring's current generation; meaningful in a session.
    key: Key,
    /// Whether the sender was seen to offer the ring under `key`.
    joined: bool,
    /// Messages consumed in this generation of the ring, and how many of them were acknowledged.
    consumed: u64,
    acknowledged: u64,
    /// Restarts of the ring by this half since the sender was last seen on it.
    ahead: Ahead,
    violation: Option<PeerViolation>,
    pub(super) stats: ReceiverStats,
    /// The event's count when a task last went to sleep here, until it looks again.
    pub(super) armed_at: Option<u32>,
    /// `Send`, but not `Sync`: one consumer.
    not_sync: PhantomData<Cell<()>>,
}

impl<'a, M: Memory> Receiver<'a, M> {
    pub(super) fn new(mailbox: &'a Mailbox<'a, M>, channel: usize, config: Channel) -> Self {
        Self {
            mailbox,
            channel,
            config,
            place: mailbox.layout().place(mailbox.end, channel),
            session: None,
            key: Key::from_bits(0),
            joined: false,
            consumed: 0,
            acknowledged: 0,
            ahead: Ahead::default(),
            violation: None,
            stats: ReceiverStats::default(),
            armed_at: None,
            not_sync: PhantomData,
        }
    }

    /// Receives the next message into `buffer`, if there is one, and returns its bytes.
    ///
    /// A buffer of [`Channel::max_len`] bytes takes any message. At most 2 loads, 1 store and the message's words;
    /// 1 load more until the sender is seen to have joined the session, and 1 store more on the first call of one.
    pub fn try_recv<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, RecvError> {
        let length = self.try_take(buffer)?;
        Ok(length.and_then(|length| buffer.get(..length)))
    }

    /// Receives the next message, waiting for it if need be: looks `spin` times, then asks for a doorbell, looks
    /// again, sleeps once as long as `wait` allows, and looks again. `None`: nothing came. Poll the link in between.
    ///
    /// A spin budget near the peer's answering time saves nearly every doorbell and sleep. At most the accesses of `spin + 1`
    /// [`try_recv`](Self::try_recv) and an [`arm`](Self::arm).
    pub fn recv<'b, W: Wait>(
        &mut self,
        buffer: &'b mut [u8],
        wait: &W,
        spin: u32,
    ) -> Result<Option<&'b [u8]>, RecvError> {
        let length = self.wait_and_take(buffer, wait, spin)?;
        Ok(length.and_then(|length| buffer.get(..length)))
    }

    /// Asks for one doorbell for the next message, and says whether there is something to look at already: a message, or
    /// news that [`try_recv`](Self::try_recv) reports as an error. If so, do not sleep.
    ///
    /// At most 2 loads and 2 stores.
    #[must_use = "sleeping although a message is there waits for a doorbell that was never due"]
    pub fn arm(&mut self) -> bool {
        if self.session.is_none() || self.session != self.mailbox.board.session() || self.violation.is_some() {
            return true;
        }
        self.acknowledge();
        Wish::make(self.mailbox, self.place, stamp(self.consumed), self.key);
        if !control::LOOK_AGAIN {
            return false;
        }
        if self.joined {
            let header = Header::from_word(self.memory().load(self.place.slot(self.consumed)));
            header.stamp == stamp(self.consumed) || self.key_at(wire::RING_AFTER) != self.key
        } else {
            let offered = self.key_at(wire::RING);
            offered == self.key || offered.is_later_generation_of(self.key)
        }
    }

    /// The longest message, in bytes.
    pub const fn max_len(&self) -> u16 {
        self.config.max_len()
    }

    /// The session that this half has joined.
    pub(super) const fn session(&self) -> Option<Session> {
        self.session
    }

    /// Whether the sender was seen to offer the ring that this half expects.
    pub(super) const fn has_joined(&self) -> bool {
        self.joined
    }

    /// How urgently the channel is served: [`Channel::priority`].
    pub const fn priority(&self) -> u8 {
        self.config.priority
    }

    /// What this half has counted.
    pub const fn stats(&self) -> ReceiverStats {
        self.stats
    }

    /// The key under which the last message came.
    #[cfg(feature = "protection")]
    pub(super) const fn key(&self) -> Key {
        self.key
    }

    /// Restarts the channel after a violation: asks the sender to empty its ring and to begin again.
    ///
    /// Messages in flight are lost, at most as many as the channel has slots; the sender counts them.
    ///
    /// Does nothing after 126 restarts that the sender was not seen to follow: it could take the next for an earlier one.
    /// At most 1 load and 1 store.
    pub fn resync(&mut self) {
        if self.session.is_none() {
            return;
        }
        let Some(ahead) = self.ahead.restart(|| self.key_at(wire::RING) == self.key) else { return };
        self.violation = None;
        self.stats.resyncs = self.stats.resyncs.saturating_add(1);
        self.start_ring(self.key.next_generation());
        self.ahead = ahead;
    }

    fn wait_and_take<W: Wait>(&mut self, buffer: &mut [u8], wait: &W, spin: u32) -> Result<Option<usize>, RecvError> {
        for _ in 0..spin {
            if let Some(length) = self.try_take(buffer)? {
                return Ok(Some(length));
            }
            core::hint::spin_loop();
        }
        // Read before arming: a doorbell between here and the sleep then ends the sleep at once.
        let seen = wait.count();
        if self.arm() {
            return self.try_take(buffer);
        }
        self.stats.sleeps = self.stats.sleeps.saturating_add(1);
        let rang = wait.wait(seen);
        let taken = self.try_take(buffer)?;
        if taken.is_some() && !rang {
            self.stats.recovered_by_poll = self.stats.recovered_by_poll.saturating_add(1);
        }
        Ok(taken)
    }

    #[inline]
    fn try_take(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, RecvError> {
        Ok(self.try_take_parts(&mut [], buffer)?.map(|parts| parts.len))
    }

    /// Receives the next message: its first bytes, a multiple of 8, into `head`, the rest into `body`.
    pub(super) fn try_take_parts(&mut self, head: &mut [u8], body: &mut [u8]) -> Result<Option<Parts>, RecvError> {
        self.try_take_kind(None, head, body)
    }

    /// As [`try_take_parts`](Self::try_take_parts), but leaves a message that is not of the kind asked for.
    pub(super) fn try_take_kind(
        &mut self,
        kind: Option<u8>,
        head: &mut [u8],
        body: &mut [u8],
    ) -> Result<Option<Parts>, RecvError> {
        let closed = self.ready()?;
        if !self.joined && !self.look_for_ring(closed)? {
            return Self::nothing(closed);
        }
        let slot = self.place.slot(self.consumed);
        let word = self.memory().load(slot);
        let header = Header::from_word(word);
        let expected_stamp = stamp(self.consumed);
        let is_next = header.stamp == expected_stamp && (header.tag == self.key.tag() || !control::TAG_CHECK);
        let header = if control::SINGLE_FETCH { header } else { Header::from_word(self.memory().load(slot)) };
        // Validated on this private copy of the header; nothing else says how much is copied.
        let rest = usize::from(header.length).checked_sub(head.len());
        let mut len = None;
        if is_next
            && header.length <= self.longest()
            && let Some(rest) = rest
            && let Some(bytes) = body.get_mut(..rest)
        {
            let payload = slot.saturating_add(HEADER);
            self.memory().copy_out(payload, head);
            self.memory().copy_out(payload.saturating_add(head.len()), bytes);
            len = Some(rest);
        }
        // Acquire: the payload is read before the key. If the sender has meanwhile emptied the ring, for a new
        // session or a resync, this look finds its key gone and the payload is dropped.
        fence(Ordering::Acquire);
        let offered = self.key_at(wire::RING_AFTER);
        if offered != self.key && control::KEY_AFTER_PAYLOAD {
            self.joined = false;
            return self.ring_gone(offered, closed);
        }
        if !is_next {
            return match self.is_previous(word) {
                true => Self::nothing(closed),
                false => Err(self.violated(PeerViolation::Header { expected_stamp, found: word })),
            };
        }
        if let Some(violation) = self.check(header, head.len()) {
            return Err(self.violated(violation));
        }
        if kind.is_some_and(|kind| kind != header.kind) {
            return Ok(None);
        }
        let Some(len) = len else {
            return Err(RecvError::BufferTooSmall {
                need: header.length.saturating_sub(head.len() as u16),
                have: body.len(),
            });
        };
        self.consumed = self.consumed.wrapping_add(1);
        self.stats.received = self.stats.received.saturating_add(1);
        if self.consumed.wrapping_sub(self.acknowledged) >= u64::from(self.config.slots() / 4) {
            self.acknowledge();
        }
        Ok(Some(Parts { kind: header.kind, len }))
    }

    /// What no honest sender puts into the header of the next message, if it is there.
    fn check(&self, header: Header, head: usize) -> Option<PeerViolation> {
        let max = self.longest();
        if header.length > max {
            return Some(PeerViolation::Length { found: header.length, max });
        }
        if usize::from(header.length) < head {
            return Some(PeerViolation::Short { found: header.length, least: head as u16 });
        }
        if !self.config.kind.carries(header.kind) {
            return Some(PeerViolation::Kind { found: header.kind });
        }
        // A cancellation is a head and nothing else, for which no buffer is too small.
        let max = wire::kind::HEAD;
        (header.kind == wire::kind::CANCEL && header.length > max)
            .then_some(PeerViolation::Length { found: header.length, max })
    }

    /// The longest message that is none too long.
    const fn longest(&self) -> u16 {
        if control::LENGTH_CHECK { self.config.max_len() } else { u16::MAX }
    }

    /// Nothing to receive: not an error, unless the peer has closed and this was all.
    fn nothing<T>(closed: Closed) -> Result<Option<T>, RecvError> {
        match closed {
            Closed::No => Ok(None),
            Closed::Here | Closed::There => Err(RecvError::Closed),
        }
    }

    /// Closes the channel: what was received cannot be from an honest peer.
    pub(super) fn violated(&mut self, violation: PeerViolation) -> RecvError {
        self.violation = control::LATCH.then_some(violation);
        self.stats.violations = self.stats.violations.saturating_add(1);
        log!(error, "mailbox: channel {=usize} violated, {}", self.channel, violation);
        RecvError::Violated(violation)
    }

    fn memory(&self) -> &M {
        &self.mailbox.memory
    }
}
