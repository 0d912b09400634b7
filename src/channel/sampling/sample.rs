//! A value, how old it is, and what came before it.

#[cfg(feature = "protection")]
use crate::channel::wire::Key;

/// ARINC 653's validity of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Validity {
    /// No older than the refresh period, as far as the reader has looked.
    Valid,
    /// Older than the refresh period for certain.
    Stale,
}

/// How old a value is on the reader's own clock, in its ticks. The writer's clock plays no part.
///
/// Who reads at least once in the time that matters to them has the two close together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Age {
    /// Since this reader first found the value.
    pub at_least: u64,
    /// Since this reader last looked and did not find it yet; `u64::MAX` if it found it at its first look in the session: writing needs no
    /// link, and so it may have been there for any time.
    pub at_most: u64,
}

/// A value, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sample<'b> {
    /// The value.
    pub bytes: &'b [u8],
    /// Whether the value is within the refresh period.
    pub validity: Validity,
    /// How old it is.
    pub age: Age,
    /// Whether this reader has not seen it before.
    pub fresh: bool,
    /// Values overwritten since the one that this reader saw before it, 0 for the first in a session.
    pub missed: u32,
}

/// What is known of a value besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::channel) struct Taken {
    /// Bytes of the body.
    pub(in crate::channel) len: usize,
    /// The writer's key under which it was written.
    #[cfg(feature = "protection")]
    pub(in crate::channel) key: Key,
    pub(in crate::channel) validity: Validity,
    pub(in crate::channel) age: Age,
    pub(in crate::channel) fresh: bool,
    pub(in crate::channel) missed: u32,
}

impl Taken {
    pub(super) fn into_sample(self, buffer: &[u8]) -> Sample<'_> {
        let Self { len, validity, age, fresh, missed, .. } = self;
        Sample { bytes: buffer.get(..len).unwrap_or_default(), validity, age, fresh, missed }
    }
}
