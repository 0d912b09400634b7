//! Checks that need no VM: format, lints, and the tests that run on the host.

use super::suite::{Suite, Verdict};
use crate::cargo;
use crate::tool::Tool;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

pub fn add(suite: &mut Suite) {
    suite.case("format: every file is as rustfmt writes it", |_| cargo::format().run());
    suite.case("lint: driver, server, peer and xtask on the host", |_| {
        clippy(cargo::active("clippy"), &["--all-targets"])
    });
    suite.case("lint: the driver with every feature", |_| {
        clippy(cargo::active("clippy"), &["--package", "ivshmem", "--all-features"])
    });
    suite.verdict("lint: driver and images for the bare-metal target", |rig| {
        let toolchain = rig.toolchain()?;
        if !toolchain.has_clippy() {
            return Ok(Verdict::Skipped("Debian's Rust has no clippy".to_owned()));
        }
        clippy(toolchain.cargo("clippy"), &["--package", "ivshmem"])?;
        // With the images comes the driver with defmt.
        clippy(toolchain.cargo("clippy"), &["--package", "ivshmem-examples", "--bins"])?;
        clippy(toolchain.cargo("clippy"), &["--package", "ivshmem-no-panic"])?;
        Ok(Verdict::Passed)
    });
    suite.case("lint: the images' logic on the host", |_| {
        clippy(cargo::active("clippy"), &["--package", "ivshmem-examples", "--all-targets"])
    });
    suite.verdict("host: unit, property, integration and documentation tests", |rig| {
        // Some drive QEMU's devices.
        rig.hypervisor()?;
        tests(&cargo::active("test").arg("--no-fail-fast"))
    });
    suite.verdict("host: the images' logic", |_| {
        tests(&cargo::active("test").args(["--no-fail-fast", "--package", "ivshmem-examples"]))
    });
}

pub fn clippy(cargo: Tool, what: &[&str]) -> Result<()> {
    cargo.arg("--quiet").args(what.iter().copied()).args(["--", "-D", "warnings"]).run()
}

/// Runs `cargo test`, shows what it prints, and counts.
pub fn tests(tool: &Tool) -> Result<Verdict> {
    let mut command = tool.child();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {tool}"))?;
    let output = child.stdout.take().context("cargo has no standard output")?;
    let mut count = Count::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        count.take(&line);
    }
    let status = child.wait()?;
    if !status.success() && count.failed.is_empty() {
        bail!("{status} although no test failed: {tool}");
    }
    if count.passed == 0 {
        bail!("no test ran: {tool}");
    }
    Ok(Verdict::Counted { passed: count.passed, failed: count.failed, ignored: count.ignored })
}

/// What libtest's lines add up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: u64,
    pub failed: Vec<String>,
    ignored: u64,
}

impl Count {
    pub fn take(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let number = |word: &str| {
                let part = result.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
                part.and_then(|part| part.trim().parse::<u64>().ok()).unwrap_or(0)
            };
            self.passed += number("passed");
            self.ignored += number("ignored");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failed.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtests_lines_are_counted_over_all_binaries() {
        let mut count = Count::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 41 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.03s",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            count.take(line);
        }
        assert_eq!(count, Count { passed: 44, failed: vec!["a::c".to_owned()], ignored: 2 });
    }
}
