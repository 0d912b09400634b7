//! Which vectors a self-test heard from.

use super::MAX_VECTORS;
use core::fmt;

const WORDS: usize = MAX_VECTORS as usize / 32;

/// The outcome of [`Interrupts::self_test`](super::Interrupts::self_test).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Arrived {
    tested: u16,
    bits: [u32; WORDS],
}

impl Arrived {
    pub(super) const fn new(tested: u16) -> Self {
        Self { tested, bits: [0; WORDS] }
    }

    const fn bit(vector: u16) -> u32 {
        1u32.rotate_left(vector as u32 % 32)
    }

    pub(super) fn insert(&mut self, vector: u16) {
        if let Some(word) = self.bits.get_mut(usize::from(vector / 32)) {
            *word |= Self::bit(vector);
        }
    }

    /// Only vectors below this one were tested.
    pub(super) fn end_at(&mut self, vector: u16) {
        self.tested = self.tested.min(vector);
    }

    /// Vectors that were tested: 0 up to this one, exclusive.
    pub const fn tested(&self) -> u16 {
        self.tested
    }

    /// Whether this vector's interrupt arrived.
    pub fn contains(&self, vector: u16) -> bool {
        self.bits.get(usize::from(vector / 32)).is_some_and(|word| word & Self::bit(vector) != 0)
    }

    /// How many arrived.
    pub fn count(&self) -> u16 {
        self.bits.iter().fold(0, |sum: u16, word| sum.saturating_add(word.count_ones() as u16))
    }

    /// Whether every vector arrived that was tested.
    pub fn all(&self) -> bool {
        self.count() == self.tested
    }

    /// The vectors that were tested and did not arrive, ascending.
    pub fn missing(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.tested).filter(|vector| !self.contains(*vector))
    }
}

impl fmt::Display for Arrived {
    /// `5 of 8 vectors arrived, not 1 2 7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} vectors arrived", self.count(), self.tested)?;
        for (n, vector) in self.missing().enumerate() {
            write!(f, "{}{vector}", if n == 0 { ", not " } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn tells_apart_what_arrived_and_what_did_not() {
        let mut arrived = Arrived::new(2048);
        for vector in (0..2048).filter(|vector| ![0, 31, 32, 2047].contains(vector)) {
            arrived.insert(vector);
        }
        assert!(!arrived.all());
        assert_eq!(arrived.count(), 2044);
        assert_eq!(arrived.missing().collect::<Vec<_>>(), [0, 31, 32, 2047]);
        assert!(arrived.contains(33) && !arrived.contains(32) && !arrived.contains(5000));
        assert_eq!(arrived.to_string(), "2044 of 2048 vectors arrived, not 0 31 32 2047");
    }
}
