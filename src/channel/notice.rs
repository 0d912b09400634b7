//! Whether a doorbell is due: `send` never touches the device, the caller decides who rings and when.

use crate::notify::Doorbell;

/// Says whether the peer wants to be rung for what was just sent.
///
/// Ring it, merge it with the notices of a batch, hand it to a housekeeping core, or ignore it when the peer polls anyway.
#[must_use = "a sleeping peer is not woken unless a due doorbell is rung"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Notice(Option<Ring>);

/// What to ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Ring {
    peer: u16,
    vector: u16,
}

impl Notice {
    pub(super) const NONE: Self = Self(None);

    pub(super) const fn due(peer: u16, vector: u16) -> Self {
        Self(Some(Ring { peer, vector }))
    }

    /// Whether a doorbell is due.
    pub const fn is_due(self) -> bool {
        self.0.is_some()
    }

    /// Rings if it is due, and says whether it rang: at most one register write.
    pub fn ring<D: Doorbell + ?Sized>(self, doorbell: &D) -> Result<bool, D::Error> {
        match self.0 {
            Some(Ring { peer, vector }) => doorbell.ring(peer, vector).map(|()| true),
            None => Ok(false),
        }
    }

    /// This notice or, if it is not due, a later one of the same channel.
    pub const fn or(self, later: Self) -> Self {
        if self.is_due() { self } else { later }
    }

    /// Deliberately does not ring: the peer polls, and finds the message at its next poll.
    pub const fn ignore(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    struct Bell(Cell<u32>);

    impl Doorbell for Bell {
        type Error = (u16, u16);

        fn ring(&self, peer: u16, vector: u16) -> Result<(), (u16, u16)> {
            self.0.set(self.0.get() + 1);
            Err((peer, vector))
        }
    }

    #[test]
    fn rings_once_if_due_and_tells_what_the_doorbell_tells() {
        let bell = Bell(Cell::new(0));
        assert_eq!(Notice::due(7, 3).ring(&bell), Err((7, 3)));
        assert_eq!(Notice::NONE.ring(&bell), Ok(false));
        assert_eq!(bell.0.get(), 1);
    }

    #[test]
    fn of_two_notices_the_one_that_is_due_is_kept_and_the_earlier_of_two_due_ones() {
        let (first, second) = (Notice::due(1, 1), Notice::due(2, 2));
        assert_eq!(first.or(second), first);
        assert_eq!(Notice::NONE.or(second), second);
        assert_eq!(first.or(Notice::NONE), first);
        assert!(!Notice::NONE.or(Notice::NONE).is_due());
    }
}
