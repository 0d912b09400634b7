//! The two words that every request, cancellation and response begins with.

use crate::channel::wire::kind;

/// Bytes of a head.
pub(super) const HEAD: usize = kind::HEAD as usize;

/// Names one request among all of a requester's: the correlation on the wire.
///
/// Bits 0 to 15: its place in the requester's table; 16 to 47: its generation, which counts the requests; the rest is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RequestId(u64);

impl RequestId {
    pub(super) const fn new(index: u16, generation: u32) -> Self {
        Self(index as u64 | (generation as u64) << 16)
    }

    /// `None` for a word that no honest end writes.
    pub(super) const fn from_word(word: u64) -> Option<Self> {
        if word >> 48 == 0 { Some(Self(word)) } else { None }
    }

    pub(super) const fn to_word(self) -> u64 {
        self.0
    }

    pub(super) const fn index(self) -> usize {
        self.0 as u16 as usize
    }

    pub(super) const fn generation(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// How a responder answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// It did what was asked.
    Done,
    /// The request's budget had passed before it began, so it did nothing.
    Expired,
    /// It did not do it, and the bytes, if there are any, say why.
    Refused,
}

impl Status {
    pub(super) const fn to_word(self) -> u64 {
        match self {
            Self::Done => 0,
            Self::Expired => 1,
            Self::Refused => 2,
        }
    }

    /// `None` for a word that no honest end writes.
    pub(super) const fn from_word(word: u64) -> Option<Self> {
        match word {
            0 => Some(Self::Done),
            1 => Some(Self::Expired),
            2 => Some(Self::Refused),
            _ => None,
        }
    }
}

/// What a request's second word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Microseconds, 0 for none.
    pub(super) budget: u32,
    pub(super) operation: u32,
}

impl Order {
    pub(super) const fn to_word(self) -> u64 {
        self.budget as u64 | (self.operation as u64) << 32
    }

    pub(super) const fn from_word(word: u64) -> Self {
        Self { budget: word as u32, operation: (word >> 32) as u32 }
    }

    /// When the budget has passed for whoever got the order at `now`, both in ticks.
    pub(super) fn deadline(self, now: u64, ticks_per_microsecond: u64) -> Option<u64> {
        (self.budget != 0).then(|| now.saturating_add(u64::from(self.budget).saturating_mul(ticks_per_microsecond)))
    }
}

/// The head's bytes.
pub(super) fn head(id: RequestId, second: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let (first_bytes, second_bytes) = head.split_at_mut(HEAD / 2);
    first_bytes.copy_from_slice(&id.to_word().to_le_bytes());
    second_bytes.copy_from_slice(&second.to_le_bytes());
    head
}

/// The head's words.
pub(super) fn words(head: &[u8; HEAD]) -> (u64, u64) {
    let both = u128::from_le_bytes(*head);
    (both as u64, (both >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn heads_survive_packing_and_reserved_bits_are_refused(index: u16, generation: u32, budget: u32, operation: u32, other: u64) {
            let id = RequestId::new(index, generation);
            let order = Order { budget, operation };
            let (first, second) = words(&head(id, order.to_word()));
            prop_assert_eq!(first, u64::from(index) | u64::from(generation) << 16);
            prop_assert_eq!(second, u64::from(budget) | u64::from(operation) << 32);
            prop_assert_eq!(RequestId::from_word(first), Some(id));
            prop_assert_eq!((id.index(), id.generation()), (usize::from(index), generation));
            prop_assert_eq!(Order::from_word(second), order);
            prop_assert_eq!(RequestId::from_word(other).is_some(), other < 1 << 48);
            prop_assert_eq!(Status::from_word(other).is_some(), other < 3);
        }

        #[test]
        fn a_deadline_saturates_and_a_budget_of_0_has_none(budget: u32, now: u64, ticks: u64) {
            let deadline = Order { budget, operation: 0 }.deadline(now, ticks);
            prop_assert_eq!(deadline.is_none(), budget == 0);
            prop_assert!(deadline.is_none_or(|deadline| deadline >= now));
        }
    }

    #[test]
    fn statuses_survive_packing() {
        for status in [Status::Done, Status::Expired, Status::Refused] {
            assert_eq!(Status::from_word(status.to_word()), Some(status));
        }
    }
}
