//! `cargo xtask fuzz`: builds the targets of `fuzz/` with libFuzzer and AddressSanitizer, and runs them.

mod outcome;
mod target;

use crate::progress::{note, step};
use crate::setup;
use crate::vm::RunDir;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use outcome::table;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use target::Target;

pub use outcome::Outcome;

/// Targets that run at the same time.
const ABREAST: usize = 2;

/// What `--short` gives each target.
const SHORT: Duration = Duration::from_secs(20);

/// Fuzz what faces the other VM, the hypervisor and the server
///
/// A finding's input stays under target/fuzz/artifacts, and how to run it again is said. Inputs that reach something new are kept
/// under target/fuzz/corpus, beside the few in fuzz/corpus that every run starts from.
#[derive(clap::Args, Debug)]
pub struct Fuzz {
    /// 20 seconds for each target, as in `cargo xtask test`
    #[arg(long, conflicts_with = "minutes")]
    short: bool,
    /// Minutes for each target
    #[arg(long, value_name = "N", default_value_t = 1)]
    minutes: u64,
    /// Only these targets; all if none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

impl Fuzz {
    pub fn run(self) -> Result<()> {
        let time = if self.short { SHORT } else { Duration::from_secs(self.minutes.saturating_mul(60)) };
        let outcomes = fuzz(chosen(self.targets)?, time)?;
        let findings: Vec<_> = outcomes.iter().filter_map(Outcome::finding).collect();
        if !findings.is_empty() {
            bail!("{}", findings.join("\n"));
        }
        Ok(())
    }
}

/// Runs every target as `--short` does, for `cargo xtask test`.
pub fn short() -> Result<Vec<Outcome>> {
    fuzz(all()?, SHORT)
}

/// Where the sources of the targets are.
fn sources() -> PathBuf {
    workspace::root().join("fuzz/fuzz_targets")
}

/// Every target, by its source.
fn all() -> Result<Vec<String>> {
    let folder = sources();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        if let Some(name) = entry?.path().file_stem() {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{} is empty", folder.display());
    Ok(names)
}

fn chosen(asked: Vec<String>) -> Result<Vec<String>> {
    let all = all()?;
    if let Some(unknown) = asked.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target {unknown}; there are {}", all.join(", "));
    }
    Ok(if asked.is_empty() { all } else { asked })
}

/// Builds the targets and runs them, each for `time`; prints a table of what came of them.
fn fuzz(names: Vec<String>, time: Duration) -> Result<Vec<Outcome>> {
    let fuzzer = setup::fuzzer()?;
    step("building the fuzz targets", || fuzzer.cargo("build").output())?;
    // What the targets make, such as sockets, goes with the run.
    let room = RunDir::new(false)?;
    let seconds = time.as_secs();
    note(format!("{} targets, {seconds} s each, {ABREAST} at a time", names.len()));
    let queue = Mutex::new(names.into_iter());
    let next = || queue.lock().ok()?.next();
    let work = || -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        while let Some(name) = next() {
            outcomes.push(Target::new(&name).run(time, room.path())?);
        }
        Ok(outcomes)
    };
    let outcomes: Result<Vec<Vec<Outcome>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..ABREAST).map(|_| scope.spawn(work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| match worker.join() {
            Ok(outcomes) => outcomes,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        workers.into_iter().map(join).collect()
    });
    let mut outcomes: Vec<Outcome> = outcomes?.into_iter().flatten().collect();
    outcomes.sort_by(|a, b| a.target.cmp(&b.target));
    println!("{}", table(&outcomes));
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_sources_and_an_unknown_one_is_an_error_that_names_them() {
        let all = all().unwrap();
        for name in
            ["handshake", "queuing", "sampling", "request", "capabilities", "bars", "assign", "msix", "server", "peer"]
        {
            assert!(all.contains(&name.to_owned()), "{all:?}");
        }
        assert_eq!(chosen(Vec::new()).unwrap(), all);
        assert_eq!(chosen(vec!["bars".to_owned()]).unwrap(), ["bars"]);
        let error = chosen(vec!["bar".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no fuzz target bar; there are assign, bars"), "{error}");
    }
}
