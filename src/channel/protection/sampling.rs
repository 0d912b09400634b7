//! The protected halves of a sampling channel.

use super::super::channels::{Channels, TakeError};
use super::super::config::Kind;
use super::super::notice::Notice;
use super::super::sampling::{ReadError, Reader, ReaderStats, Taken, Values, WriteError, Writer, WriterStats};
use super::super::wire::{Key, kind};
use super::checked::Checked;
use super::checker::{Arrival, Checker, Expected};
use super::head::{Head, Words};
use super::status::StatusCounts;
use super::window::State;
use crate::memory::Memory;

impl<'a, M: Memory> Channels<'a, M> {
    /// The writing half of a protected sampling channel that this end writes, under the name `source`.
    pub fn protected_writer(&mut self, channel: usize, source: u16) -> Result<ProtectedWriter<'a, M>, TakeError> {
        let config = self.take(channel, self.mailbox.end, Kind::Sampling, true)?;
        let writer = Writer::new(self.mailbox, channel, config);
        let (data_id, key) = (config.data_id.unwrap_or_default(), Key::from_bits(0));
        Ok(ProtectedWriter { writer, data_id, source, key, sequence: 0 })
    }

    /// The reading half of a protected sampling channel that the other end writes.
    pub fn protected_reader(
        &mut self,
        channel: usize,
        expected: Expected,
    ) -> Result<ProtectedReader<'a, M>, TakeError> {
        self.protected(channel, expected, true)
    }

    fn protected(
        &mut self,
        channel: usize,
        expected: Expected,
        arms: bool,
    ) -> Result<ProtectedReader<'a, M>, TakeError> {
        let config = self.take(channel, self.mailbox.end.other(), Kind::Sampling, true)?;
        Ok(ProtectedReader {
            reader: Reader::new(self.mailbox, channel, config, arms),
            checker: Checker::sampling(config.data_id.unwrap_or_default(), expected),
            restarts: 0,
        })
    }
}

impl<'a, M: Memory> Values<'a, M> {
    /// The reader of a protected sampling channel.
    pub fn protected_reader(
        &mut self,
        channel: usize,
        expected: Expected,
    ) -> Result<ProtectedReader<'a, M>, TakeError> {
        self.0.protected(channel, expected, false)
    }
}

/// Writes one protected sampling channel.
#[derive(Debug)]
pub struct ProtectedWriter<'a, M> {
    writer: Writer<'a, M>,
    data_id: u32,
    source: u16,
    /// The key of the last value, and the sequence of the next one under it.
    key: Key,
    sequence: u32,
}

impl<M: Memory> ProtectedWriter<'_, M> {
    /// Replaces the value by one of at most [`max_len`](Self::max_len) bytes. Accesses and errors as of [`Writer::write`], and 3 words more.
    pub fn write(&mut self, value: &[u8]) -> Result<Notice, WriteError> {
        let max = self.max_len();
        let length = match u16::try_from(value.len()) {
            Ok(length) if length <= max => length,
            _ => return Err(WriteError::TooLong { len: value.len(), max }),
        };
        // Should a new epoch begin between this and the writing, readers find this one value of the wrong source.
        let key = self.writer.key();
        if key != self.key {
            self.key = key;
            self.sequence = 0;
        }
        let Self { data_id, source, sequence, .. } = *self;
        let head = Head { data_id, length, source, sequence, session: key.bits() }.seal(value);
        let notice = self.writer.write_parts(head.as_flattened(), value)?;
        self.sequence = sequence.wrapping_add(1);
        Ok(notice)
    }

    /// Whether a doorbell is due for the latest value: as [`Writer::notice`].
    pub fn notice(&mut self) -> Notice {
        self.writer.notice()
    }

    /// The longest value, in bytes: 24 less than the channel's.
    pub const fn max_len(&self) -> u16 {
        self.writer.max_len().saturating_sub(kind::PROTECTION)
    }

    /// What this half has counted.
    pub const fn stats(&self) -> WriterStats {
        self.writer.stats()
    }
}

/// Reads one protected sampling channel.
#[derive(Debug)]
pub struct ProtectedReader<'a, M> {
    pub(in crate::channel) reader: Reader<'a, M>,
    checker: Checker,
    /// Sessions, as the reader counts them, that the rest is about.
    restarts: u32,
}

impl<M: Memory> ProtectedReader<'_, M> {
    /// Reads the latest value into `buffer`, and checks it: the same value again and again until there is a new one. One try.
    ///
    /// Accesses and errors as of [`Reader::try_read`], and 3 words more. The age is measured from the last call that did not find the value
    /// yet. The first value found in a session may have been written at any time before: its age is `u64::MAX`, and it is
    /// stale if there is a validity period. Values that were overwritten between two reads are lost.
    pub fn try_read<'b>(&mut self, buffer: &'b mut [u8], now: u64) -> Result<Checked<'b>, ReadError> {
        let mut head = Words::default();
        let taken = self.reader.try_take_parts(head.as_flattened_mut(), buffer, now);
        self.check(taken, &head, buffer, now)
    }

    /// As [`try_read`](Self::try_read), but tries again, 3 times in all, if the writer overtakes it.
    pub fn read<'b>(&mut self, buffer: &'b mut [u8], now: u64) -> Result<Checked<'b>, ReadError> {
        let mut head = Words::default();
        let taken = self.reader.take_parts(head.as_flattened_mut(), buffer, now);
        self.check(taken, &head, buffer, now)
    }

    fn check<'b>(
        &mut self,
        taken: Result<Taken, ReadError>,
        head: &Words,
        buffer: &'b [u8],
        now: u64,
    ) -> Result<Checked<'b>, ReadError> {
        let restarts = self.reader.stats().restarts;
        if restarts != self.restarts {
            self.restarts = restarts;
            self.begin();
        }
        let Taken { len, key, age, fresh, .. } = taken?;
        let age = age.at_most;
        let bytes = buffer.get(..len).unwrap_or_default();
        let status = self.checker.check(Arrival { session: key.bits(), age, now, fresh }, head, bytes);
        Ok(Checked { bytes, status, age, fresh })
    }

    /// Asks for one doorbell at the next value: see [`Reader::arm`].
    #[must_use = "sleeping although a value is there waits for a doorbell that was never due"]
    pub fn arm(&mut self) -> bool {
        self.reader.arm()
    }

    /// How the channel stands at `now`.
    pub fn state(&self, now: u64) -> State {
        self.checker.state(now)
    }

    /// How many values had which status.
    pub const fn counts(&self) -> StatusCounts {
        self.checker.counts()
    }

    /// The longest value, in bytes: 24 less than the channel's.
    pub const fn max_len(&self) -> u16 {
        self.reader.max_len().saturating_sub(kind::PROTECTION)
    }

    /// What the reading half has counted.
    pub const fn stats(&self) -> ReaderStats {
        self.reader.stats()
    }

    /// Goes on after a violation, as in a new session: see [`Reader::resync`].
    pub fn resync(&mut self) {
        self.reader.resync();
        self.begin();
    }

    /// Whatever comes next, nothing is known of what came before it.
    fn begin(&mut self) {
        self.checker.restart();
    }
}
