//! Patience with a limit, and a word about it every second.

use super::Failure;
use core::time::Duration;
use std::io::Write;
use std::time::Instant;

/// Waiting for one thing.
#[derive(Debug)]
pub(super) struct Patience {
    /// Whose, for the lines on standard error.
    command: &'static str,
    limit: Duration,
    since: Instant,
    /// Whole seconds said so far.
    said: u64,
}

impl Patience {
    pub(super) fn new(command: &'static str, limit: Duration) -> Self {
        Self { command, limit, since: Instant::now(), said: 0 }
    }

    /// The thing came; the next one has all the time again.
    pub(super) fn renew(&mut self) {
        *self = Self::new(self.command, self.limit);
    }

    /// To be called in every round: says once a second what is waited for, and fails once the limit has passed.
    pub(super) fn check(&mut self, what: impl FnOnce() -> String) -> Result<(), Failure> {
        if let Some(line) = self.judge(self.since.elapsed(), what)? {
            // Progress that nobody reads is no failure.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        Ok(())
    }

    /// What there is to say after so long.
    fn judge(&mut self, waited: Duration, what: impl FnOnce() -> String) -> Result<Option<String>, Failure> {
        if waited >= self.limit {
            return Err(Failure::Late(format!("no {} within {} s", what(), self.limit.as_secs())));
        }
        if waited.as_secs() <= self.said {
            return Ok(None);
        }
        self.said = waited.as_secs();
        Ok(Some(format!("{}: waiting for {}, {} s\n", self.command, what(), self.said)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_is_said_once_and_the_limit_is_a_failure_with_what_was_waited_for() {
        let mut patience = Patience::new("recv", Duration::from_secs(3));
        let mut judge = |ms| patience.judge(Duration::from_millis(ms), || "message".into());
        assert_eq!(judge(999).unwrap(), None);
        assert_eq!(judge(1000).unwrap().unwrap(), "recv: waiting for message, 1 s\n");
        assert_eq!(judge(1999).unwrap(), None);
        assert_eq!(judge(2500).unwrap().unwrap(), "recv: waiting for message, 2 s\n");
        let failure = judge(3000).unwrap_err();
        assert_eq!((failure.to_string().as_str(), failure.code()), ("no message within 3 s", 4));
    }
}
