//! One run: its directory, and what is told about all its processes when it fails.

use super::log::Log;
use super::process::{Launch, Process, Story};
use super::run_dir::RunDir;
use anyhow::{Context, Error, Result, anyhow};
use rustix::shm::{self, Mode, OFlags};
use std::collections::BTreeMap;
use std::path::Path;

/// How much of each log a failure shows.
const TAIL: usize = 25;

/// Owns the run's directory. Processes started through it are told about even after they are gone.
#[derive(Debug)]
pub struct Session {
    dir: RunDir,
    keep: bool,
    stories: Vec<Story>,
    names: BTreeMap<String, usize>,
}

impl Session {
    pub fn new(keep: bool) -> Result<Self> {
        Ok(Self { dir: RunDir::new(keep)?, keep, stories: Vec::new(), names: BTreeMap::new() })
    }

    /// Does a piece of work with VMs; a failure tells all about them.
    pub fn told<T>(work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let mut session = Self::new(false)?;
        work(&mut session).map_err(|error: Error| {
            let account = session.account();
            anyhow!("{error:#}\n{account}")
        })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Makes shared memory with a name, which servers find one after the other, and gives the name.
    pub fn shared_memory(&self, size: u64) -> Result<String> {
        let name = self.dir.name()?;
        let memory = shm::open(name, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR, Mode::RUSR | Mode::WUSR)
            .with_context(|| format!("cannot make the shared memory {name}"))?;
        rustix::fs::ftruncate(memory, size).with_context(|| format!("cannot make shared memory of {size} bytes"))?;
        Ok(name.to_owned())
    }

    /// Where the logs stay after the run, if they do.
    pub fn kept_logs(&self) -> Option<&Path> {
        self.keep.then(|| self.dir.logs())
    }

    /// Starts a process; a second one of a name gets a number, so that no log is overwritten.
    pub fn start(&mut self, mut launch: Launch) -> Result<Process> {
        let count = self.names.entry(launch.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            launch.name = format!("{}-{count}", launch.name);
            for (name, _, _) in &mut launch.streams {
                *name = format!("{name}-{count}");
            }
        }
        let process = Process::start(launch, self.dir.logs())?;
        self.stories.push(process.story().clone());
        Ok(process)
    }

    /// Whether a process died of a fault of its own. Complete once all of them have been let go of.
    pub fn has_crashed(&self) -> bool {
        self.stories.iter().any(Story::has_crashed)
    }

    /// Everything that helps to see why a run failed.
    pub fn account(&self) -> String {
        let mut text = String::new();
        for story in &self.stories {
            text += &format!("\n{}, {}:\n  {}\n", story.name, story.status(), story.command);
            for log in &story.logs {
                text += &tail(log);
            }
        }
        text
    }
}

fn tail(log: &Log) -> String {
    let lines = log.tail(TAIL);
    if lines.is_empty() {
        return format!("  {}: empty\n", log.name());
    }
    let body: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("  {}, last {} lines:\n{body}", log.name(), lines.len())
}
