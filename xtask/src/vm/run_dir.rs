//! The directory of one run: its sockets, its initramfs and its logs; and the one name it may have among POSIX shared memory.
//!
//! It is removed by a process of its own, which waits for this one to let go of a pipe. So it goes when the run ends, and
//! as well when xtask panics, is interrupted, or is killed outright.

use crate::workspace;
use anyhow::{Context, Result, bail};
use rustix::process::setsid;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Private to one run, under a name that no other run has.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    logs: PathBuf,
    /// Dropped first, which is the reaper's sign.
    held: Option<ChildStdin>,
    reaper: Child,
}

impl RunDir {
    /// With `keep` the logs stay, under `target/logs`.
    pub fn new(keep: bool) -> Result<Self> {
        // The temporary directory rather than target/: a socket's path has at most 107 bytes.
        let path =
            tempfile::Builder::new().prefix("ivshmem-").tempdir().context("cannot make a run's directory")?.keep();
        let mut command = Command::new("/proc/self/exe");
        command.arg("reap").arg(&path).stdin(Stdio::piped());
        // SAFETY: between fork and exec the closure makes one system call, which is async-signal-safe, and allocates nothing.
        unsafe {
            // A session of its own, so that Ctrl-C and a signal to the process group do not end the reaper before its work.
            command.pre_exec(|| setsid().map(drop).map_err(Into::into));
        }
        let started = command.spawn().context("cannot start the process that cleans up after this one");
        let mut reaper = started.inspect_err(|_| drop(fs::remove_dir_all(&path)))?;
        let held = reaper.stdin.take();
        let name = path.file_name().context("a run's directory has a name")?;
        let logs = if keep { workspace::target().join("logs").join(name) } else { path.join("logs") };
        let dir = Self { logs, path, held, reaper };
        fs::create_dir_all(&dir.logs)?;
        Ok(dir)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name that no other run has. POSIX shared memory of it goes with the run.
    pub fn name(&self) -> Result<&str> {
        self.path.file_name().and_then(|name| name.to_str()).context("a run's directory has a name")
    }

    pub fn logs(&self) -> &Path {
        &self.logs
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        drop(self.held.take());
        // There is nobody to tell: if the reaper failed, its own message has said so.
        let _ = self.reaper.wait();
    }
}

/// The hidden sub-command: removes a run's directory once its standard input ends.
#[derive(clap::Args, Debug)]
pub struct Reap {
    dir: PathBuf,
}

impl Reap {
    pub fn run(self) -> Result<()> {
        if !self.dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ivshmem-")) {
            bail!("{} is not a run's directory", self.dir.display());
        }
        std::io::stdin().read_to_end(&mut Vec::new())?;
        if let Some(name) = self.dir.file_name() {
            // Few runs have it.
            let _ = rustix::shm::unlink(name);
        }
        fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }
}
