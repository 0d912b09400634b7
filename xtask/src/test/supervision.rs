//! What `cargo xtask` itself promises: nothing outlives it, and runs do not disturb each other.

use super::suite::Suite;
use crate::tool::Tool;
use crate::vm::{Launch, Process};
use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

pub fn add(suite: &mut Suite) {
    for (signal, name) in [(Signal::INT, "interrupted"), (Signal::TERM, "terminated"), (Signal::KILL, "killed")] {
        suite.case(&format!("xtask: a run that is {name} leaves no process, socket or memory behind"), move |rig| {
            rig.host()?;
            rig.images()?;
            ended_by(signal)
        });
    }
    suite.case("xtask: runs work side by side", |rig| {
        rig.host()?;
        rig.images()?;
        side_by_side()
    });
}

/// `cargo xtask qemu` in its own temporary directory.
fn run(room: &Path, logs: &Path, arguments: &[&str]) -> Result<Process> {
    // This program, even if a build has put another one in its place meanwhile; and not deaf to Ctrl-C, as a shell's
    // background jobs and all they start are.
    let ourselves = format!("/proc/{}/exe", std::process::id());
    let tool = Tool::new("env").args(["--default-signal=INT", &ourselves, "qemu", "--peer", "host"]);
    let tool = tool.args(arguments.iter().copied()).env("TMPDIR", room);
    Process::start(Launch::new("run", tool), logs)
}

fn ended_by(signal: Signal) -> Result<()> {
    let (room, logs) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let run = run(room.path(), logs.path(), &["--mode", "doorbell", "--commands", "1000000000"])?;
    run.log().wait_part(0, "operator: up ")?;
    let children = named_after(room.path())?;
    ensure!(children.len() >= 3, "only {} processes belong to a run with QEMU, operator and reaper", children.len());
    run.signal(signal)?;
    let status = run.wait()?;
    ensure!(!status.success(), "a run ended by a signal must not look like a success: {status}");
    for (pid, child) in &children {
        let mut fds = [PollFd::new(child, PollFlags::IN)];
        let limit = rustix::time::Timespec { tv_sec: 60, tv_nsec: 0 };
        if poll(&mut fds, Some(&limit))? == 0 {
            bail!("process {pid:?} outlives its run");
        }
    }
    let left: Vec<_> = fs::read_dir(room.path())?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// Processes whose command line names the directory, held so that their ids cannot come to mean others.
fn named_after(dir: &Path) -> Result<Vec<(Pid, OwnedFd)>> {
    let name = dir.to_str().context("a temporary directory whose name is not UTF-8")?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // A process may end between two lines of ours: then it is not left behind either.
        let Ok(command) = fs::read(entry.path().join("cmdline")) else { continue };
        if String::from_utf8_lossy(&command).contains(name) {
            found.extend(pidfd_open(pid, PidfdFlags::empty()).ok().map(|fd| (pid, fd)));
        }
    }
    Ok(found)
}

fn side_by_side() -> Result<()> {
    let rooms = [tempfile::tempdir()?, tempfile::tempdir()?];
    let runs: Vec<Process> =
        rooms.iter().map(|room| run(room.path(), room.path(), &["--commands", "20"])).collect::<Result<_>>()?;
    for run in runs {
        let status = run.wait()?;
        ensure!(status.success(), "{status}\n{}", run.log().tail(60).join("\n"));
    }
    Ok(())
}
