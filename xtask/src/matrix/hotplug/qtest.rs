//! QEMU's test protocol: bus cycles of our own beside the running machine's.

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

/// When a silent QEMU is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a QEMU that is to be started will connect.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    listener: UnixListener,
}

impl Listener {
    pub fn new(path: PathBuf) -> Result<Self> {
        let listener = UnixListener::bind(&path).with_context(|| format!("no socket {}", path.display()))?;
        Ok(Self { path, listener })
    }

    /// QEMU's arguments.
    pub fn args(&self) -> [String; 4] {
        ["-qtest", &format!("unix:{}", self.path.display()), "-qtest-log", "none"].map(str::to_owned)
    }

    /// QEMU's connection.
    pub fn accept(&self) -> Result<Qtest> {
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&patience))?;
        ensure!(ready == 1, "QEMU opens no qtest connection");
        let (socket, _) = self.listener.accept()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Qtest(BufReader::new(socket)))
    }
}

/// A running QEMU's bus.
#[derive(Debug)]
pub struct Qtest(BufReader<UnixStream>);

impl Qtest {
    /// Gives a command and waits for the value that it answers, if any.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        writeln!(self.0.get_mut(), "{command}")?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).with_context(|| format!("qtest {command}"))?;
        let value = answer.trim().strip_prefix("OK").with_context(|| format!("qtest {command}: {answer}"))?;
        Ok(value.trim().to_owned())
    }
}
