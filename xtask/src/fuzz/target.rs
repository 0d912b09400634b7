//! One target's program: how it is run, and what it says meanwhile.

use super::outcome::{Outcome, Progress};
use crate::cargo::HOST;
use crate::progress::note;
use crate::tool::{Tool, last_lines};
use crate::workspace;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How often a target's progress is shown.
const EVERY: Duration = Duration::from_secs(10);

/// A target and its folders.
#[derive(Debug)]
pub struct Target {
    name: String,
    program: PathBuf,
    artifacts: PathBuf,
    corpus: PathBuf,
    seeds: PathBuf,
    log: PathBuf,
}

impl Target {
    pub fn new(name: &str) -> Self {
        let room = workspace::target().join("fuzz");
        Self {
            name: name.to_owned(),
            program: room.join(HOST).join("release").join(name),
            artifacts: room.join("artifacts").join(name),
            corpus: room.join("corpus").join(name),
            seeds: workspace::root().join("fuzz/corpus").join(name),
            log: room.join(format!("{name}.log")),
        }
    }

    /// The command, for so long.
    fn tool(&self, time: Duration, room: &Path) -> Tool {
        let mut prefix = self.artifacts.clone().into_os_string();
        prefix.push("/");
        let mut artifacts = std::ffi::OsString::from("-artifact_prefix=");
        artifacts.push(prefix);
        // Freed memory is kept from use, but not so much of it that little else fits the processor's cache.
        Tool::new(&self.program)
            .args([&self.corpus, &self.seeds])
            .arg(artifacts)
            .arg(format!("-max_total_time={}", time.as_secs()))
            .args([
                "-max_len=1024",
                "-len_control=20",
                "-rss_limit_mb=1024",
                "-timeout=60",
                "-report_slow_units=60",
                "-print_final_stats=1",
            ])
            .env("ASAN_OPTIONS", "quarantine_size_mb=4")
            .env("TMPDIR", room)
    }

    /// Runs it, and shows now and then how far it is.
    pub fn run(&self, time: Duration, room: &Path) -> Result<Outcome> {
        for folder in [&self.artifacts, &self.corpus] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let tool = self.tool(time, room);
        let mut command = tool.child();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {tool}"))?;
        let output = child.stderr.take().context("the target has no standard error")?;
        let mut log = File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut progress = Progress::default();
        let mut shown = Instant::now();
        // What it says may contain an input, which is anything.
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            log.write_all(&line)?;
            log.write_all(b"\n")?;
            progress.take(&String::from_utf8_lossy(&line));
            if shown.elapsed() >= EVERY {
                shown = Instant::now();
                note(format!("fuzz {}: {progress}", self.name));
            }
        }
        let status = child.wait()?;
        let finding = match status.success() {
            false => Some(self.finding(&progress, status.to_string())),
            true if progress.executions == 0 => Some(format!("{}: it ended without a single execution", self.name)),
            true => None,
        };
        note(format!(
            "fuzz {}: {progress}, {}",
            self.name,
            if finding.is_some() { "FINDING" } else { "nothing found" }
        ));
        Ok(Outcome { target: self.name.clone(), progress, finding })
    }

    /// What was found, where its input is, and how to run it again.
    fn finding(&self, progress: &Progress, status: String) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        match &progress.input {
            Some(input) => format!(
                "{}: {}; run it again with\n    ASAN_OPTIONS=quarantine_size_mb=4 {} {input}\n{}",
                self.name,
                progress.reason.as_deref().unwrap_or("it ended with an error"),
                self.program.display(),
                last_lines(&text, 25)
            ),
            None => format!("{}: {status}, and no input was left\n{}", self.name, last_lines(&text, 25)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::RunDir;

    /// What came of a target whose program is this script.
    fn outcome(script: &str) -> Outcome {
        let room = RunDir::new(false).unwrap();
        let path = |name: &str| room.path().join(name);
        std::fs::write(path("target"), format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path("target"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let target = Target {
            name: "t".to_owned(),
            program: path("target"),
            artifacts: path("artifacts"),
            corpus: path("corpus"),
            seeds: path("seeds"),
            log: path("log"),
        };
        target.run(Duration::from_secs(1), room.path()).unwrap()
    }

    #[test]
    fn a_target_that_executes_nothing_has_not_passed() {
        let executed = outcome("echo 'stat::number_of_executed_units: 7' >&2");
        assert_eq!((executed.progress.executions, executed.finding()), (7, None));
        let idle = outcome("echo 'stat::number_of_executed_units: 0' >&2").finding().unwrap();
        assert_eq!(idle, "t: it ended without a single execution");
        assert!(outcome("exit 1").finding().is_some());
    }
}
