//! Latest values.

use super::{LEN, STALE_AFTER};
use crate::peer::region::Moment;
use crate::peer::said::Said;
use ivshmem::channel::{ReadError, Reader, Sample, Writer};
use ivshmem::fake::input::Input;
use ivshmem_peer::Mapping;

/// Reads the peer's values.
pub struct Reads<'a> {
    reader: Reader<'a, Mapping>,
    /// What was read last in this session.
    last: Option<Said>,
    restarts: u32,
    violated: bool,
}

impl<'a> Reads<'a> {
    pub fn new(reader: Reader<'a, Mapping>) -> Self {
        Self { reader: reader.refresh_period(STALE_AFTER), last: None, restarts: 0, violated: false }
    }

    pub fn call(&mut self, input: &Input<'_>, moment: Moment) {
        match input.byte() {
            0xF0.. => {
                self.reader.resync();
                (self.last, self.violated) = (None, false);
            }
            0xE0..0xF0 => {
                let _ = self.reader.arm();
            }
            _ => {
                self.read(moment);
            }
        }
    }

    /// The latest value, if there is one that an honest peer wrote.
    pub fn read(&mut self, moment: Moment) -> Option<Said> {
        let mut buffer = [0; LEN as usize];
        let result = self.reader.try_read(&mut buffer, moment.now);
        let restarts = self.reader.stats().restarts;
        if restarts != std::mem::replace(&mut self.restarts, restarts) {
            self.last = None;
        }
        match result {
            Ok(sample) => {
                assert!(!self.violated, "{sample:?} of a channel that was violated");
                assert!(sample.age.at_least <= sample.age.at_most, "{sample:?}");
                assert!(sample.fresh || sample.missed == 0, "{sample:?}");
                moment.honest.then(|| self.came(sample))
            }
            Err(ReadError::Violated(violation)) => {
                assert!(!moment.honest, "{violation:?}");
                self.violated = true;
                None
            }
            Err(ReadError::BufferTooSmall { need, .. }) => panic!("{need} bytes, and the longest value has {LEN}"),
            Err(_) => None,
        }
    }

    /// A value that an honest peer wrote came.
    fn came(&mut self, sample: Sample<'_>) -> Said {
        let said = Said::read(sample.bytes);
        let last = self.last.replace(said);
        assert!(last.is_none_or(|last| last <= said), "{said:?} came after {last:?}");
        let missed = last.map_or(0, |last| said.number.saturating_sub(last.number + 1));
        assert_eq!((sample.fresh, sample.missed.into()), (last != Some(said), missed), "{said:?} came after {last:?}");
        said
    }
}

/// Writes values: nothing that the peer does is in the way.
pub struct Writes<'a>(Writer<'a, Mapping>);

impl<'a> Writes<'a> {
    pub fn new(writer: Writer<'a, Mapping>) -> Self {
        Self(writer)
    }

    pub fn call(&mut self, moment: Moment) {
        let value = [moment.now as u8; LEN as usize];
        self.0.write(&value[..moment.now as usize % value.len()]).expect("it was not closed here").ignore();
    }
}
