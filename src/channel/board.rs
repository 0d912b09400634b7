//! Private memory in which the link tells the channels' halves, perhaps on other cores, how it stands.
//!
//! Nothing here is shared with the peer. One writer, the link; no lock, so that a half never waits for it.

use super::wire::Key;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// What a half needs to know of the link.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Bits 0 to 31: the session's key. Bits 32 to 62: how often the link came up. Bit 63: it is up.
    session: AtomicU64,
    /// The peer's identity word: bits 0 to 15 its ivshmem id, bit 16 set if there is one.
    identity: AtomicU32,
    /// The channels for which the peer wants doorbells.
    wants: AtomicU64,
    /// Bit 0: this side closed, bit 1: the peer closed.
    closed: AtomicU32,
    /// Counts the link's polls, wrapping.
    polls: AtomicU32,
    /// The low half of this side's epoch: the key of its samples.
    epoch: AtomicU32,
    /// Bits 0 to 31: that of the peer's, in the session whose count, as in `session`, is in bits 32 to 62.
    peer_epoch: AtomicU64,
}

/// A session as a half sees it: the key on the wire, and a count that tells two sessions of the same key apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) key: Key,
    count: u32,
}

impl Session {
    const fn from_word(word: u64) -> Self {
        Self { key: Key::from_bits(word as u32), count: (word >> 32) as u32 & 0x7fff_ffff }
    }
}

/// Who closed, if anybody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    No,
    Here,
    There,
}

const UP: u64 = 1 << 63;

impl Board {
    /// The session, if the link is up.
    #[inline]
    pub(super) fn session(&self) -> Option<Session> {
        // Acquire: what the link read and wrote before it announced the session (the peer's wants, our echo) is
        // visible to whoever acts on it.
        let word = self.session.load(Ordering::Acquire);
        (word & UP != 0).then_some(Session::from_word(word))
    }

    /// The session that is up or was last: what a peer that closed has left can still be received.
    pub(super) fn last_session(&self) -> Option<Session> {
        // Acquire: as in `session`.
        let word = self.session.load(Ordering::Acquire);
        (word as u32 != 0).then_some(Session::from_word(word))
    }

    /// The link came up with a peer of this epoch.
    pub(super) fn up_with(&self, key: Key, peer_epoch: u32) {
        // Relaxed: `up` publishes it. A reader of samples that sees it early finds the count of another session.
        self.peer_epoch.store(self.next_count() << 32 | u64::from(peer_epoch), Ordering::Relaxed);
        self.up(key);
    }

    /// The count of the session that comes up next.
    fn next_count(&self) -> u64 {
        ((self.session.load(Ordering::Relaxed) & !UP) >> 32).wrapping_add(1) & 0x7fff_ffff
    }

    fn up(&self, key: Key) {
        // Release: pairs with `session`. No read-modify-write is needed: the link is the only writer.
        self.session.store(UP | self.next_count() << 32 | u64::from(key.bits()), Ordering::Release);
    }

    /// The link went down.
    pub(super) fn down(&self) {
        let word = self.session.load(Ordering::Relaxed);
        // Release: as in `up`.
        self.session.store(word & !UP, Ordering::Release);
    }

    /// This side attaches anew: no session, and none that was. The count goes on, so that later ones differ.
    pub(super) fn forget(&self) {
        let word = self.session.load(Ordering::Relaxed);
        // Release: as in `up`.
        self.session.store(word & !UP & !u64::from(u32::MAX), Ordering::Release);
    }

    /// This side has this epoch, and has withdrawn whatever it wrote under others.
    pub(super) fn set_epoch(&self, epoch: u64) {
        // Release: a writer of samples that sees the epoch stores behind what was withdrawn for it.
        self.epoch.store(epoch as u32, Ordering::Release);
    }

    /// The key of this side's samples.
    pub(super) fn epoch(&self) -> Key {
        // Acquire: pairs with `set_epoch`.
        Key::from_bits(self.epoch.load(Ordering::Acquire))
    }

    /// The key of the peer's samples in this session; `None` if the link, on another core, has gone on to a later one.
    pub(super) fn peer_epoch(&self, session: Session) -> Option<Key> {
        let word = self.peer_epoch.load(Ordering::Relaxed);
        (word >> 32 == u64::from(session.count)).then_some(Key::from_bits(word as u32))
    }

    pub(super) fn set_closed(&self, closed: Closed) {
        // Release: whoever sees that the peer closed also sees the session in which it sent what is left to receive.
        self.closed.store(closed as u32, Ordering::Release);
    }

    pub(super) fn closed(&self) -> Closed {
        // Acquire: pairs with `set_closed`.
        match self.closed.load(Ordering::Acquire) {
            0 => Closed::No,
            1 => Closed::Here,
            _ => Closed::There,
        }
    }

    /// The link was polled.
    pub(super) fn count_poll(&self) {
        // Relaxed, here and below: it only tells one time from another. No read-modify-write: the link is the only writer.
        self.polls.store(self.polls().wrapping_add(1), Ordering::Relaxed);
    }

    /// How often the link was polled, wrapping.
    #[inline]
    pub(super) fn polls(&self) -> u32 {
        self.polls.load(Ordering::Relaxed)
    }

    /// Stores what the peer says of itself: hints for ringing, never an index.
    pub(super) fn set_peer(&self, id: Option<u16>, wants: u64) {
        let identity = id.map_or(0, |id| 1 << 16 | u32::from(id));
        // Relaxed, both: a doorbell rung on old news is lost or spurious, and a doorbell is a hint.
        self.identity.store(identity, Ordering::Relaxed);
        self.wants.store(wants, Ordering::Relaxed);
    }

    /// The peer's ivshmem id, if it has published one.
    pub(super) fn peer_id(&self) -> Option<u16> {
        let word = self.identity.load(Ordering::Relaxed);
        (word >> 16 == 1).then_some(word as u16)
    }

    /// Whether the peer wants doorbells for this channel.
    #[inline]
    pub(super) fn wants(&self, channel: usize) -> bool {
        self.wants.load(Ordering::Relaxed) >> (channel & 63) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_doorbell_is_wanted_for_the_channels_whose_bit_is_set_and_no_other() {
        let board = Board::default();
        for channel in 0..64 {
            board.set_peer(None, 1 << channel);
            assert!((0..64).all(|other| board.wants(other) == (other == channel)), "{channel}");
        }
    }

    #[test]
    fn sessions_of_the_same_key_differ_also_when_their_count_wraps() {
        let board = Board::default();
        assert_eq!((board.session(), board.last_session()), (None, None));
        let key = Key::new(1, 2);
        for before_the_wrap in [0, 0x7fff_fffe] {
            board.session.store(before_the_wrap << 32, Ordering::Relaxed);
            let sessions: Vec<_> = (0..5)
                .map(|_| {
                    board.up(key);
                    let session = board.session().unwrap();
                    assert_eq!(session.key, key);
                    board.down();
                    assert_eq!((board.session(), board.last_session()), (None, Some(session)));
                    session
                })
                .collect();
            for (index, session) in sessions.iter().enumerate() {
                assert!(!sessions[..index].contains(session), "{sessions:?}");
            }
        }
    }
}
