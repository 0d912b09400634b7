//! A page of numbers that one process writes and another reads, also after the first was killed.

use anyhow::{Context, Result};
use ivshmem::memory::Memory;
use ivshmem_peer::Mapping;
use std::fs::OpenOptions;
use std::path::Path;

/// Bytes of the page.
pub const SIZE: usize = 4096;

/// Which number.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// Messages sent, and one more while another is being sent.
    Sending,
    Sent,
    Answered,
    /// Messages of sessions that ended before they were answered.
    Lost,
    Restarts,
    /// Times the other end went stale, and whether it is now.
    Stale,
    IsStale,
    /// The session that is or was up last, 0 before, its messages, and its answers.
    Session,
    SessionSent,
    SessionAnswered,
}

/// The page, in one of the two processes.
#[derive(Debug, Clone)]
pub struct Counts(Mapping);

impl Counts {
    /// The page in a file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self(Mapping::new(&file, 0, SIZE).context("cannot map the page of counts")?))
    }

    pub fn get(&self, word: Word) -> u64 {
        self.0.load(word as usize * 8)
    }

    pub fn set(&self, word: Word, value: u64) {
        self.0.publish(word as usize * 8, value);
    }

    pub fn add(&self, word: Word, count: u64) {
        self.set(word, self.get(word) + count);
    }
}
