//! The models of the protocol in `models/`, each searched through by Spin, whole and without one of its rules.

use crate::progress::note;
use crate::setup::Spin;
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A model: what it is searched with and how many states that is, and what it is searched without, for which an error must be found.
pub struct Model {
    pub name: &'static str,
    pub searches: &'static [(&'static [&'static str], u64)],
    pub broken: &'static [&'static [&'static str]],
}

pub const MODELS: &[Model] = &[
    Model {
        name: "sleep",
        searches: &[(&[], 11_200)],
        broken: &[&["NO_SENDER_FENCE"], &["NO_RECEIVER_FENCE"], &["NO_SECOND_LOOK"], &["COUNT_AFTER_ARM"]],
    },
    Model {
        name: "handshake",
        searches: &[
            (&["DEATHS_0=1", "DEATHS_1=1", "GLITCHES=0", "CLOSES=1"], 1_002_272),
            (&["DEATHS_0=1", "DEATHS_1=0", "GLITCHES=1", "CLOSES=1"], 2_237_326),
            (&["DEATHS_0=0", "DEATHS_1=1", "GLITCHES=1", "CLOSES=1"], 985_115),
            (&["DEATHS_0=2", "DEATHS_1=1", "GLITCHES=0", "CLOSES=0"], 1_669_261),
            (&["DEATHS_0=1", "DEATHS_1=2", "GLITCHES=0", "CLOSES=0"], 965_108),
            (&["DEATHS_0=3", "DEATHS_1=0", "GLITCHES=0", "CLOSES=0"], 1_796_457),
            (&["DEATHS_0=0", "DEATHS_1=3", "GLITCHES=0", "CLOSES=0"], 363_825),
        ],
        broken: &[
            &["EPOCH_BEFORE_SEEN"],
            &["ECHO_STAYS"],
            &["ECHO_FIRST"],
            &["NO_ECHO"],
            &["NO_RENEWAL", "GLITCHES=1"],
            &["COUNTER_LOST", "DEATHS_0=0", "DEATHS_1=3", "CLOSES=0"],
        ],
    },
    Model {
        name: "sampling",
        searches: &[(&["LIVES=3", "VALUES=5"], 2_388_300), (&["LIVES=2", "VALUES=7"], 384_254)],
        broken: &[
            &["NO_STARTED_LOOK"],
            &["STARTED_TOO_EARLY"],
            &["STARTED_TOO_LATE"],
            &["LATEST_TOO_EARLY"],
            &["ONE_SLOT_LESS"],
            &["NO_KEY_LOOK"],
            &["COUNTER_LOST"],
        ],
    },
];

impl Model {
    pub fn check(&self, spin: &Spin) -> Result<()> {
        // What no search reached is in the model in vain.
        let mut unreached: Option<BTreeSet<String>> = None;
        for (with, states) in self.searches {
            let found = self.search(spin, with, "-O2")?;
            ensure!(found.errors == 0, "with {with:?} there is an error:\n{}", found.said);
            ensure!(found.states == *states, "with {with:?} there are not {states} states:\n{}", found.said);
            unreached = Some(match unreached {
                Some(before) => before.intersection(&found.unreached).cloned().collect(),
                None => found.unreached,
            });
        }
        let unreached = unreached.unwrap_or_default();
        ensure!(unreached.is_empty(), "no search reaches {unreached:#?}");
        for without in self.broken {
            // A short search: it is over sooner than a better one is compiled.
            let found = self.search(spin, without, "-O0")?;
            ensure!(found.errors == 1, "with {without:?} no error is found:\n{}", found.said);
        }
        Ok(())
    }

    fn search(&self, spin: &Spin, with: &[&str], optimised: &str) -> Result<Found> {
        let source = workspace::root().join("models").join(self.name).with_extension("pml");
        let dir = self.dir();
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let defines = with.iter().map(|define| format!("-D{define}"));
        spin.tool().args(defines).arg("-a").arg(source).dir(&dir).output()?;
        // Errors are all assertions and deadlocks; COLLAPSE keeps the states in less memory.
        Tool::new("cc").args([optimised, "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"]).dir(&dir).output()?;
        let said = Tool::new(dir.join("pan")).arg("-m100000").dir(&dir).output()?;
        let found = Found::read(&said).with_context(|| format!("Spin's search says something else:\n{said}"))?;
        note(format!("{} {}: {} states, {} errors", self.name, with.join(" "), found.states, found.errors));
        Ok(found)
    }

    fn dir(&self) -> PathBuf {
        workspace::target().join("models").join(self.name)
    }
}

/// What a search says at its end.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    errors: u64,
    states: u64,
    /// The statements never reached, but for the ends of processes that go on for ever.
    unreached: BTreeSet<String>,
    said: String,
}

impl Found {
    fn read(said: &str) -> Option<Self> {
        let (_, errors) = said.split_once(" errors: ")?;
        let states = said.lines().find_map(|line| line.trim().strip_suffix(" states, stored"))?;
        let (_, after) = said.split_once("unreached in ").unwrap_or_default();
        let statements = after.lines().filter(|line| line.contains(".pml:") && !line.contains("\"-end-\""));
        Some(Self {
            errors: errors.lines().next()?.trim().parse().ok()?,
            states: states.parse().ok()?,
            unreached: statements.map(|line| line.trim().to_owned()).collect(),
            said: said.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_states_and_what_was_not_reached_are_read() {
        let said = "State-vector 72 byte, depth reached 88, errors: 2\n    11200 states, stored\n    6679 states, matched\n\
                    unreached in proctype a\n\tx.pml:29, state 6, \"-end-\"\n\t(1 of 6 states)\n";
        assert_eq!(Found::read(said).map(|found| (found.errors, found.states)), Some((2, 11200)));
        let more = format!("{said}unreached in init\n\tx.pml:7, state 2, \"a = 1\"\n");
        let found = Found::read(&more).unwrap();
        assert!(found.unreached.contains("x.pml:7, state 2, \"a = 1\""), "{:?}", found.unreached);
        assert_eq!(Found::read("pan: out of memory"), None);
    }
}
