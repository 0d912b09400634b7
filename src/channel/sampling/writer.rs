//! The writing half of a sampling channel.

use super::error::WriteError;
use crate::channel::board::Closed;
use crate::channel::config::Channel;
use crate::channel::layout::Place;
use crate::channel::mailbox::Mailbox;
use crate::channel::notice::Notice;
use crate::channel::wire::{self, HEADER, Header, Key, Keyed, kind};
use crate::channel::wish::Wish;
use crate::memory::Memory;
use crate::sync::{Ordering, fence};
use core::cell::Cell;
use core::marker::PhantomData;

/// What a writer has counted; each saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WriterStats {
    /// Values published.
    pub written: u64,
    /// Doorbells that were due.
    pub notices: u64,
}

/// Writes one sampling channel: the only one that does, by type. Needs no peer and never waits.
#[derive(Debug)]
pub struct Writer<'a, M> {
    mailbox: &'a Mailbox<'a, M>,
    channel: usize,
    config: Channel,
    place: Place,
    /// This end's epoch under which `count` counts.
    key: Key,
    /// Values written under it; the first is number 1.
    count: u64,
    wish: Wish,
    stats: WriterStats,
    /// `Send`, but not `Sync`: one writer.
    not_sync: PhantomData<Cell<()>>,
}

impl<'a, M: Memory> Writer<'a, M> {
    pub(in crate::channel) fn new(mailbox: &'a Mailbox<'a, M>, channel: usize, config: Channel) -> Self {
        Self {
            mailbox,
            channel,
            config,
            place: mailbox.layout().place(mailbox.end, channel),
            key: Key::from_bits(0),
            count: 0,
            wish: Wish::default(),
            stats: WriterStats::default(),
            not_sync: PhantomData,
        }
    }

    /// Replaces the value by one of at most [`Channel::max_len`] bytes, and says whether a doorbell is due for it.
    ///
    /// Wait-free: at most 1 load, 3 stores and the value's words, whatever readers do.
    pub fn write(&mut self, value: &[u8]) -> Result<Notice, WriteError> {
        self.write_parts(&[], value)
    }

    /// As [`write`](Self::write): a value that begins with `head`, a multiple of 8 bytes.
    pub(in crate::channel) fn write_parts(&mut self, head: &[u8], body: &[u8]) -> Result<Notice, WriteError> {
        let max = self.config.max_len();
        let len = head.len().saturating_add(body.len());
        let length = match u16::try_from(len) {
            Ok(length) if length <= max => length,
            _ => return Err(WriteError::TooLong { len, max }),
        };
        if self.mailbox.board.closed() == Closed::Here {
            return Err(WriteError::Closed);
        }
        let key = self.mailbox.board.epoch();
        if key != self.key {
            // A new epoch, in which nothing is written yet.
            self.key = key;
            self.count = 0;
            self.wish = Wish::default();
        }
        self.count = self.count.wrapping_add(1);
        let next = Keyed { count: self.count as u32, key };
        let memory = &self.mailbox.memory;
        memory.publish(self.place.ours.saturating_add(wire::STARTED), next.to_word());
        // Release: a reader that copied any of the words stored below, and then looks at STARTED, finds it moved on.
        fence(Ordering::Release);
        let slot = self.place.slot(self.count);
        let payload = slot.saturating_add(HEADER);
        memory.copy_in(payload, head);
        memory.copy_in(payload.saturating_add(head.len()), body);
        let header = Header { stamp: next.count, length, kind: kind::MESSAGE, tag: key.tag() };
        memory.store(slot, header.to_word());
        // Publish: whoever sees the number sees the value whole. A writer that dies before it leaves the last one.
        memory.publish(self.place.ours.saturating_add(wire::LATEST), next.to_word());
        self.stats.written = self.stats.written.saturating_add(1);
        Ok(self.notice())
    }

    /// Whether a doorbell is due for the latest value. At most 1 load.
    ///
    /// Ask when the link comes up: the other end may be up, and asleep, before this one, and a value written meanwhile rings nobody.
    pub fn notice(&mut self) -> Notice {
        if self.mailbox.board.session().is_none() {
            return Notice::NONE;
        }
        let written = Keyed { count: self.count as u32, key: self.key };
        let notice = self.wish.serve(self.mailbox, self.channel, self.place, written);
        if notice.is_due() {
            self.stats.notices = self.stats.notices.saturating_add(1);
        }
        notice
    }

    /// The key of the next value.
    #[cfg(feature = "protection")]
    pub(in crate::channel) fn key(&self) -> Key {
        self.mailbox.board.epoch()
    }

    /// The longest value, in bytes.
    pub const fn max_len(&self) -> u16 {
        self.config.max_len()
    }

    /// What this half has counted.
    pub const fn stats(&self) -> WriterStats {
        self.stats
    }
}
