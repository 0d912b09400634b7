//! The halves of a sampling channel.

use super::{Called, Circumstances, Half, words};
use crate::channel::{Channel, Channels, ReadError, Reader, WriteError, Writer};
use crate::fake::drive::traffic::Traffic;
use crate::memory::Memory;
use core::fmt;
use std::vec;

/// A writer.
#[derive(Debug)]
pub(super) struct Writes<'a, M> {
    index: usize,
    config: Channel,
    writer: Writer<'a, M>,
}

impl<'a, M: Memory> Writes<'a, M> {
    pub(super) fn new(index: usize, config: Channel, channels: &mut Channels<'a, M>) -> Self {
        Self { index, config, writer: channels.writer(index).expect("taken once") }
    }
}

impl<M: Memory + fmt::Debug> Half for Writes<'_, M> {
    fn index(&self) -> usize {
        self.index
    }

    fn call(&mut self, with: Circumstances<'_>) -> Called {
        match self.writer.write(&with.traffic.message(self.config.max_len())) {
            Ok(notice) => {
                notice.ignore();
                with.traffic.sent();
            }
            Err(error) => assert_eq!(error, WriteError::Closed, "nothing else is in a writer's way"),
        }
        Called::within(1, 3, words(self.config))
    }

    fn must_send(&mut self, traffic: &Traffic) {
        self.writer.write(&traffic.message(self.config.max_len())).expect("nothing is in its way").ignore();
        traffic.sent();
    }

    fn must_receive(&mut self, _: &Traffic) {}
}

/// A reader.
#[derive(Debug)]
pub(in crate::fake::drive) struct Reads<'a, M> {
    index: usize,
    config: Channel,
    reader: Reader<'a, M>,
    /// The number of the value read last in this session.
    last: Option<u64>,
    restarts: u32,
}

impl<'a, M: Memory> Reads<'a, M> {
    pub(in crate::fake::drive) fn new(index: usize, config: Channel, reader: Reader<'a, M>) -> Self {
        Self { index, config, reader: reader.refresh_period(20), last: None, restarts: 0 }
    }

    fn read(&mut self, room: usize, with: Circumstances<'_>) -> Called {
        let mut buffer = vec![0; room];
        let max = self.config.max_len();
        let result = self.reader.try_read(&mut buffer, with.now);
        let restarts = self.reader.stats().restarts;
        if restarts != core::mem::replace(&mut self.restarts, restarts) {
            self.last = None;
        }
        if let Ok(sample) = result {
            assert!(sample.bytes.len() <= max.into() && sample.age.at_least <= sample.age.at_most, "{sample:?}");
            if !with.tampered.get() {
                let number = with.traffic.sampled(sample.bytes, max);
                let missed = self.last.map_or(0, |last| number.saturating_sub(last + 1));
                assert_eq!(
                    (sample.fresh, sample.missed.into()),
                    (self.last != Some(number), missed),
                    "after {:?}",
                    self.last
                );
                assert!(self.last.is_none_or(|last| last <= number), "value {number} came after {:?}", self.last);
                self.last = Some(number);
            }
        }
        Called::within(3, 0, words(self.config)).accusing(matches!(result, Err(ReadError::Violated(_))))
    }
}

impl<M: Memory + fmt::Debug> Half for Reads<'_, M> {
    fn index(&self) -> usize {
        self.index
    }

    fn call(&mut self, with: Circumstances<'_>) -> Called {
        match with.input.byte() % 8 {
            0..5 => self.read(self.config.max_len().into(), with),
            // Perhaps too small.
            5 => self.read(with.input.byte().into(), with),
            6 => {
                let _ = self.reader.arm();
                Called::within(1, 1, 0)
            }
            _ => {
                self.reader.resync();
                self.last = None;
                Called::within(0, 0, 0)
            }
        }
    }

    fn must_send(&mut self, _: &Traffic) {}

    fn must_receive(&mut self, traffic: &Traffic) {
        let max = self.config.max_len();
        let mut buffer = vec![0; max.into()];
        let sample = self.reader.try_read(&mut buffer, 0).expect("a value was written");
        assert!(sample.fresh, "{sample:?}");
        assert_eq!(traffic.sampled(sample.bytes, max), traffic.last(), "not the latest");
    }
}
