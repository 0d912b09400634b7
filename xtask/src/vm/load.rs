//! A general-purpose end under load: a process of this machine that can be killed, and whose counts can be read then.

use super::Session;
use super::link::Link;
use super::log::{Fields, PATIENCE};
use super::memory::Region;
use super::process::{Input, Launch, Process};
use crate::load::{Counts, Word};
use crate::tool::Tool;
use anyhow::{Context, Result, bail, ensure};
use ivshmem_peer::poll_until;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks at the counts of another process.
const LOOK: Duration = Duration::from_micros(200);

/// What to start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loading {
    /// Where the mailbox begins, in bytes.
    pub offset: usize,
    /// Tells its messages from those of others.
    pub round: u64,
    /// Messages after which it ends; without, it ends when it is [told](Load::finish).
    pub messages: Option<u64>,
    /// Whether it ends the image too.
    pub quit: bool,
}

/// A running one.
#[derive(Debug)]
pub struct Load {
    process: Process,
    counts: Counts,
    next: usize,
}

impl Loading {
    pub fn start(self, session: &mut Session, link: &Link) -> Result<Load> {
        let attachment = link.attach(0)?;
        let page = Region::new(4096)?;
        let (ours, (page, redirect, path)) = (page.share()?, page.share()?);
        let counts = Counts::open(Path::new(&ours.2))?;
        let tool = Tool::new("/proc/self/exe").args(["load", "--device", &attachment.device, "--counts", &path]);
        let tool = tool.args(["--offset", &self.offset.to_string(), "--round", &self.round.to_string()]);
        let tool = tool.args(self.messages.map(|messages| format!("--messages={messages}")));
        let tool = tool.args(self.quit.then_some("--quit"));
        let mut launch = Launch::new("load", tool);
        launch.inherit.push((page, redirect));
        launch.inherit.extend(attachment.inherit);
        launch.input = Input::Piped;
        Ok(Load { process: session.start(launch)?, counts, next: 0 })
    }
}

impl Load {
    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn count(&self, word: Word) -> u64 {
        self.counts.get(word)
    }

    /// Waits until the counts are as wanted.
    pub fn wait(&self, what: &str, wanted: impl Fn(&Counts) -> bool) -> Result<()> {
        let begin = Instant::now();
        while !wanted(&self.counts) {
            ensure!(!self.process.story().has_ended(), "the load ended before {what}");
            ensure!(begin.elapsed() < PATIENCE, "not {what} within {} s", PATIENCE.as_secs());
            poll_until(&mut [], Instant::now() + LOOK);
        }
        Ok(())
    }

    /// Waits until so many more messages are answered.
    pub fn progress(&self, answers: u64) -> Result<()> {
        let from = self.count(Word::Answered);
        self.wait(&format!("{answers} more answers"), |counts| counts.get(Word::Answered) >= from + answers)
    }

    /// Waits for its next line of that kind.
    pub fn event(&mut self, kind: &str) -> Result<Fields> {
        let (next, fields) = self.process.log().wait_line(self.next, &format!("load: {kind}"))?;
        self.next = next;
        Ok(fields)
    }

    /// Has it send no more, and waits until all is answered, or reported lost, and rightly.
    pub fn finish(mut self) -> Result<Fields> {
        drop(self.process.take_input());
        self.join()
    }

    /// The same for one that ends by itself.
    pub fn join(mut self) -> Result<Fields> {
        let status = self.process.wait()?;
        let end = self.event("end ").context("the load did not come to its end")?;
        if !status.success() {
            bail!("the load ended with {status} after `{}`", end.line());
        }
        let [sent, answered, lost] = ["sent", "answered", "lost"].map(|key| end.number(key));
        ensure!(sent? == answered? + lost?, "not every message is accounted for: {}", end.line());
        Ok(end)
    }

    /// Ends it at once, as a crash would. Its counts stay.
    pub fn kill(self) -> Result<Counts> {
        let counts = self.counts.clone();
        self.process.kill()?;
        Ok(counts)
    }
}
