//! Fuzzing: each target for a short while, and its sources as the others are.

use super::suite::{Suite, Verdict};
use crate::fuzz::{self, Outcome};
use crate::setup;
use crate::tool::Tool;
use crate::workspace;

pub fn add(suite: &mut Suite) {
    suite.case("fuzz: the targets' sources are as rustfmt writes them, without lints", |_| {
        cargo("fmt").arg("--check").run()?;
        // libFuzzer comes as C++.
        setup::fuzzer()?;
        let clippy = cargo("clippy").arg("--target-dir").arg(workspace::target().join("fuzz-lints"));
        clippy.args(["--quiet", "--all-targets", "--", "-D", "warnings"]).run()
    });
    suite.verdict("fuzz: each target, 20 s under AddressSanitizer", |_| {
        let outcomes = fuzz::short()?;
        let failed: Vec<_> = outcomes.iter().filter_map(Outcome::finding).collect();
        failed.iter().for_each(|finding| println!("{finding}"));
        let executions: u64 = outcomes.iter().map(|outcome| outcome.progress.executions).sum();
        println!("{executions} executions of {} targets, {} findings", outcomes.len(), failed.len());
        let passed = (outcomes.len() - failed.len()) as u64;
        let first_lines = |finding: String| finding.lines().next().unwrap_or_default().to_owned();
        Ok(Verdict::Counted { passed, failed: failed.into_iter().map(first_lines).collect(), ignored: 0 })
    });
}

fn cargo(verb: &str) -> Tool {
    Tool::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .arg(verb)
        .arg("--manifest-path")
        .arg(workspace::root().join("fuzz/Cargo.toml"))
}
