//! Every place where QEMU can put the device, a check for each group of them.

use super::suite::{Suite, Verdict};
use crate::matrix::{self, Bench, GROUPS};

pub fn add(suite: &mut Suite) {
    for group in GROUPS {
        let name = group().first().map_or("", |case| case.group);
        suite.verdict(&format!("matrix: {name}"), move |rig| {
            let (cases, bench) = (group(), Bench::new(rig)?);
            let outcomes = matrix::run(&cases, &bench);
            let failed = outcomes.iter().filter_map(|outcome| {
                let error = outcome.result.as_ref().err()?;
                Some(format!("{}: {}", outcome.case.name(), error.lines().next().unwrap_or_default()))
            });
            let failed: Vec<String> = failed.collect();
            Ok(Verdict::Counted { passed: (outcomes.len() - failed.len()) as u64, failed, ignored: 0 })
        });
    }
}
