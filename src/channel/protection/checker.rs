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

/// What is known of a message besides what it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Arrival {
    /// The key under which it came.
    pub session: u32,
    /// It is at most this old: ticks.
    pub age: u64,
    /// Now, in the same ticks.
    pub now: u64,
    /// Whether it comes for the first time: always, but for a sample that is read again.
    pub fresh: bool,
}

/// The receiving side's state machine, alone: give it each message in the order of arrival.
#[derive(Clone, Copy, Debug)]
pub struct Checker {
    data_id: u32,
    expected: Expected,
    /// Whether a session's first message may have any sequence.
    joins_late: bool,
    /// The sequence that is due; in a session that has [`begun`](Self::begun), one more than the last one's.
    due: u32,
    begun: bool,
    /// What the sequence said of the last message, if its head could be believed.
    last: Option<Status>,
    history: History,
    heard_at: u64,
    counts: StatusCounts,
}

impl Checker {
    /// A checker for a queue, at the start of a session, whose first message has sequence 0.
    pub fn queuing(data_id: u32, expected: Expected) -> Self {
        let history = History::new(expected.window);
        let (counts, last) = Default::default();
        Self { data_id, expected, joins_late: false, due: 0, begun: false, last, history, heard_at: 0, counts }
    }

    /// A checker for samples: when its session starts, any number of them may have been written.
    pub fn sampling(data_id: u32, expected: Expected) -> Self {
        Self { joins_late: true, ..Self::queuing(data_id, expected) }
    }

    /// A new session began. Counts go on.
    pub fn restart(&mut self) {
        self.due = 0;
        self.begun = false;
        self.last = None;
        self.history.restart();
    }

    /// Checks a message. One that is not fresh counts only as long as its head could not be believed.
    pub fn check(&mut self, arrival: Arrival, head: &Words, payload: &[u8]) -> Status {
        let fresh = arrival.fresh || self.last.is_none();
        if fresh {
            if self.is_silent(arrival.now) {
                self.history.restart();
            }
            self.heard_at = arrival.now;
        }
        let status = self.judge(arrival, fresh, head, payload);
        if fresh {
            self.counts.count(status);
            self.history.add(status.is_good());
        }
        status
    }

    fn judge(&mut self, arrival: Arrival, fresh: bool, head: &Words, payload: &[u8]) -> Status {
        let earlier = self.last;
        if fresh {
            self.last = None;
        }
        let head = match Head::open(head, payload) {
            Ok(head) => head,
            Err(Corrupt { found, computed }) => return Status::BadCrc { found, computed },
        };
        let Head { data_id, source, sequence, session, .. } = head;
        if (data_id, source, session) != (self.data_id, self.expected.source, arrival.session) {
            return Status::WrongSource { data_id, source, session };
        }
        let is_last = self.begun && sequence == self.due.wrapping_sub(1);
        let status = match earlier {
            // What was lost before it is said already.
            Some(Status::SomeLost { .. }) if !fresh && is_last => Status::Ok,
            Some(earlier) if !fresh && is_last => earlier,
            _ => self.follow(sequence),
        };
        self.last = Some(status);
        let validity = self.expected.validity;
        match status.is_good() && validity != 0 && arrival.age > validity {
            true => Status::Stale { age: arrival.age },
            false => status,
        }
    }

    /// What the sequence says of a message, whose head can be believed.
    fn follow(&mut self, sequence: u32) -> Status {
        if self.joins_late && !self.begun {
            self.due = sequence;
        }
        let expected = self.due;
        // Signed: how far ahead of the one that is due, modulo 2^32.
        let ahead = sequence.wrapping_sub(expected) as i32;
        if ahead == -1 && self.begun {
            return Status::Repeated { sequence };
        }
        let Ok(lost) = u32::try_from(ahead) else {
            return Status::WrongSequence { expected, found: sequence };
        };
        self.due = sequence.wrapping_add(1);
        self.begun = true;
        self.counts.lost = self.counts.lost.saturating_add(u64::from(lost));
        match lost {
            0 => Status::Ok,
            _ if lost <= self.expected.max_lost => Status::SomeLost { lost },
            _ => Status::WrongSequence { expected, found: sequence },
        }
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
