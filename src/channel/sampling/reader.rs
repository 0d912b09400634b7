//! The reading half of a sampling channel.

use super::error::ReadError;
use super::sample::{Age, Sample, Taken, Validity};
use crate::channel::board::{Closed, Session};
use crate::channel::config::Channel;
use crate::channel::error::PeerViolation;
use crate::channel::layout::Place;
use crate::channel::mailbox::Mailbox;
use crate::channel::wire::{self, HEADER, Header, Key, Keyed, SAMPLES};
use crate::channel::wish::Wish;
use crate::control;
use crate::log::log;
use crate::memory::Memory;
use crate::sync::{Ordering, fence};
use core::cell::Cell;
use core::marker::PhantomData;

/// What a reader has counted; each saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReaderStats {
    /// Tries that gave a value.
    pub read: u64,
    /// Those of them that gave one not seen before.
    pub fresh: u64,
    /// Values written and overwritten between two that were seen.
    pub missed: u64,
    /// Tries during which the writer began four values.
    pub busy: u64,
    /// Sessions begun after the first.
    pub restarts: u32,
    /// Violations latched.
    pub violations: u32,
}

/// The value seen last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u32,
    /// When it was found, and when this reader had last looked before that.
    found_at: u64,
    absent_at: Option<u64>,
}

/// Reads one sampling channel. Writes nothing to shared memory, but for [`arm`](Self::arm).
#[derive(Debug)]
pub struct Reader<'a, M> {
    mailbox: &'a Mailbox<'a, M>,
    /// Only said in log lines.
    #[cfg_attr(not(feature = "defmt"), expect(dead_code))]
    channel: usize,
    config: Channel,
    place: Place,
    /// Whether this end has a section of its own to write its wishes into.
    arms: bool,
    refresh_period: u64,
    session: Option<Session>,
    seen: Option<Seen>,
    /// When this reader last looked in this session and was answered.
    looked_at: Option<u64>,
    violation: Option<PeerViolation>,
    stats: ReaderStats,
    /// `Send`, but not `Sync`.
    not_sync: PhantomData<Cell<()>>,
}

impl<'a, M: Memory> Reader<'a, M> {
    pub(in crate::channel) fn new(mailbox: &'a Mailbox<'a, M>, channel: usize, config: Channel, arms: bool) -> Self {
        Self {
            mailbox,
            channel,
            config,
            place: mailbox.layout().place(mailbox.end, channel),
            arms,
            refresh_period: 0,
            session: None,
            seen: None,
            looked_at: None,
            violation: None,
            stats: ReaderStats::default(),
            not_sync: PhantomData,
        }
    }

    /// Values older than this are [`Validity::Stale`]: in ticks of the clock that `now` is given from; 0, never, unless set.
    pub const fn refresh_period(self, ticks: u64) -> Self {
        Self { refresh_period: ticks, ..self }
    }

    /// Reads the latest value into `buffer`: one try. A buffer of [`Channel::max_len`] bytes takes any value.
    ///
    /// `now` is in ticks that only count up, the same that the link's poll is given. One that stands still or runs backwards
    /// merely delays [`Validity::Stale`]. Read it right before: what passes between it and this call counts as the value's age.
    /// 3 loads and the value's words.
    pub fn try_read<'b>(&mut self, buffer: &'b mut [u8], now: u64) -> Result<Sample<'b>, ReadError> {
        let taken = self.try_take_parts(&mut [], buffer, now)?;
        Ok(taken.into_sample(buffer))
    }

    /// As [`try_read`](Self::try_read), but tries again, 3 times in all, if the writer overtakes it.
    pub fn read<'b>(&mut self, buffer: &'b mut [u8], now: u64) -> Result<Sample<'b>, ReadError> {
        let taken = self.take_parts(&mut [], buffer, now)?;
        Ok(taken.into_sample(buffer))
    }

    /// As [`read`](Self::read): the value's first bytes, a multiple of 8, into `head`, the rest into `body`.
    pub(in crate::channel) fn take_parts(
        &mut self,
        head: &mut [u8],
        body: &mut [u8],
        now: u64,
    ) -> Result<Taken, ReadError> {
        for _ in 1..TRIES {
            match self.try_take_parts(head, body, now) {
                Err(ReadError::Busy) => {}
                result => return result,
            }
        }
        self.try_take_parts(head, body, now)
    }

    pub(in crate::channel) fn try_take_parts(
        &mut self,
        head: &mut [u8],
        body: &mut [u8],
        now: u64,
    ) -> Result<Taken, ReadError> {
        let key = self.ready()?;
        let latest = self.keyed_at(wire::LATEST);
        if latest.key != key {
            // Nothing written under this epoch, or withdrawn by a writer that is attaching anew.
            self.looked_at = Some(now);
            return Err(ReadError::Empty);
        }
        let slot = self.place.slot(u64::from(latest.count));
        let word = self.memory().load(slot);
        let header = Header::from_word(word);
        let rest = usize::from(header.length).checked_sub(head.len());
        let mut copied = None;
        // Validated on this private copy of the header; nothing else says how much is copied.
        if header.length <= self.config.max_len()
            && let Some(rest) = rest
            && let Some(bytes) = body.get_mut(..rest)
        {
            let payload = slot.saturating_add(HEADER);
            self.memory().copy_out(payload, head);
            self.memory().copy_out(payload.saturating_add(head.len()), bytes);
            copied = Some(rest);
        }
        // Acquire: the value is read before STARTED. If any of it was overwritten meanwhile, STARTED tells.
        fence(Ordering::Acquire);
        let started = if control::STARTED_LOOK { self.keyed_at(wire::STARTED) } else { latest };
        if started.key != key {
            return Err(ReadError::Empty);
        }
        let ahead = started.count.wrapping_sub(latest.count);
        if (SAMPLES..1 << 31).contains(&ahead) {
            self.stats.busy = self.stats.busy.saturating_add(1);
            return Err(ReadError::Busy);
        }
        if let Some(violation) = self.check(latest, ahead, word, head.len()) {
            return Err(self.violated(violation));
        }
        let Some(len) = copied else {
            return Err(ReadError::BufferTooSmall {
                need: header.length.saturating_sub(head.len() as u16),
                have: body.len(),
            });
        };
        Ok(self.found(latest, len, now))
    }

    /// What no honest writer has in its words once it has begun no more than three values after the latest.
    fn check(&self, latest: Keyed, ahead: u32, word: u64, head: usize) -> Option<PeerViolation> {
        if ahead >= SAMPLES {
            let found = latest.count.wrapping_add(ahead);
            return Some(PeerViolation::Sample { found, least: latest.count });
        }
        if let Some(seen) = self.seen
            && latest.count.wrapping_sub(seen.count) >= 1 << 31
        {
            return Some(PeerViolation::Sample { found: latest.count, least: seen.count });
        }
        let (header, max) = (Header::from_word(word), self.config.max_len());
        if header.stamp != latest.count || header.tag != latest.key.tag() {
            return Some(PeerViolation::Header { expected_stamp: latest.count, found: word });
        }
        if header.length > max {
            return Some(PeerViolation::Length { found: header.length, max });
        }
        if usize::from(header.length) < head {
            return Some(PeerViolation::Short { found: header.length, least: head as u16 });
        }
        (!self.config.kind.carries(header.kind)).then_some(PeerViolation::Kind { found: header.kind })
    }

    /// A value was read whole: how does it relate to the one before?
    fn found(&mut self, latest: Keyed, len: usize, now: u64) -> Taken {
        let count = latest.count;
        let before = self.seen.filter(|seen| seen.count != count);
        let fresh = before.is_some() || self.seen.is_none();
        let missed = before.map_or(0, |before| count.wrapping_sub(before.count).wrapping_sub(1));
        let seen = match self.seen {
            Some(seen) if !fresh => seen,
            // Not after it was found, even if the clock has run backwards: `at_most` is never below `at_least`.
            _ => Seen { count, found_at: now, absent_at: self.looked_at.map(|looked_at| looked_at.min(now)) },
        };
        self.seen = Some(seen);
        self.looked_at = Some(now);
        self.stats.read = self.stats.read.saturating_add(1);
        self.stats.fresh = self.stats.fresh.saturating_add(u64::from(fresh));
        self.stats.missed = self.stats.missed.saturating_add(u64::from(missed));
        let at_most = seen.absent_at.map_or(u64::MAX, |absent_at| now.saturating_sub(absent_at));
        let age = Age { at_least: now.saturating_sub(seen.found_at), at_most };
        let validity = match self.refresh_period != 0 && age.at_least > self.refresh_period {
            true => Validity::Stale,
            false => Validity::Valid,
        };
        Taken {
            len,
            #[cfg(feature = "protection")]
            key: latest.key,
            validity,
            age,
            fresh,
            missed,
        }
    }

    /// Asks for one doorbell at the next value, and says whether there is one already that was not read, or news that
    /// [`try_read`](Self::try_read) reports as an error. If so, do not sleep.
    ///
    /// At most 1 load and 1 store. A [`Subscriber`](super::Subscriber)'s reader cannot ask, and polls.
    #[must_use = "sleeping although a value is there waits for a doorbell that was never due"]
    pub fn arm(&mut self) -> bool {
        let board = &self.mailbox.board;
        if self.session.is_none() || self.session != board.session() || self.violation.is_some() {
            return true;
        }
        let seen = self.seen.map_or(0, |seen| seen.count);
        let Some(key) = self.session.and_then(|session| board.peer_epoch(session)) else { return true };
        if self.arms {
            Wish::make(self.mailbox, self.place, seen.wrapping_add(1), key);
        }
        self.is_unread(key)
    }

    /// Whether there is a value under this key that was not read. 1 load.
    pub(in crate::channel) fn is_unread(&self, key: Key) -> bool {
        let latest = self.keyed_at(wire::LATEST);
        latest.key == key && self.seen.is_none_or(|seen| latest.count != seen.count)
    }

    /// Goes on after a violation. No access.
    pub const fn resync(&mut self) {
        self.violation = None;
        (self.looked_at, self.seen) = (None, None);
    }

    /// The longest value, in bytes.
    pub const fn max_len(&self) -> u16 {
        self.config.max_len()
    }

    /// What this half has counted.
    pub const fn stats(&self) -> ReaderStats {
        self.stats
    }

    /// Checks that this half may go on, and says under which key the writer's values are.
    pub(in crate::channel) fn ready(&mut self) -> Result<Key, ReadError> {
        let board = &self.mailbox.board;
        let Some(session) = board.session() else {
            return Err(match board.closed() {
                Closed::No => ReadError::NotUp,
                Closed::Here | Closed::There => ReadError::Closed,
            });
        };
        let key = board.peer_epoch(session).ok_or(ReadError::NotUp)?;
        if self.session != Some(session) {
            (self.looked_at, self.seen) = (None, None);
            if self.session.replace(session).is_some() {
                self.stats.restarts = self.stats.restarts.saturating_add(1);
            }
        }
        match self.violation {
            Some(violation) => Err(ReadError::Violated(violation)),
            None => Ok(key),
        }
    }

    fn keyed_at(&self, word: usize) -> Keyed {
        Keyed::from_word(self.memory().load(self.place.theirs.saturating_add(word)))
    }

    fn violated(&mut self, violation: PeerViolation) -> ReadError {
        self.violation = Some(violation);
        self.stats.violations = self.stats.violations.saturating_add(1);
        log!(error, "mailbox: channel {=usize} violated, {}", self.channel, violation);
        ReadError::Violated(violation)
    }

    fn memory(&self) -> &M {
        &self.mailbox.memory
    }
}

/// Tries that [`Reader::read`] makes.
const TRIES: u32 = 3;
