//! What a protected half hands out.

use super::status::Status;

/// A message that came, and what is to be thought of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Checked<'b> {
    /// The message as it came.
    pub bytes: &'b [u8],
    /// What was found out about it: whether to use it is the caller's decision.
    pub status: Status,
    /// It is at most this old, by the receiver's clock: ticks. `u64::MAX` if that is not known.
    pub age: u64,
    /// Whether it is handed out for the first time: always, but for a sample that is read again.
    pub fresh: bool,
}

/// A message received into the caller's buffer, until its borrow allows to hand it out.
#[derive(Clone, Copy, Debug)]
pub(in crate::channel) struct Received {
    pub(super) len: usize,
    pub(super) status: Status,
    pub(super) age: u64,
}

impl Received {
    pub(in crate::channel) fn into_checked(self, buffer: &[u8]) -> Checked<'_> {
        let Self { len, status, age } = self;
        // Always inside: the message was copied to the buffer's beginning.
        Checked { bytes: buffer.get(..len).unwrap_or_default(), status, age, fresh: true }
    }
}
