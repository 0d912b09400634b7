//! Whether the communication as a whole can be relied on: what the last few messages were.

/// When a channel's data count as valid: of the `last` messages at most `tolerated` were bad and at least
/// `enough` were good.
///
/// A window of more than 64 messages counts as one of 64. One that asks for more good messages than it holds is never valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window {
    /// Messages looked back on, 1 to 64.
    pub last: u8,
    /// Good ones among them before the data are valid.
    pub enough: u8,
    /// Bad ones among them, above which the data are invalid.
    pub tolerated: u8,
}

/// How a protected channel stands, beyond one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Nothing came in this session, or nothing for longer than [`Expected::validity`](super::Expected::validity).
    NoData,
    /// Not yet enough good messages.
    Init,
    /// [`Window`]'s conditions hold.
    Valid,
    /// Too many bad messages. [`Valid`](Self::Valid) again when its conditions hold.
    Invalid,
}

/// The last messages, and the state they led to.
#[derive(Clone, Copy, Debug)]
pub(super) struct History {
    window: Window,
    /// Bit n: the message n before the last was bad.
    bad: u64,
    /// How many of the bits are messages.
    seen: u32,
    state: State,
}

impl History {
    pub(super) const fn new(window: Window) -> Self {
        Self { window, bad: 0, seen: 0, state: State::NoData }
    }

    /// Begins anew: what came earlier says nothing about what comes.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.window);
    }

    pub(super) fn add(&mut self, good: bool) {
        let last = u32::from(self.window.last).min(u64::BITS);
        self.bad = self.bad << 1 | u64::from(!good);
        self.seen = self.seen.saturating_add(1).min(last);
        let mask = u64::MAX.checked_shr(u64::BITS.saturating_sub(last)).unwrap_or(0);
        let bad = (self.bad & mask).count_ones();
        let good = self.seen.saturating_sub(bad);
        self.state = match self.state {
            _ if bad > u32::from(self.window.tolerated) => State::Invalid,
            _ if good >= u32::from(self.window.enough) => State::Valid,
            State::NoData | State::Init => State::Init,
            State::Valid | State::Invalid => State::Invalid,
        };
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn states(window: Window, messages: &str) -> Vec<State> {
        let mut history = History::new(window);
        let states = messages.chars().map(|message| {
            history.add(message == '+');
            history.state()
        });
        states.collect()
    }

    #[test]
    fn data_are_valid_after_enough_good_messages_invalid_after_too_many_bad_ones_and_valid_again() {
        use State::{Init, Invalid, Valid};
        let window = Window { last: 4, enough: 2, tolerated: 1 };
        assert_eq!(states(window, "++"), [Init, Valid]);
        assert_eq!(states(window, "++-+-"), [Init, Valid, Valid, Valid, Invalid]);
        assert_eq!(states(window, "--++++"), [Init, Invalid, Invalid, Invalid, Valid, Valid]);
        // Good ones that leave the window count no more.
        assert_eq!(states(Window { last: 2, enough: 2, tolerated: 1 }, "++-"), [Init, Valid, Invalid]);
    }

    #[test]
    fn windows_of_any_size_are_counted_and_the_impossible_ones_are_never_valid() {
        let window = |last, enough, tolerated| Window { last, enough, tolerated };
        assert_eq!(states(window(64, 64, 0), &"+".repeat(64))[62..], [State::Init, State::Valid]);
        assert_eq!(states(window(255, 64, 0), &"+".repeat(64))[62..], [State::Init, State::Valid]);
        // The bad one is the 64th before the last, then out of the window.
        let once = std::format!("-{}", "+".repeat(64));
        assert_eq!(states(window(64, 1, 0), &once)[63..], [State::Invalid, State::Valid]);
        for never in [window(0, 1, 255), window(4, 5, 255), window(255, 65, 255)] {
            assert!(!states(never, &"+".repeat(200)).contains(&State::Valid), "{never:?}");
        }
    }

    #[test]
    fn a_restart_forgets_everything() {
        let mut history = History::new(Window { last: 8, enough: 1, tolerated: 0 });
        history.add(false);
        assert_eq!(history.state(), State::Invalid);
        history.restart();
        assert_eq!(history.state(), State::NoData);
        history.add(true);
        assert_eq!(history.state(), State::Valid);
    }
}
