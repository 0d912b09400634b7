//! The sending half of a queuing channel.

use super::ahead::Ahead;
use super::board::Session;
use super::config::Channel;
use super::error::{PeerViolation, SendError};
use super::layout::Place;
use super::mailbox::Mailbox;
use super::notice::Notice;
use super::wire::{HEADER, Header, Key, Keyed, kind};
use super::wish::Wish;
use crate::control;
use crate::memory::Memory;
use core::cell::Cell;
use core::marker::PhantomData;

mod ring;

/// What a sender has counted; each saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SenderStats {
    /// Messages published.
    pub sent: u64,
    /// Calls refused because the channel was full, [`dropped`](Self::dropped) ones included.
    pub full: u64,
    /// Messages that lossy calls dropped because the channel was full.
    pub dropped: u64,
    /// Doorbells that were due.
    pub notices: u64,
    /// Messages of ended sessions that were never acknowledged: an upper bound of those lost.
    pub lost_at_most: u64,
    /// Sessions begun after the first.
    pub restarts: u32,
    /// Restarts of this channel within a session, by either end.
    pub resyncs: u32,
    /// Violations latched.
    pub violations: u32,
}

/// Sends on one channel: the only one that does, by type.
#[derive(Debug)]
pub struct Sender<'a, M> {
    mailbox: &'a Mailbox<'a, M>,
    channel: usize,
    config: Channel,
    place: Place,
    session: Option<Session>,
    /// The key of the ring's current generation; meaningful in a session.
    key: Key,
    /// Messages published and, as last seen, consumed in this generation of the ring.
    produced: u64,
    consumed: u64,
    /// Restarts of the ring by this half since the receiver was last seen on it.
    ahead: Ahead,
    /// The link's poll after which the receiver's line was last looked at.
    looked: u32,
    wish: Wish,
    violation: Option<PeerViolation>,
    stats: SenderStats,
    /// `Send`, but not `Sync`: one producer.
    not_sync: PhantomData<Cell<()>>,
}

impl<'a, M: Memory> Sender<'a, M> {
    pub(super) fn new(mailbox: &'a Mailbox<'a, M>, channel: usize, config: Channel) -> Self {
        Self {
            mailbox,
            channel,
            config,
            place: mailbox.layout().place(mailbox.end, channel),
            session: None,
            key: Key::from_bits(0),
            produced: 0,
            consumed: 0,
            ahead: Ahead::default(),
            looked: 0,
            wish: Wish::default(),
            violation: None,
            stats: SenderStats::default(),
            not_sync: PhantomData,
        }
    }

    /// Sends one message of at most [`Channel::max_len`] bytes, and says whether a doorbell is due for it.
    ///
    /// At most 2 loads, 1 store and the message's words; the first call of a session also stores 4 words and one for each slot, and
    /// so does one that answers [`SendError::PeerResynced`].
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<Notice, SendError> {
        self.try_publish(message)?;
        Ok(self.notice())
    }

    /// Sends one message as [`try_send`](Self::try_send) does or, if the channel is full, drops it and counts that:
    /// `None`. What is under way stays; the newest goes.
    pub fn try_send_lossy(&mut self, message: &[u8]) -> Result<Option<Notice>, SendError> {
        let published = self.try_publish(message);
        Ok(if self.or_dropped(published)? { Some(self.notice()) } else { None })
    }

    /// Sends one message without asking for a doorbell: follow a batch of these by one [`notice`](Self::notice).
    ///
    /// At most 1 load, 1 store and the message's words; the first call of a session as for [`try_send`](Self::try_send).
    pub fn try_publish(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.try_publish_parts(kind::MESSAGE, &[], message)
    }

    /// As [`try_publish`](Self::try_publish): a message of this kind that begins with `head`, a multiple of 8 bytes.
    pub(super) fn try_publish_parts(&mut self, kind: u8, head: &[u8], body: &[u8]) -> Result<(), SendError> {
        let max = self.config.max_len();
        let len = head.len().saturating_add(body.len());
        let length = match u16::try_from(len) {
            Ok(length) if length <= max => length,
            _ => return Err(SendError::TooLong { len, max }),
        };
        self.ready()?;
        if self.look_for_room()? == 0 {
            self.stats.full = self.stats.full.saturating_add(1);
            return Err(SendError::Full);
        }
        let slot = self.place.slot(self.produced);
        let payload = slot.saturating_add(HEADER);
        let header = Header { stamp: stamp(self.produced), length, kind, tag: self.key.tag() }.to_word();
        if !control::HEADER_LAST {
            self.memory().publish(slot, header);
        }
        self.memory().copy_in(payload, head);
        self.memory().copy_in(payload.saturating_add(head.len()), body);
        if control::HEADER_LAST {
            self.memory().publish(slot, header);
        }
        self.produced = self.produced.wrapping_add(1);
        self.stats.sent = self.stats.sent.saturating_add(1);
        Ok(())
    }

    /// Whether a message went out; one that found the channel full is counted as dropped.
    pub(super) fn or_dropped(&mut self, published: Result<(), SendError>) -> Result<bool, SendError> {
        match published {
            Err(SendError::Full) => {
                self.stats.dropped = self.stats.dropped.saturating_add(1);
                Ok(false)
            }
            published => published.map(|()| true),
        }
    }

    /// How many messages there is room for, as far as this side knows: looks at the receiver's acknowledgement once after
    /// each poll of the link, and always if half of the ring or more is in use. At most 1 load; the first call of a session as for [`try_send`](Self::try_send).
    pub fn room(&mut self) -> Result<u32, SendError> {
        self.ready()?;
        self.look_for_room()
    }

    fn look_for_room(&mut self) -> Result<u32, SendError> {
        let slots = self.config.slots();
        // Once a poll even if there is room: a receiver that restarted the channel reads nothing of what is sent until then.
        let polls = self.mailbox.board.polls();
        if self.in_flight() >= u64::from(slots / 2) || self.looked != polls {
            self.looked = polls;
            self.look_for_acknowledgement()?;
        }
        Ok(slots.saturating_sub(self.in_flight() as u32))
    }

    /// Whether a doorbell is due for what was published since the last notice. At most 1 load.
    pub fn notice(&mut self) -> Notice {
        if self.session.is_none() {
            return Notice::NONE;
        }
        let Self { mailbox, channel, place, key, produced, .. } = *self;
        let notice = self.wish.serve(mailbox, channel, place, Keyed { count: produced as u32, key });
        if notice.is_due() {
            self.stats.notices = self.stats.notices.saturating_add(1);
        }
        notice
    }

    /// Messages sent and not yet known to be consumed.
    pub const fn in_flight(&self) -> u64 {
        self.produced.wrapping_sub(self.consumed)
    }

    /// The longest message, in bytes.
    pub const fn max_len(&self) -> u16 {
        self.config.max_len()
    }

    /// The session that this half has joined.
    pub(super) const fn session(&self) -> Option<Session> {
        self.session
    }

    /// What this half has counted.
    pub const fn stats(&self) -> SenderStats {
        self.stats
    }

    /// Restarts the channel after a violation. Returns how many messages were unacknowledged: at most so many are lost.
    /// A receiver that sleeps is owed a doorbell: the next [`notice`](Self::notice) or send says so.
    ///
    /// Does nothing after 126 restarts that the receiver was not seen to follow: it could take the next for an earlier one.
    /// At most 1 load, 4 stores, and one for each slot.
    pub fn resync(&mut self) -> u64 {
        if self.session.is_none() {
            return 0;
        }
        let Some(ahead) = self.ahead.restart(|| self.acknowledgement().key == self.key) else { return 0 };
        let lost = self.in_flight();
        self.violation = None;
        self.count_lost();
        self.stats.resyncs = self.stats.resyncs.saturating_add(1);
        self.start_ring(self.key.next_generation());
        self.ahead = ahead;
        lost
    }

    /// The key of the session that the next message goes into, joined first if it is new to this half. No load.
    #[cfg(feature = "protection")]
    pub(super) fn join_session(&mut self) -> Result<Key, SendError> {
        self.ready()?;
        Ok(self.key)
    }

    fn memory(&self) -> &M {
        &self.mailbox.memory
    }
}

/// The stamp of the message at a position.
pub(super) const fn stamp(position: u64) -> u32 {
    position.wrapping_add(1) as u32
}
