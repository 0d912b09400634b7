//! Messages that tell whether they are whole, in order and new.

use core::cell::Cell;
use std::vec;
use std::vec::Vec;

/// What went over one channel so far, in all lives of both ends.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    sent: Cell<u64>,
    /// The lowest number that may come next.
    next: Cell<u64>,
}

/// Bytes of a message's number.
const NUMBER: usize = 8;

impl Traffic {
    /// The number of the next message; it counts when that was [`sent`](Self::sent).
    pub(super) fn next_number(&self) -> u64 {
        self.sent.get()
    }

    /// The next message.
    pub(super) fn message(&self, max: u16) -> Vec<u8> {
        message(self.next_number(), max)
    }

    pub(super) fn sent(&self) {
        self.sent.set(self.sent.get() + 1);
    }

    /// The number of the last message sent.
    pub(super) fn last(&self) -> u64 {
        self.sent.get() - 1
    }

    /// A message came from a peer that has always been honest. `gapless`: nothing was lost since the last one.
    pub(super) fn received(&self, bytes: &[u8], max: u16, gapless: bool) {
        let number = self.sampled(bytes, max);
        let next = self.next.replace(number + 1);
        assert!(number >= next, "message {number} came after {next} was due");
        assert!(number == next || !gapless, "message {number} came where {next} was due and nothing was reported lost");
    }

    /// A value came from a writer that has always been honest; its number.
    pub(super) fn sampled(&self, bytes: &[u8], max: u16) -> u64 {
        let number = number(bytes);
        assert_eq!(bytes, message(number, max), "a message came mixed");
        // It may come before the call that sends it has returned.
        assert!(number <= self.sent.get(), "message {number} was never sent");
        number
    }
}

/// The message of this number, of 8 to `max` bytes.
pub(super) fn message(number: u64, max: u16) -> Vec<u8> {
    let filler = u64::from(max) - NUMBER as u64;
    let mut bytes = vec![number as u8; NUMBER + (number * 5 % (filler + 1)) as usize];
    bytes[..NUMBER].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The number of this message.
pub(super) fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk::<NUMBER>().expect("a message has a number"))
}
