//! Every place where QEMU can put the device, a check for each group of them; and README's table of them.

use super::suite::{Suite, Verdict};
use crate::matrix::{self, Bench, GROUPS, Outcome};
use std::cell::RefCell;
use std::rc::Rc;

pub fn add(suite: &mut Suite) {
    let shown = Rc::<RefCell<Vec<Outcome>>>::default();
    let groups: Vec<_> = GROUPS.iter().map(|group| (matrix::name(*group), *group)).collect();
    for (name, group) in groups.clone() {
        let shown = shown.clone();
        suite.verdict(&format!("matrix: {name}"), move |rig| {
            let outcomes = matrix::run(&group(), &Bench::new(rig, None)?);
            let failed = outcomes.iter().filter_map(|outcome| {
                let error = outcome.result.as_ref().err()?;
                Some(format!("{}: {}", outcome.name(), error.lines().next().unwrap_or_default()))
            });
            let failed: Vec<String> = failed.collect();
            let passed = (outcomes.len() - failed.len()) as u64;
            shown.borrow_mut().extend(outcomes);
            Ok(Verdict::Counted { passed, failed, ignored: 0 })
        });
    }
    suite.verdict("matrix: README's support table is what was shown", move |rig| {
        let outcomes = shown.borrow();
        if outcomes.is_empty() {
            return Ok(Verdict::Skipped("no group of the matrix was among the checks".to_owned()));
        }
        println!("page: {}", matrix::page::write(&outcomes, &Bench::new(rig, None)?.setting())?.display());
        let names: Vec<&str> = groups.iter().map(|(name, _)| *name).collect();
        matrix::readme::check(&outcomes, &names)?;
        Ok(Verdict::Passed)
    });
}
