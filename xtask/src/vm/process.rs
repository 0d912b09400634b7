//! A child process owned by a value: it ends with the value, and with xtask however xtask ends.

use super::log::{Decode, Echo, Log, PATIENCE, Text};
use crate::tool::Tool;
use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What to start and what of it to listen to.
pub struct Launch {
    /// Names the process and its logs.
    pub name: String,
    pub tool: Tool,
    /// Descriptors that the child keeps, under the same numbers, with the redirection that gives a shell the same.
    pub inherit: Vec<(OwnedFd, String)>,
    /// Further streams of the child: the log's name, where to read, how.
    pub streams: Vec<(String, File, Box<dyn Decode>)>,
    pub input: Input,
    pub echo: Echo,
}

/// Where a child's standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Nothing,
    /// From us.
    Piped,
    /// From whoever started us.
    Inherited,
}

impl Launch {
    pub fn new(name: &str, tool: Tool) -> Self {
        let (inherit, streams) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), tool, inherit, streams, input: Input::Nothing, echo: Echo::Nothing }
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("name", &self.name).field("tool", &self.tool).finish_non_exhaustive()
    }
}

/// A running child. It stays on the thread that started it: the kernel ties a child to its parent's *thread*, which so cannot end
/// before it.
#[derive(Debug)]
pub struct Process {
    story: Story,
    pidfd: OwnedFd,
    input: Option<ChildStdin>,
    _not_send: PhantomData<*const ()>,
}

/// What can be told about a child, also after it has gone.
#[derive(Debug, Clone)]
pub struct Story {
    pub name: String,
    /// As a shell takes it.
    pub command: String,
    /// Standard output first.
    pub logs: Vec<Log>,
    exit: Arc<Exit>,
}

#[derive(Debug, Default)]
struct Exit {
    status: Mutex<Option<ExitStatus>>,
    known: Condvar,
    /// Set when its owner let go of it while it ran.
    stopped: AtomicBool,
}

impl Process {
    /// Starts the child with its logs in `logs`.
    pub fn start(launch: Launch, logs: &Path) -> Result<Self> {
        let mut command = launch.tool.child();
        command.stdin(match launch.input {
            Input::Nothing => Stdio::null(),
            Input::Piped => Stdio::piped(),
            Input::Inherited => Stdio::inherit(),
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown =
            launch.inherit.iter().fold(launch.tool.to_string(), |line, (_, redirect)| format!("{line} {redirect}"));
        let kept: Vec<OwnedFd> = launch.inherit.into_iter().map(|(fd, _)| fd).collect();
        let keep = move || kept.iter().try_for_each(|fd| Ok(fcntl_setfd(fd, FdFlags::empty())?));
        // SAFETY: between fork and exec the closure makes only system calls, which are async-signal-safe, on descriptors it
        // owns; it allocates nothing.
        unsafe {
            command.pre_exec(keep);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
        // The command holds our copies of the child's ends; with them open its logs would never end.
        drop(command);
        let input = child.stdin.take();
        let captured = Self::capture(&mut child, &launch.name, launch.streams, launch.echo, logs);
        let pid = Pid::from_child(&child);
        let watched = captured.and_then(|logs| Ok((logs, pidfd_open(pid, PidfdFlags::empty())?)));
        let (logs, pidfd) = watched.inspect_err(|_| drop(child.kill().and_then(|()| child.wait())))?;
        let story = Story { name: launch.name.clone(), command: shown, logs, exit: Arc::default() };
        let exit = story.exit.clone();
        std::thread::Builder::new().name(format!("wait {}", launch.name)).spawn(move || {
            let status = child.wait().ok();
            *exit.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
            exit.known.notify_all();
        })?;
        Ok(Self { story, pidfd, input, _not_send: PhantomData })
    }

    fn capture(
        child: &mut Child,
        name: &str,
        streams: Vec<(String, File, Box<dyn Decode>)>,
        echo: Echo,
        dir: &Path,
    ) -> Result<Vec<Log>> {
        let output = child.stdout.take().context("the child has no standard output")?;
        let errors = child.stderr.take().context("the child has no standard error")?;
        let mut logs = vec![Log::capture(name, dir, output, Box::<Text>::default(), echo)?];
        for (name, source, decode) in streams {
            // Only the main stream may be shown raw; the others always come in lines.
            let echo = if echo == Echo::Bytes { Echo::Nothing } else { echo };
            logs.push(Log::capture(&name, dir, source, decode, echo)?);
        }
        logs.push(Log::capture(&format!("{name}.errors"), dir, errors, Box::<Text>::default(), Echo::Nothing)?);
        Ok(logs)
    }

    pub fn story(&self) -> &Story {
        &self.story
    }

    /// Its standard output.
    pub fn log(&self) -> &Log {
        &self.story.logs[0]
    }

    /// Writes one line to its standard input.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("this process has no input")?;
        input.write_all(format!("{line}\n").as_bytes()).with_context(|| format!("cannot type `{line}`"))
    }

    /// Hands its standard input to someone else.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        // A pidfd never means another process, even after this one has been reaped.
        pidfd_send_signal(&self.pidfd, signal).context("cannot signal a process")
    }

    /// What it has mapped: its `smaps`.
    pub fn smaps(&self) -> Result<String> {
        // A pidfd tells whose it is, and -1 once that has been reaped.
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd()))?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).context("a pidfd without a process")?;
        std::fs::read_to_string(format!("/proc/{}/smaps", pid.trim())).context("cannot read what a process has mapped")
    }

    /// Stops it, as a scheduler that favours others would, and waits until it stands.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(self.pidfd.as_fd()), stopped).context("a process does not stop")?;
        Ok(())
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits until it has ended and all its logs are complete.
    pub fn wait(&self) -> Result<ExitStatus> {
        let status = self.story.wait()?;
        self.story.logs.iter().try_for_each(Log::wait_end)?;
        Ok(status)
    }

    /// Ends it at once, as a crash would.
    pub fn kill(self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let running = self.story.exit.status.lock().unwrap_or_else(PoisonError::into_inner).is_none();
        // Relaxed: only told, by this thread or later ones.
        self.story.exit.stopped.store(running, Ordering::Relaxed);
        // It may have ended already, which is what is wanted.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = self.story.wait();
    }
}

impl Story {
    fn wait(&self) -> Result<ExitStatus> {
        let status = self.exit.status.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.exit.known.wait_timeout_while(status, PATIENCE, |status| status.is_none());
        let (status, _) = result.unwrap_or_else(PoisonError::into_inner);
        status.with_context(|| format!("still running after {} s: {}", PATIENCE.as_secs(), self.command))
    }

    pub fn has_ended(&self) -> bool {
        self.exit.status.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits as long as it takes: for a process that a user has in hand.
    pub fn join(&self) {
        let status = self.exit.status.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.exit.known.wait_while(status, |status| status.is_none()));
    }

    /// Whether it died of a fault of its own.
    pub fn has_crashed(&self) -> bool {
        let status = *self.exit.status.lock().unwrap_or_else(PoisonError::into_inner);
        let signal = status.and_then(|status| status.signal());
        [Signal::SEGV, Signal::ABORT].iter().any(|fault| signal == Some(fault.as_raw()))
    }

    /// How it stands, for a report.
    pub fn status(&self) -> String {
        if self.exit.stopped.load(Ordering::Relaxed) {
            return "stopped by xtask".to_owned();
        }
        let status = *self.exit.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.map_or_else(|| "running".to_owned(), |status| status.to_string())
    }
}
