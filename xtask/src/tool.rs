//! A command line as data: it can be shown, compared in a test, and run.

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

/// A program, its arguments, and what differs from this process's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(&'static str, Option<OsString>)>,
    dir: Option<PathBuf>,
    detached: bool,
}

impl Tool {
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), dir: None, detached: false }
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<I: IntoIterator<Item = A>, A: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, key: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((key, Some(value.into())));
        self
    }

    pub fn without(mut self, key: &'static str) -> Self {
        self.env.push((key, None));
        self
    }

    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// For what must not be cut off half-way, such as the installation of a package: it may outlive xtask.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// For `std::process`, which starts it; it ends with xtask, however xtask ends.
    pub fn child(&self) -> Command {
        let mut command = self.command();
        if !self.detached {
            tie(&mut command);
        }
        command
    }

    /// For `std::process`, tied to nothing.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// Runs it to its end with the terminal as it is, but nothing to read.
    pub fn run(&self) -> Result<()> {
        let status = self.child().stdin(Stdio::null()).status().with_context(|| format!("cannot start {self}"))?;
        if !status.success() {
            bail!("{status}: {self}");
        }
        Ok(())
    }

    /// Runs it to its end and takes what it printed; on failure the error carries the end of both its streams.
    pub fn output(&self) -> Result<String> {
        let output = self.child().stdin(Stdio::null()).output().with_context(|| format!("cannot start {self}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let all = text + &String::from_utf8_lossy(&output.stderr);
            bail!("{}: {self}\n{}", output.status, last_lines(&all, 20));
        }
        Ok(text)
    }

    /// Runs it to its end, shows what it says on stderr as it comes, and takes the lines it printed. The first line of a failure's
    /// text has what was wrong by its own account.
    pub fn lines(&self) -> Result<Vec<String>> {
        let mut child = self.child();
        child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().with_context(|| format!("cannot start {self}"))?;
        let (stdout, stderr) = (child.stdout.take().context("no stdout")?, child.stderr.take().context("no stderr")?);
        let says = thread::spawn(move || {
            let said = BufReader::new(stderr).lines().map_while(io::Result::ok).inspect(|line| eprintln!("{line}"));
            said.filter(|line| line.starts_with("error")).reduce(|first, _| first)
        });
        let lines = BufReader::new(stdout).lines().collect::<io::Result<_>>()?;
        let status = child.wait()?;
        let error = says.join().ok().flatten().unwrap_or_else(|| "it said no error".to_owned());
        if !status.success() {
            bail!("{error} ({status}: {self})");
        }
        Ok(lines)
    }
}

/// Has the kernel kill the child when the thread that starts it ends.
fn tie(command: &mut Command) {
    let parent = getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have gone before the line above: then no signal comes any more.
        if getppid() == Some(parent) { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec the closure makes only system calls, which are async-signal-safe, on values it owns;
    // it allocates nothing (an ErrorKind becomes an error without).
    unsafe {
        command.pre_exec(tie);
    }
}

/// One line that a shell takes.
impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for (key, value) in &self.env {
            words.push(match value {
                Some(value) => format!("{key}={}", quoted(value)),
                None => format!("{key}="),
            });
        }
        words.extend(std::iter::once(&self.program).chain(&self.args).map(quoted));
        f.write_str(&words.join(" "))
    }
}

fn quoted(word: &OsString) -> String {
    let word = word.to_string_lossy();
    shlex::try_quote(&word).map(|quoted| quoted.into_owned()).unwrap_or_else(|_| format!("{word:?}"))
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_takes_it() {
        let tool = Tool::new("qemu").args(["-append", "mode=polled device=0"]).env("A", "b c").without("D");
        assert_eq!(tool.to_string(), "A='b c' D= qemu -append 'mode=polled device=0'");
    }

    #[test]
    fn a_failure_carries_the_command_and_what_it_printed() {
        let error = Tool::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).output().unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("out\nerr"), "{error}");
    }

    #[test]
    fn a_failure_of_what_prints_lines_begins_with_its_first_error() {
        let script =
            |code: u8| format!("echo out; echo 'error: disk full' >&2; echo 'error: gave up' >&2; exit {code}");
        assert_eq!(Tool::new("sh").args(["-c", &script(0)]).lines().unwrap(), ["out"]);
        let error = Tool::new("sh").args(["-c", &script(3)]).lines().unwrap_err().to_string();
        assert!(error.starts_with("error: disk full (exit status: 3: "), "{error}");
    }

    #[test]
    fn the_last_lines_of_a_short_text_are_all_of_it() {
        assert_eq!(last_lines("a\nb", 5), "a\nb");
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc");
    }
}
