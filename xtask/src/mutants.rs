//! `cargo xtask mutants`: `channel` and `memory` changed in a thousand small ways, each of which some test must notice.
//!
//! What is changed, and which changes make no difference and why, is in `.cargo/mutants.toml`. Takes about an hour, and is no part of `cargo xtask test`.

use crate::progress::note;
use crate::setup;
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// Change the driver in small ways, one at a time, and list the changes that no test notices
#[derive(clap::Args, Debug)]
pub struct Mutants {
    /// Only changes whose names match this regular expression, such as `wish\.rs`
    filter: Option<String>,
    /// Go on where an earlier run ended: what was noticed then is not tried again
    #[arg(long)]
    resume: bool,
}

/// The tests that notice most; and then, for what is left, those that take longer. With the seconds after which a run counts as
/// hanging, which is noticing: in the earlier rounds so few that it may only be slow, and the last round asks again.
const ROUNDS: [(&str, &[&str]); 3] = [
    ("10", &["--test=mailbox", "--test=protection"]),
    ("30", &["--lib", "--test=wire_format", "--test=isolation"]),
    (
        "60",
        &[
            "--test=mailbox_death",
            "--test=mailbox_model",
            "--test=request_model",
            "--test=request_death",
            "--test=other_cores",
        ],
    ),
];

impl Mutants {
    pub fn run(self) -> Result<()> {
        let dir = workspace::target().join("mutants");
        let scratch = dir.join("tmp");
        fs::create_dir_all(&scratch)?;
        for (round, (patience, tests)) in ROUNDS.iter().enumerate() {
            note(format!("round {} of {}: {}", round + 1, ROUNDS.len(), tests.join(" ")));
            let mut tool = Tool::new(setup::mutants()?)
                .args(["mutants", "--package", "ivshmem", "--colors", "never", "--timeout", patience, "--output"])
                .arg(&dir)
                .args(tests.iter().map(|test| format!("--cargo-arg={test}")))
                .dir(workspace::root())
                // Each copy of the tree finds what it depends on built.
                .env("CARGO_TARGET_DIR", dir.join("build"))
                .env("TMPDIR", &scratch)
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .env("PROPTEST_MAX_SHRINK_ITERS", "0")
                .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
            if let Some(filter) = &self.filter {
                tool = tool.args(["--re", filter]);
            }
            if round > 0 || self.resume {
                tool = tool.arg("--iterate");
            }
            // Threads that exchange much take long, or for ever; and what they notice others notice too.
            tool = tool.args(["--", "--", "--skip", "threads"]);
            let status = tool.child().stdin(Stdio::null()).status().with_context(|| format!("cannot start {tool}"))?;
            // 2: some were missed; 3: some made the tests hang.
            ensure!(matches!(status.code(), Some(0 | 2 | 3)), "{status}: {tool}");
        }
        report(&dir.join("mutants.out"))
    }
}

fn report(dir: &Path) -> Result<()> {
    let lines = |name: &str| -> Result<Vec<String>> {
        let text = fs::read_to_string(dir.join(name)).with_context(|| format!("cargo-mutants left no {name}"))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let (missed, caught) = (lines("missed.txt")?, lines("caught.txt")?.len() + lines("previously_caught.txt")?.len());
    let hung = lines("timeout.txt")?;
    println!("{caught} noticed, {} made the tests hang, {} not noticed", hung.len(), missed.len());
    hung.iter().for_each(|mutant| println!("hangs: {mutant}"));
    missed.iter().for_each(|mutant| println!("missed: {mutant}"));
    if !missed.is_empty() {
        bail!(
            "no test notices {} of the changes; one that makes no difference belongs into .cargo/mutants.toml",
            missed.len()
        );
    }
    Ok(())
}
