//! The steps that are put in random order.

use proptest::prelude::*;

#[derive(Clone, Debug)]
pub enum Step {
    /// The link, on either side.
    Poll(bool),
    Start {
        budget: u32,
    },
    /// For the end of a request.
    Look,
    Cancel(u8),
    /// Takes a request, or serves up to so many.
    Take(u32),
    Respond {
        which: u8,
        refuse: bool,
    },
    /// With a token that has answered, or never could.
    RespondAgain(u8),
    Arm(bool),
    /// The clock of either side, which are never the same.
    Tick(bool, u8),
    Resync(bool),
    Restart(bool),
    Close(bool),
    /// For one poll the peer seems to be gone, though it is not.
    Flicker(bool),
}

pub fn step() -> impl Strategy<Value = Step> {
    let side = any::<bool>();
    prop_oneof![
        8 => side.prop_map(Step::Poll),
        8 => prop_oneof![Just(0), 1u32..6].prop_map(|budget| Step::Start { budget }),
        8 => Just(Step::Look),
        2 => any::<u8>().prop_map(Step::Cancel),
        8 => (0u32..4).prop_map(Step::Take),
        8 => (any::<u8>(), any::<bool>()).prop_map(|(which, refuse)| Step::Respond { which, refuse }),
        1 => any::<u8>().prop_map(Step::RespondAgain),
        1 => side.prop_map(Step::Arm),
        4 => (side, any::<u8>()).prop_map(|(side, ticks)| Step::Tick(side, ticks)),
        1 => side.prop_map(Step::Resync),
        1 => side.prop_map(Step::Restart),
        1 => side.prop_map(Step::Close),
        1 => side.prop_map(Step::Flicker),
    ]
}
