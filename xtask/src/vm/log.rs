//! What a process prints: kept in a file, shown if wanted, and waited for line by line.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a run that says nothing any more is given up: no test's success depends on it, only how soon a hang is told.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// When any process last said anything.
static LAST_WORD: Mutex<Option<Instant>> = Mutex::new(None);

fn last_word() -> MutexGuard<'static, Option<Instant>> {
    // An instant is valid after any panic of another thread.
    LAST_WORD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What of a log is shown on the terminal while it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    Nothing,
    /// Whole lines, each after the log's name.
    Lines,
    /// Every byte as it comes, so that a prompt shows.
    Bytes,
}

/// Turns a stream of bytes into lines.
pub trait Decode: Send {
    /// Appends the lines that `bytes` completed.
    fn decode(&mut self, bytes: &[u8], lines: &mut Vec<String>);
    /// The line that never got its end.
    fn rest(&mut self) -> Option<String>;
}

/// Lines of text; carriage returns of a serial console go.
#[derive(Debug, Default)]
pub struct Text {
    begun: Vec<u8>,
}

impl Decode for Text {
    fn decode(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") {
                lines.extend(self.rest());
            }
        }
    }

    fn rest(&mut self) -> Option<String> {
        if self.begun.is_empty() {
            return None;
        }
        let line = String::from_utf8_lossy(&self.begun).trim_end_matches(['\r', '\n']).to_owned();
        self.begun.clear();
        Some(line)
    }
}

/// A growing list of lines, shared between the thread that reads them and those who wait for them.
#[derive(Debug, Clone)]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// Starts a thread that reads `source` to its end into `dir/NAME.log`.
    pub fn capture(
        name: &str,
        dir: &Path,
        mut source: impl Read + Send + 'static,
        mut decode: Box<dyn Decode>,
        echo: Echo,
    ) -> Result<Self> {
        let path = dir.join(format!("{name}.log"));
        let mut file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let shared = Shared { name: name.to_owned(), state: Mutex::default(), changed: Condvar::new() };
        let log = Self(Arc::new(shared));
        let writer = log.clone();
        std::thread::Builder::new().name(format!("log {name}")).spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let mut lines = Vec::new();
                // A read that fails ends a log as its end does; why the process ended is told by its exit status.
                let count = source.read(&mut buffer).unwrap_or(0);
                let bytes = buffer.get(..count).unwrap_or_default();
                decode.decode(bytes, &mut lines);
                if count == 0 {
                    lines.extend(decode.rest());
                }
                writer.append(&mut file, bytes, lines, echo, count == 0);
                if count == 0 {
                    break;
                }
            }
        })?;
        Ok(log)
    }

    fn append(&self, file: &mut File, bytes: &[u8], lines: Vec<String>, echo: Echo, ended: bool) {
        for line in &lines {
            // A full disk must not stop the run whose log this is; the lines in memory are complete.
            let _ = writeln!(file, "{line}");
        }
        // One lock over a batch, so that two logs never mix within a line. A closed terminal is no reason to stop.
        let mut terminal = std::io::stdout().lock();
        match echo {
            Echo::Nothing => {}
            Echo::Lines => {
                for line in &lines {
                    let _ = writeln!(terminal, "{:>18} | {line}", self.0.name);
                }
            }
            Echo::Bytes => drop(terminal.write_all(bytes).and_then(|()| terminal.flush())),
        }
        drop(terminal);
        *last_word() = Some(Instant::now());
        let mut state = self.state();
        state.lines.extend(lines);
        state.ended |= ended;
        drop(state);
        self.0.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The lines are valid after any panic of another thread: they are only appended.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The last `count` lines so far.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let state = self.state();
        state.lines[state.lines.len().saturating_sub(count)..].to_vec()
    }

    /// Every line so far that begins with `start`.
    pub fn all(&self, start: &str) -> Vec<Fields> {
        self.state().lines.iter().filter(|line| line.starts_with(start)).map(|line| Fields(line.clone())).collect()
    }

    /// Waits until nothing more will come.
    pub fn wait_end(&self) -> Result<()> {
        self.wait("its end", |state| state.ended.then_some(()))
    }

    /// Waits for the first line from number `from` on that begins with `start`, and gives the number after it too.
    pub fn wait_line(&self, from: usize, start: &str) -> Result<(usize, Fields)> {
        self.find(from, start, |line| line.starts_with(start))
    }

    /// The same for the first line that has `part` in it.
    pub fn wait_part(&self, from: usize, part: &str) -> Result<(usize, Fields)> {
        self.find(from, part, |line| line.contains(part))
    }

    fn find(&self, from: usize, what: &str, wanted: impl Fn(&str) -> bool) -> Result<(usize, Fields)> {
        let found = self.wait(what, |state| {
            let mut later = state.lines.iter().enumerate().skip(from);
            let hit = later.find(|(_, line)| wanted(line)).map(|(at, line)| (at + 1, line.clone()));
            hit.map(Some).or_else(|| state.ended.then_some(None))
        })?;
        let (next, line) = found.with_context(|| format!("{} ended without a line `{what}`", self.0.name))?;
        Ok((next, Fields(line)))
    }

    fn wait<T>(&self, what: &str, mut look: impl FnMut(&State) -> Option<T>) -> Result<T> {
        let begin = Instant::now();
        let mut state = self.state();
        loop {
            if let Some(found) = look(&state) {
                return Ok(found);
            }
            let since = last_word().map_or(begin, |last| last.max(begin));
            let left = PATIENCE.saturating_sub(since.elapsed());
            if left.is_zero() {
                bail!("{}: no `{what}`, and no word from any process for {} s", self.0.name, PATIENCE.as_secs());
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A line of words, some of them `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(String);

impl Fields {
    pub fn line(&self) -> &str {
        &self.0
    }

    pub fn text(&self, key: &str) -> Result<&str> {
        let mut words = self.0.split_whitespace().filter_map(|word| word.split_once('='));
        let found = words.find(|(name, _)| *name == key).map(|(_, value)| value);
        found.with_context(|| format!("no {key}= in `{}`", self.0))
    }

    pub fn number(&self, key: &str) -> Result<u64> {
        let text = self.text(key)?;
        text.parse().with_context(|| format!("{key}={text} is not a number in `{}`", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &'static str) -> (Log, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Log::capture("x", dir.path(), text.as_bytes(), Box::<Text>::default(), Echo::Nothing).unwrap(), dir)
    }

    #[test]
    fn a_line_cut_by_reads_is_one_line() {
        let (mut text, mut lines) = (Text::default(), Vec::new());
        text.decode(b"one\r\ntw", &mut lines);
        text.decode(b"o\n\nthr", &mut lines);
        assert_eq!(lines, ["one", "two", ""]);
        assert_eq!(text.rest().as_deref(), Some("thr"));
        assert_eq!(text.rest(), None);
    }

    #[test]
    fn lines_are_found_in_order_and_a_missing_one_is_told_at_the_end() {
        let (log, dir) = log("a: n=1\nb\na: n=2\n");
        let (next, first) = log.wait_line(0, "a:").unwrap();
        assert_eq!(first.number("n").unwrap(), 1);
        assert_eq!(log.wait_line(next, "a:").unwrap().1.number("n").unwrap(), 2);
        assert!(log.wait_line(0, "c").unwrap_err().to_string().contains("ended without a line `c`"));
        assert_eq!(std::fs::read_to_string(dir.path().join("x.log")).unwrap(), "a: n=1\nb\na: n=2\n");
    }

    #[test]
    fn a_field_that_is_missing_or_no_number_is_an_error_with_the_line() {
        let fields = Fields("echo: end received=3 id=-".to_owned());
        assert_eq!(fields.number("received").unwrap(), 3);
        assert!(fields.number("id").unwrap_err().to_string().contains("id=-"));
        assert!(fields.text("sent").unwrap_err().to_string().contains("echo: end"));
    }
}
