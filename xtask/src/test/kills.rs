//! Either end killed at any moment under load, a hundred times, and every message accounted for.
//!
//! A killed end's own counts are gone with it, but for the page that it shared, and the memory of the mailbox says which messages it
//! had published and acknowledged. For each session, and each direction in it: sent == received + lost, each by another's count.

mod account;
pub mod image;
pub mod peer;
mod watcher;

use super::suite::Suite;
use crate::vm::Mode;
use anyhow::{Result, ensure};

pub use account::Account;

/// Kills of each end under load; there are a few early ones besides.
const ROUNDS: u64 = 100;

pub fn add(suite: &mut Suite) {
    for mode in [Mode::Doorbell, Mode::Plain] {
        suite.case(
            &format!("kills: the peer dies 100 times under load, every message accounted for, {mode}"),
            move |rig| {
                let accelerator = rig.images()?;
                let account = rig.session(|session| peer::killed(session, accelerator, mode, ROUNDS, SEED))?;
                under_load(&account)
            },
        );
    }
    suite.case("kills: the image dies 100 times under load, every message accounted for", |rig| {
        let accelerator = rig.images()?;
        let account = rig.session(|session| image::killed(session, accelerator, Mode::Doorbell, ROUNDS, SEED))?;
        under_load(&account)
    });
}

/// Where in a session each kill comes follows from it; what that end was doing then does not.
const SEED: u64 = 3;

/// Each round was under load, and there was something to lose.
fn under_load(account: &Account) -> Result<()> {
    account.say();
    ensure!(account.rounds == ROUNDS && account.early > 0, "rounds are missing: {account:?}");
    ensure!(account.received > 100 * ROUNDS && account.lost > 0, "hardly any load: {account:?}");
    Ok(())
}

/// When in its life an end is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Before it is up, or while it comes up.
    Early,
    /// As soon as it is up.
    Up,
    /// After it has done some of its work, in the middle of it.
    Loaded,
}

impl Moment {
    /// So many under load, and after every tenth, the fifth first, an early one besides.
    fn all(loaded: u64) -> impl Iterator<Item = Self> {
        (0..loaded).flat_map(|number| {
            let besides = match number % 20 {
                4 => Some(Self::Early),
                14 => Some(Self::Up),
                _ => None,
            };
            [Some(Self::Loaded), besides].into_iter().flatten()
        })
    }

    /// One round of an account.
    fn round(self) -> Account {
        let is_loaded = self == Self::Loaded;
        Account { rounds: is_loaded.into(), early: (!is_loaded).into(), ..Account::default() }
    }
}
