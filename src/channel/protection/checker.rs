//! Decides about each message, from private copies alone: no shared memory here, no clock, no channel.

use super::head::{Corrupt, Head, Words};
use super::status::{Status, StatusCounts};
use super::window::{History, State, Window};

/// What a receiver expects of a protected channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Expected {
    /// The sender's name, as it gives it itself.
    pub source: u16,
    /// As many messages lost at once are [`Status::SomeLost`], more are [`Status::WrongSequence`]; below 2^31.
    pub max_lost: u32,
    /// Ticks that a message may take, and after which the channel is [`State::NoData`] if nothing comes; 0 for any time.
    pub validity: u64,
    /// When the data count as valid.
    pub window: Window,
}

/// The receiving side's state machine, alone: give it each message once, in the order of arrival.
#[derive(Clone, Copy, Debug)]
pub struct Checker {
    data_id: u32,
    expected: Expected,
    /// The sequence that is due.
    due: u32,
    /// Whether a message of this session has come, so that the one before `due` can come again.
    begun: bool,
    history: History,
    heard_at: u64,
    counts: StatusCounts,
}

impl Checker {
    /// A checker for the data of this id, at the start of a session.
    pub fn new(data_id: u32, expected: Expected) -> Self {
        let history = History::new(expected.window);
        Self { data_id, expected, due: 0, begun: false, history, heard_at: 0, counts: StatusCounts::default() }
    }

    /// A new session began: its first message has sequence 0. Counts go on.
    pub fn restart(&mut self) {
        self.due = 0;
        self.begun = false;
        self.history.restart();
    }

    /// Checks a message that came under the key `session`, that is at most `age` ticks old now, at `now`.
    pub fn check(&mut self, session: u32, head: &Words, payload: &[u8], age: u64, now: u64) -> Status {
        if self.is_silent(now) {
            self.history.restart();
        }
        self.heard_at = now;
        let status = self.judge(session, head, payload, age);
        self.counts.count(status);
        self.history.add(status.is_good());
        status
    }

    fn judge(&mut self, session: u32, head: &Words, payload: &[u8], age: u64) -> Status {
        let head = match Head::open(head, payload) {
            Ok(head) => head,
            Err(Corrupt { found, computed }) => return Status::BadCrc { found, computed },
        };
        let Head { data_id, source, sequence, .. } = head;
        if (data_id, source, head.session) != (self.data_id, self.expected.source, session) {
            return Status::WrongSource { data_id, source, session: head.session };
        }
        // Signed: how far ahead of the one that is due, modulo 2^32.
        let ahead = sequence.wrapping_sub(self.due) as i32;
        if ahead == -1 && self.begun {
            return Status::Repeated { sequence };
        }
        let Ok(lost) = u32::try_from(ahead) else {
            return Status::WrongSequence { expected: self.due, found: sequence };
        };
        let expected = self.due;
        self.due = sequence.wrapping_add(1);
        self.begun = true;
        self.counts.lost = self.counts.lost.saturating_add(u64::from(lost));
        if lost > self.expected.max_lost {
            return Status::WrongSequence { expected, found: sequence };
        }
        if self.expected.validity != 0 && age > self.expected.validity {
            return Status::Stale { age };
        }
        if lost > 0 { Status::SomeLost { lost } } else { Status::Ok }
    }

    /// How the channel stands at `now`.
    pub fn state(&self, now: u64) -> State {
        if self.is_silent(now) { State::NoData } else { self.history.state() }
    }

    /// How many messages had which status.
    pub const fn counts(&self) -> StatusCounts {
        self.counts
    }

    fn is_silent(&self, now: u64) -> bool {
        self.expected.validity != 0 && now.saturating_sub(self.heard_at) > self.expected.validity
    }
}

#[cfg(test)]
mod tests;
