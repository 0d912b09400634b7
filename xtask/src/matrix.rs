//! `cargo xtask qemu-matrix`: every place where QEMU can put the device, and what the driver makes of it there.
//!
//! A [`Case`] is one machine. [`Scene`] is such a machine as data; what needs more than that is a function.

mod case;
mod crew;
mod foreign;
mod found;
mod hotplug;
mod lifecycle;
mod machines;
pub mod page;
mod pages;
mod probe;
mod processors;
pub mod readme;
mod scene;
mod sizes;
mod table;
mod talk;
mod topologies;

pub use case::{Bench, Case, Shown};
pub use crew::{Outcome, run};
pub use talk::{Reception, come_up, receive, talk};

use crate::setup::{Release, Way};
use crate::test::rig::Rig;
use anyhow::{Result, bail};
use std::time::Instant;

/// Boot images on every machine where the device can be, compare with what QEMU says, and exchange messages
#[derive(clap::Args, Debug)]
pub struct QemuMatrix {
    /// Only the cases whose names contain this
    filter: Option<String>,
    /// Only say which cases there are
    #[arg(long)]
    list: bool,
    /// Write README's support table from the results, if all is well
    #[arg(long, conflicts_with_all = ["filter", "list", "qemu"])]
    write_readme: bool,
    /// With this release of QEMU's rather than the installed one
    #[arg(long, value_enum)]
    qemu: Option<Release>,
    /// Where the bare-metal target comes from
    #[arg(long, value_enum, default_value_t)]
    toolchain: Way,
}

/// Each group's cases, in the order of the tables.
pub const GROUPS: &[fn() -> Vec<Case>] = &[
    probe::cases,
    machines::cases,
    processors::cases,
    topologies::cases,
    sizes::cases,
    pages::cases,
    hotplug::cases,
    lifecycle::cases,
    foreign::cases,
];

/// A group's name.
pub fn name(group: fn() -> Vec<Case>) -> &'static str {
    group().first().map_or("", |case| case.group)
}

impl QemuMatrix {
    pub fn run(self) -> Result<()> {
        let mut cases: Vec<Case> = GROUPS.iter().flat_map(|group| group()).collect();
        if let Some(filter) = &self.filter {
            cases.retain(|case| case.name().contains(filter));
            if cases.is_empty() {
                bail!("no case's name contains `{filter}`; `cargo xtask qemu-matrix --list` shows the names");
            }
        }
        if self.list {
            cases.iter().for_each(|case| println!("{}", case.name()));
            return Ok(());
        }
        let bench = Bench::new(&Rig::new(self.toolchain), self.qemu)?;
        let begin = Instant::now();
        let outcomes = run(&cases, &bench);
        println!("\n{}", table::text(&outcomes));
        println!("{} cases took {:.0} s", outcomes.len(), begin.elapsed().as_secs_f64());
        println!("page: {}", page::write(&outcomes, &bench.setting())?.display());
        let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.result.is_err()).collect();
        failed.iter().for_each(|outcome| println!("FAILED: {}", outcome.name()));
        println!("{} passed, {} failed", outcomes.len() - failed.len(), failed.len());
        if !failed.is_empty() {
            bail!("not every case passed");
        }
        if self.write_readme {
            readme::write(&outcomes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_has_a_name_of_its_own_that_a_table_can_hold() {
        let mut names = BTreeSet::new();
        for group in GROUPS {
            for case in group() {
                assert_eq!(case.group, name(*group), "{case:?} is in another group's list");
                assert!(!case.name().contains(['|', '\n', '<']), "{case:?}");
                assert!(names.insert(case.name()), "{case:?} is there twice");
            }
        }
    }
}
