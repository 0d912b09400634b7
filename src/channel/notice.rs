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
