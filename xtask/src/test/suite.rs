//! Runs checks one after the other, collects every failure, and closes with one line of counts.

use super::rig::Rig;
use anyhow::{Result, bail};
use std::time::Instant;

/// What came of a check that did not fail as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// It cannot be done here, for this reason.
    Skipped(String),
    /// It was a run of many tests of another runner's.
    Counted {
        passed: u64,
        failed: Vec<String>,
        ignored: u64,
    },
}

type Work = Box<dyn Fn(&Rig) -> Result<Verdict>>;

/// The checks, in the order in which they run.
#[derive(Default)]
pub struct Suite {
    cases: Vec<(String, Work)>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    passed: u64,
    skipped: u64,
    failures: Vec<String>,
}

impl Suite {
    /// A check that passes unless it returns an error.
    pub fn case(&mut self, name: &str, work: impl Fn(&Rig) -> Result<()> + 'static) {
        self.verdict(name, move |rig| work(rig).map(|()| Verdict::Passed));
    }

    /// A check that may have another outcome.
    pub fn verdict(&mut self, name: &str, work: impl Fn(&Rig) -> Result<Verdict> + 'static) {
        self.cases.push((name.to_owned(), Box::new(work)));
    }

    /// Keeps the checks whose names contain the filter.
    pub fn select(&mut self, filter: Option<&str>) -> Result<()> {
        let Some(filter) = filter else { return Ok(()) };
        self.cases.retain(|(name, _)| name.contains(filter));
        if self.cases.is_empty() {
            bail!("no check's name contains `{filter}`; `cargo xtask test --list` shows the names");
        }
        Ok(())
    }

    pub fn list(&self) {
        self.cases.iter().for_each(|(name, _)| println!("{name}"));
    }

    /// Runs them all and tells whether all passed.
    pub fn run(self, rig: &Rig) -> bool {
        let begin = Instant::now();
        let mut summary = Summary::default();
        for (name, work) in self.cases {
            println!("\n=== {name}");
            let begin = Instant::now();
            let outcome = work(rig);
            let word = match &outcome {
                Ok(Verdict::Skipped(reason)) => format!("skipped, {reason}"),
                Ok(Verdict::Counted { failed, .. }) if !failed.is_empty() => "FAILED".to_owned(),
                Ok(_) => "ok".to_owned(),
                Err(error) => format!("FAILED\n{error:#}"),
            };
            println!("=== {name}: {word} ({:.1} s)", begin.elapsed().as_secs_f64());
            summary.add(&name, outcome);
        }
        println!("\nall checks took {:.0} s", begin.elapsed().as_secs_f64());
        summary.failures.iter().for_each(|failure| println!("FAILED: {failure}"));
        println!("{}", summary.line());
        summary.failures.is_empty()
    }
}

impl Summary {
    fn add(&mut self, name: &str, outcome: Result<Verdict>) {
        match outcome {
            Ok(Verdict::Passed) => self.passed += 1,
            Ok(Verdict::Skipped(_)) => self.skipped += 1,
            Ok(Verdict::Counted { passed, failed, ignored }) => {
                self.passed += passed;
                self.skipped += ignored;
                self.failures.extend(failed.into_iter().map(|test| format!("{name}: {test}")));
            }
            Err(error) => {
                let text = error.to_string();
                self.failures.push(format!("{name}: {}", text.lines().next().unwrap_or_default()));
            }
        }
    }

    fn line(&self) -> String {
        let skipped = if self.skipped > 0 { format!(", {} skipped", self.skipped) } else { String::new() };
        format!("{} passed, {} failed{skipped}", self.passed, self.failures.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn the_closing_line_counts_all_and_names_every_failure() {
        let mut summary = Summary::default();
        summary.add("a", Ok(Verdict::Passed));
        assert_eq!(summary.line(), "1 passed, 0 failed");
        summary.add("b", Ok(Verdict::Counted { passed: 7, failed: vec!["t".to_owned()], ignored: 2 }));
        summary.add("c", Err(anyhow!("first\nsecond")));
        summary.add("d", Ok(Verdict::Skipped("no clippy".to_owned())));
        assert_eq!(summary.line(), "8 passed, 2 failed, 3 skipped");
        assert_eq!(summary.failures, ["b: t", "c: first"]);
    }

    #[test]
    fn a_filter_that_meets_nothing_is_an_error() {
        let mut suite = Suite::default();
        suite.case("lint: x", |_| Ok(()));
        assert!(suite.select(Some("restart")).is_err());
    }
}
