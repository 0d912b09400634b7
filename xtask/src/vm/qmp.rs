//! QEMU's machine protocol over a socket that only QEMU and we have.

use super::log::PATIENCE;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A monitor in command mode.
#[derive(Debug)]
pub struct Qmp {
    socket: BufReader<UnixStream>,
    /// Events that came while an answer was waited for.
    events: VecDeque<Value>,
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
        let mut qmp = Self { socket: BufReader::new(socket), events: VecDeque::new() };
        let greeting = qmp.read()?;
        if greeting.get("QMP").is_none() {
            bail!("QEMU's monitor greeted with {greeting}");
        }
        qmp.ask("qmp_capabilities", json!({}))?;
        let events = json!({ "capability": "events", "state": true });
        qmp.ask("migrate-set-capabilities", json!({ "capabilities": [events] }))?;
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
            self.events.push_back(answer);
        }
    }

    /// Waits for an event that has not been waited for yet, and gives its data. Those that came before it are forgotten.
    pub fn event(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let mut event = match self.events.pop_front() {
                Some(event) => event,
                None => self.read().with_context(|| format!("no event {name}"))?,
            };
            let data = event.get_mut("data").map_or(Value::Null, Value::take);
            if event.get("event").is_some_and(|found| found == name) && wanted(&data) {
                return Ok(data);
            }
        }
    }

    /// Waits until a machine's state has gone to where it was sent, or has come.
    pub fn migrated(&mut self) -> Result<()> {
        let over = |data: &Value| data["status"] == "completed" || data["status"] == "failed";
        let data = self.event("MIGRATION", over)?;
        if data["status"] == "failed" {
            let why = self.ask("query-migrate", json!({}))?;
            bail!("the migration failed: {why}");
        }
        Ok(())
    }

    /// Gives a command whose work is a job, and waits until that is done.
    pub fn job(&mut self, command: &str, mut arguments: Value) -> Result<()> {
        arguments["job-id"] = json!("job");
        self.ask(command, arguments)?;
        self.event("JOB_STATUS_CHANGE", |data| data["id"] == "job" && data["status"] == "concluded")?;
        let jobs = self.ask("query-jobs", json!({}))?;
        let job = jobs.as_array().and_then(|jobs| jobs.iter().find(|job| job["id"] == "job"));
        let error = job.with_context(|| format!("{command} left no job"))?.get("error").cloned();
        self.ask("job-dismiss", json!({ "id": "job" }))?;
        if let Some(error) = error {
            bail!("QMP {command}: {error}");
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.socket.read_line(&mut line).context("QEMU's monitor does not answer")? == 0 {
            bail!("QEMU's monitor has closed");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU's monitor sent `{line}`"))
    }
}
