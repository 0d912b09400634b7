//! Going to the background: the program starts itself again, detached, and returns when that one serves.
//!
//! The second one's standard output is a pipe to the first until it is ready; what goes wrong before that, it says on
//! the terminal. This needs no fork in a process that has already done things.

use std::io::Read;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use rustix::fs::{Mode, OFlags};

/// The first half: starts the second and waits until it serves or fails.
pub fn start() -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let mut second = Command::new(program)
        .arg("--detached")
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the background process")?;
    let mut said = Vec::new();
    if let Some(mut stdout) = second.stdout.take() {
        stdout.read_to_end(&mut said).context("cannot read from the background process")?;
    }
    if said.ends_with(b"\n") {
        return Ok(ExitCode::SUCCESS);
    }
    let status = second.wait().context("cannot wait for the background process")?;
    // It has said why.
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .filter(|code| *code != 0)
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The second half, first of all: a session of its own, so that the terminal's signals do not reach it.
pub fn leave_session() -> anyhow::Result<()> {
    rustix::process::setsid().context("cannot start a session")?;
    Ok(())
}

/// The second half, when it serves: lets go of the terminal and of the first half, which returns then.
pub fn leave_terminal() -> anyhow::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context("/dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("/dev/null")?;
    rustix::stdio::dup2_stdout(&null).context("/dev/null")?;
    rustix::stdio::dup2_stderr(&null).context("/dev/null")?;
    Ok(())
}
