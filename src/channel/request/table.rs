//! The requester's private record of its requests.

use super::head::RequestId;
use super::outcome::{Completion, Failure};
use crate::control;

/// What a place in the table holds.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing; the last request that was here had an answer, or had none.
    Free { answered: bool },
    /// A request under way.
    Open { deadline: Option<u64> },
    /// A request that has ended and was not polled for.
    Ended(Failure),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The generation of the request that is or was here.
    generation: u32,
    state: State,
}

/// What a response's correlation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// The request is open; its place is free now.
    Open,
    /// The request was made and has ended.
    Late,
    /// There never was such a request, or it has been answered already.
    Foreign,
}

/// Up to `N` requests, each at one place from its start until its end was polled for.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    entries: [Entry; N],
    /// Where the search for a free place goes on, so that a place rests as long as can be.
    next: usize,
    /// Requests ever made.
    issued: u64,
    open: usize,
    ended: usize,
    /// No deadline is earlier.
    earliest: Option<u64>,
}

impl<const N: usize> Table<N> {
    pub(super) const fn new() -> Self {
        const { assert!(N > 0 && N <= 1 << 16, "1 to 65536 requests") };
        let entry = Entry { generation: 0, state: State::Free { answered: false } };
        Self { entries: [entry; N], next: 0, issued: 0, open: 0, ended: 0, earliest: None }
    }

    /// Requests under way.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// Requests that have ended and were not polled for.
    pub(super) const fn ended(&self) -> usize {
        self.ended
    }

    pub(super) const fn earliest(&self) -> Option<u64> {
        self.earliest
    }

    /// The name that the next request has, if there is a place for it. Looks at up to `N` entries.
    pub(super) fn vacant(&self) -> Option<RequestId> {
        if self.open.saturating_add(self.ended) >= N {
            return None;
        }
        let is_free = |(_, entry): &(usize, &Entry)| matches!(entry.state, State::Free { .. });
        let entries = || self.entries.iter().enumerate();
        let (index, _) = entries().skip(self.next).find(is_free).or_else(|| entries().find(is_free))?;
        // The first generation is 1: a response of zeros belongs to no request.
        Some(RequestId::new(index as u16, self.issued.wrapping_add(1) as u32))
    }

    /// A request of this name, from [`vacant`](Self::vacant), is under way.
    pub(super) fn start(&mut self, id: RequestId, deadline: Option<u64>) {
        let Some(entry) = self.entries.get_mut(id.index()) else { return };
        *entry = Entry { generation: id.generation(), state: State::Open { deadline } };
        self.next = id.index().saturating_add(1);
        self.issued = self.issued.saturating_add(1);
        self.open = self.open.saturating_add(1);
        self.earliest = match (self.earliest, deadline) {
            (Some(earliest), Some(deadline)) => Some(earliest.min(deadline)),
            (earliest, deadline) => earliest.or(deadline),
        };
    }

    /// Ends a request, to be polled for. Says whether it was open.
    pub(super) fn end(&mut self, id: RequestId, failure: Failure) -> bool {
        match self.entries.get_mut(id.index()) {
            Some(Entry { generation, state: state @ State::Open { .. } }) if *generation == id.generation() => {
                *state = State::Ended(failure);
                self.open = self.open.saturating_sub(1);
                self.ended = self.ended.saturating_add(1);
                true
            }
            _ => false,
        }
    }

    /// Ends every open request, to be polled for. Says how many there were.
    #[cold]
    pub(super) fn end_all(&mut self, failure: Failure) -> usize {
        for entry in &mut self.entries {
            if matches!(entry.state, State::Open { .. }) {
                entry.state = State::Ended(failure);
            }
        }
        self.ended = self.ended.saturating_add(self.open);
        self.earliest = None;
        core::mem::take(&mut self.open)
    }

    /// Takes one request that has ended. Looks at up to `N` entries if there is one.
    pub(super) fn take_ended(&mut self) -> Option<Completion> {
        if self.ended == 0 {
            return None;
        }
        self.entries.iter_mut().enumerate().find_map(|(index, entry)| {
            let State::Ended(failure) = entry.state else { return None };
            entry.state = State::Free { answered: false };
            self.ended = self.ended.saturating_sub(1);
            Some(Completion { id: RequestId::new(index as u16, entry.generation), outcome: Err(failure) })
        })
    }

    /// Takes one request whose deadline has passed. Looks at up to `N` entries if there may be one.
    pub(super) fn take_expired(&mut self, now: u64) -> Option<RequestId> {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return None;
        }
        let mut expired = None;
        self.earliest = None;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let State::Open { deadline: Some(deadline) } = entry.state else { continue };
            if expired.is_none() && now >= deadline {
                entry.state = State::Free { answered: false };
                self.open = self.open.saturating_sub(1);
                expired = Some(RequestId::new(index as u16, entry.generation));
            } else {
                self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
            }
        }
        expired
    }

    /// Finds the request that a response belongs to, and takes it.
    pub(super) fn answer(&mut self, id: RequestId) -> Match {
        let Some(entry) = self.entries.get_mut(id.index()) else { return Match::Foreign };
        if entry.generation == id.generation() || !control::REQUEST_GENERATION {
            match entry.state {
                State::Open { .. } => {
                    entry.state = State::Free { answered: true };
                    self.open = self.open.saturating_sub(1);
                    return Match::Open;
                }
                State::Free { answered: true } => return Match::Foreign,
                State::Free { answered: false } | State::Ended(_) => {}
            }
        }
        // Generations 1 to `issued` were given out, or all.
        let given_out = u64::from(id.generation().wrapping_sub(1)) < self.issued;
        if given_out { Match::Late } else { Match::Foreign }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_rests_as_long_as_can_be_before_it_is_used_again() {
        let mut table = Table::<3>::new();
        for place in [0, 1, 2, 0, 1, 2, 0] {
            let id = table.vacant().unwrap();
            assert_eq!(id.index(), place);
            table.start(id, None);
            assert_eq!(table.answer(id), Match::Open);
        }
    }

    #[test]
    fn a_correlation_is_open_late_or_foreign() {
        let mut table = Table::<2>::new();
        let start = |table: &mut Table<2>| {
            let id = table.vacant().unwrap();
            table.start(id, None);
            id
        };
        assert_eq!(table.answer(RequestId::new(0, 0)), Match::Foreign, "zeros name no request");
        assert_eq!(table.answer(RequestId::new(0, 1)), Match::Foreign, "not made yet");
        let (answered, cancelled) = (start(&mut table), start(&mut table));
        assert_eq!(table.vacant(), None);
        assert_eq!(table.answer(RequestId::new(2, 1)), Match::Foreign, "outside the table");
        assert_eq!(table.answer(answered), Match::Open);
        assert_eq!(table.answer(answered), Match::Foreign, "twice");
        assert!(table.end(cancelled, Failure::Cancelled));
        assert!(!table.end(cancelled, Failure::Cancelled));
        assert_eq!(table.answer(cancelled), Match::Late);
        assert_eq!(table.take_ended(), Some(Completion { id: cancelled, outcome: Err(Failure::Cancelled) }));
        assert_eq!(table.answer(cancelled), Match::Late);
        start(&mut table);
        assert_eq!(table.answer(answered), Match::Late, "its place is another's now");
    }

    #[test]
    fn deadlines_pass_one_by_one_and_the_earliest_is_never_after_any() {
        let mut table = Table::<4>::new();
        for deadline in [Some(30), None, Some(10), Some(20)] {
            let id = table.vacant().unwrap();
            table.start(id, deadline);
        }
        assert_eq!((table.take_expired(9), table.earliest()), (None, Some(10)));
        assert_eq!(table.take_expired(25).map(RequestId::index), Some(2));
        assert_eq!(table.take_expired(25).map(RequestId::index), Some(3));
        assert_eq!((table.take_expired(25), table.earliest()), (None, Some(30)));
        assert_eq!(table.take_expired(u64::MAX).map(RequestId::index), Some(0));
        assert_eq!((table.take_expired(u64::MAX), table.earliest(), table.open()), (None, None, 1));
    }
}
