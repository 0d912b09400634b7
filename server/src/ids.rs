//! Peer ids, each given once.
//!
//! QEMU keeps (and misuses) what it freed for a peer that left: if the same id comes again, it writes to freed memory.
//! So an id is given again only when no client lives that could have known its former owner, and not before every
//! other id was given.

use std::collections::VecDeque;

use crate::protocol::IDS;

/// When something happened: a count of arrivals, so that it can be compared without a clock.
pub(crate) type Serial = u64;

/// The ids.
#[derive(Debug)]
pub(crate) struct Ids {
    first: u16,
    /// How many were given for the first time.
    given: u32,
    /// Ids whose owners left, with the serial that the next arrival had then; oldest first.
    left: VecDeque<(Serial, u16)>,
}

impl Ids {
    /// All ids, counting up from `first`, and on from 0 after 65535.
    pub fn new(first: u16) -> Self {
        Self { first, given: 0, left: VecDeque::new() }
    }

    /// An id that no living client knows as somebody else's. `oldest` is the serial of the client that has lived
    /// longest, if any lives.
    pub fn take(&mut self, oldest: Option<Serial>) -> Option<u16> {
        if self.given < IDS {
            // Below 65536, so it fits.
            let offset = self.given as u16;
            self.given += 1;
            return Some(self.first.wrapping_add(offset));
        }
        let (when, id) = *self.left.front()?;
        // Whoever has a lower serial was there with the former owner.
        if oldest.is_some_and(|oldest| oldest < when) {
            return None;
        }
        self.left.pop_front();
        Some(id)
    }

    /// The owner of `id` left; `next` is the serial that the next arrival will have.
    pub fn give_back(&mut self, id: u16, next: Serial) {
        self.left.push_back((next, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_from_the_first_and_on_from_zero() {
        let mut ids = Ids::new(65534);
        let taken: Vec<_> = (0..4).map(|_| ids.take(None).unwrap()).collect();
        assert_eq!(taken, [65534, 65535, 0, 1]);
    }

    #[test]
    fn no_id_comes_again_before_all_others_were_given() {
        let mut ids = Ids::new(7);
        let mut seen = vec![false; 65536];
        for serial in 0..65536 {
            let id = ids.take(None).unwrap();
            assert!(!std::mem::replace(&mut seen[usize::from(id)], true), "{id} given twice");
            ids.give_back(id, serial + 1);
        }
        assert_eq!(ids.take(None), Some(7), "the one that was given back first");
    }

    #[test]
    fn no_id_comes_again_while_a_client_lives_that_knew_its_owner() {
        let mut ids = Ids::new(0);
        // Serial 0 lives on with id 0; the others come and go while it watches.
        assert_eq!(ids.take(None), Some(0));
        for serial in 1..65536 {
            let id = ids.take(Some(0)).unwrap();
            ids.give_back(id, serial + 1);
        }
        assert_eq!(ids.take(Some(0)), None, "serial 0 has seen every one of them");
        // Serial 65536 could not be admitted. Serial 0 leaves: nobody is there who has seen anything.
        ids.give_back(0, 65536);
        assert_eq!(ids.take(None), Some(1));
        // The new one (serial 65536) came after all departures: all other ids are free to give.
        assert_eq!(ids.take(Some(65536)), Some(2));
        // Id 1's owner leaves while serial 65537 (id 2) lives.
        ids.give_back(1, 65538);
        for id in 3..=65535 {
            assert_eq!(ids.take(Some(65537)), Some(id));
        }
        assert_eq!(ids.take(Some(65537)), Some(0));
        assert_eq!(ids.take(Some(65537)), None, "id 1's former owner was seen by serial 65537");
        assert_eq!(ids.take(Some(65538)), Some(1));
    }

    #[test]
    fn none_is_left_while_65536_clients_live() {
        let mut ids = Ids::new(0);
        for _ in 0..65536 {
            assert!(ids.take(Some(0)).is_some());
        }
        assert_eq!(ids.take(Some(0)), None);
    }
}
