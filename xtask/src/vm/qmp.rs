//! QEMU's machine protocol over a socket that only QEMU and we have.

use super::log::PATIENCE;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A monitor in command mode.
#[derive(Debug)]
pub struct Qmp {
    socket: BufReader<UnixStream>,
}

impl Qmp {
    /// Our end, QEMU's end, and QEMU's arguments for it.
    pub fn pair() -> Result<(UnixStream, OwnedFd, [String; 4])> {
        let (ours, theirs) = UnixStream::pair().context("cannot make a socket pair")?;
        let theirs = OwnedFd::from(theirs);
        let chardev = format!("socket,id=qmp,fd={}", theirs.as_raw_fd());
        let args = ["-chardev".to_owned(), chardev, "-mon".to_owned(), "chardev=qmp,mode=control".to_owned()];
        Ok((ours, theirs, args))
    }

    /// Once QEMU has been started with its end.
    pub fn open(socket: UnixStream) -> Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Self { socket: BufReader::new(socket) };
        let greeting = qmp.read()?;
        if greeting.get("QMP").is_none() {
            bail!("QEMU's monitor greeted with {greeting}");
        }
        qmp.ask("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Gives a command and waits for what it returns.
    pub fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        self.socket.get_mut().write_all(format!("{request}\n").as_bytes()).with_context(|| format!("QMP {command}"))?;
        loop {
            let mut answer = self.read()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                bail!("QMP {command}: {error}");
            }
            // Anything else is an event.
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.socket.read_line(&mut line).context("QEMU's monitor does not answer")? == 0 {
            bail!("QEMU's monitor has closed");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU's monitor sent `{line}`"))
    }
}
