//! How old a message can be, by the receiver's clock alone: the two ends' clocks have nothing to do with each other.

/// Bounds the age of what a queue hands out.
///
/// A message was sent after the last look that found nothing; and, in a queue that is never found empty, after the take of the one
/// that comes a whole ring before it, because the sender had no room for it earlier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    /// No message still to come was sent before this time.
    since: u64,
    /// Messages from this number on were sent after `mark_at`.
    mark: u64,
    mark_at: u64,
    taken: u64,
    slots: u32,
}

impl Since {
    /// No message was sent before `now`.
    pub(super) const fn new(slots: u32, now: u64) -> Self {
        Self { since: now, mark: slots as u64, mark_at: now, taken: 0, slots }
    }

    /// A look at `now` or later found that nothing was sent.
    pub(super) fn nothing(&mut self, now: u64) {
        self.since = now;
        self.mark_here(now);
    }

    /// A message was taken at `now` or later, and is at most so many ticks old then.
    pub(super) fn taken(&mut self, now: u64) -> u64 {
        if self.taken >= self.mark {
            self.since = self.mark_at;
            self.mark_here(now);
        }
        self.taken = self.taken.saturating_add(1);
        now.saturating_sub(self.since)
    }

    /// At `now` the sender can have sent no more than what is in the ring.
    fn mark_here(&mut self, now: u64) {
        self.mark = self.taken.saturating_add(u64::from(self.slots));
        self.mark_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const SLOTS: u32 = 4;

    proptest! {
        #[test]
        fn no_message_is_older_than_its_bound_and_a_queue_in_use_bounds_it_by_two_rings(
            steps in vec((any::<bool>(), 0u64..10), 1..400)
        ) {
            let mut since = Since::new(SLOTS, 0);
            let (mut now, mut ring, mut looks) = (0, VecDeque::new(), VecDeque::from([0; 9]));
            for (send, ticks) in steps {
                now += ticks;
                if send && ring.len() < SLOTS as usize {
                    ring.push_back(now);
                } else if !send {
                    match ring.pop_front() {
                        Some(sent) => {
                            let bound = since.taken(now);
                            prop_assert!(bound >= now - sent, "{} for a message {} old", bound, now - sent);
                            // The last two rings' takes, this one not counted.
                            prop_assert!(bound <= now - looks[looks.len() - 8]);
                        }
                        None => {
                            since.nothing(now);
                            prop_assert_eq!(since.since, now);
                        }
                    }
                    looks.push_back(now);
                }
            }
        }
    }

    #[test]
    fn a_clock_that_runs_back_makes_messages_neither_negative_nor_young_for_ever() {
        let mut since = Since::new(SLOTS, 1000);
        assert_eq!(since.taken(10), 0);
        since.nothing(20);
        assert_eq!(since.taken(50), 30);
    }
}
