//! The halves of a sampling channel, protected or not.

use crate::cli::protection;
use crate::cli::window::Picked;
use core::time::Duration;
use ivshmem::channel::protection::{ProtectedReader, ProtectedWriter, Status, StatusCounts};
use ivshmem::channel::{
    Channels, Notice, ReadError, Reader, TakeError, Validity, Values, WriteError, Writer, WriterStats,
};
use ivshmem_peer::Mapping;

/// The writing half.
pub(super) enum Writing<'a> {
    Plain(Writer<'a, Mapping>),
    Protected(ProtectedWriter<'a, Mapping>),
}

impl<'a> Writing<'a> {
    pub(super) fn take(
        channels: &mut Channels<'a, Mapping>,
        picked: Picked<'_>,
        source: u16,
    ) -> Result<Self, TakeError> {
        match picked.is_protected() {
            false => channels.writer(picked.index).map(Self::Plain),
            true => channels.protected_writer(picked.index, source).map(Self::Protected),
        }
    }

    pub(super) fn write(&mut self, value: &[u8]) -> Result<Notice, WriteError> {
        match self {
            Self::Plain(writer) => writer.write(value),
            Self::Protected(writer) => writer.write(value),
        }
    }

    pub(super) fn stats(&self) -> WriterStats {
        match self {
            Self::Plain(writer) => writer.stats(),
            Self::Protected(writer) => writer.stats(),
        }
    }
}

/// A value that was found.
pub(super) struct Value<'b> {
    pub(super) bytes: &'b [u8],
    /// Whether it is a new one.
    pub(super) fresh: bool,
    /// Values overwritten before it.
    pub(super) missed: u64,
    /// The age in nanoseconds of a value that is stale.
    pub(super) stale: Option<u64>,
    pub(super) status: Option<Status>,
}

impl Value<'_> {
    /// On a protected channel the status, as one more field of a line.
    pub(super) fn remark(&self) -> String {
        self.status.map_or_else(String::new, |status| format!(" {}", protection::words(status)))
    }
}

/// The reading half.
pub(super) enum Reading<'a> {
    Plain(Reader<'a, Mapping>),
    Protected(ProtectedReader<'a, Mapping>),
}

impl<'a> Reading<'a> {
    pub(super) fn take(
        values: &mut Values<'a, Mapping>,
        picked: Picked<'_>,
        source: u16,
        refresh: Duration,
    ) -> Result<Self, TakeError> {
        let expected = protection::expected(source, refresh);
        match picked.is_protected() {
            false => values.reader(picked.index).map(|reader| Self::Plain(reader.refresh_period(expected.validity))),
            true => values.protected_reader(picked.index, expected).map(Self::Protected),
        }
    }

    pub(super) fn read<'b>(&mut self, buffer: &'b mut [u8], now: u64) -> Result<Value<'b>, ReadError> {
        let before = self.missed();
        match self {
            Self::Plain(reader) => {
                let sample = reader.read(buffer, now)?;
                let stale = (sample.validity == Validity::Stale).then_some(sample.age.at_least);
                let (fresh, missed) = (sample.fresh, sample.missed.into());
                Ok(Value { bytes: sample.bytes, fresh, missed, stale, status: None })
            }
            Self::Protected(reader) => {
                let checked = reader.read(buffer, now)?;
                let stale = matches!(checked.status, Status::Stale { .. }).then_some(checked.age);
                let missed = reader.stats().missed.saturating_sub(before);
                Ok(Value { bytes: checked.bytes, fresh: checked.fresh, missed, stale, status: Some(checked.status) })
            }
        }
    }

    /// Values overwritten between two that were seen.
    pub(super) fn missed(&self) -> u64 {
        match self {
            Self::Plain(reader) => reader.stats().missed,
            Self::Protected(reader) => reader.stats().missed,
        }
    }

    /// How many values had which status, on a protected channel.
    pub(super) fn counts(&self) -> Option<StatusCounts> {
        match self {
            Self::Plain(_) => None,
            Self::Protected(reader) => Some(reader.counts()),
        }
    }
}
