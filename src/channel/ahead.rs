//! How far a half of a channel restarts it ahead of the other end.

/// Restarts by this half that the other was not seen to follow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead(u8);

impl Ahead {
    /// A generation more than 127 ahead passes for an earlier one: docs/wire-format.md allows a half one less.
    const MOST: u8 = 126;

    /// One restart more. `None` if that were too many and the other end has not `followed` yet, which is asked only then.
    pub(super) fn restart(self, followed: impl FnOnce() -> bool) -> Option<Self> {
        if self.0 < Self::MOST {
            return Some(Self(self.0.saturating_add(1)));
        }
        followed().then_some(Self(1))
    }
}
