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
        let waited = self.since.elapsed();
        if waited >= self.limit {
            return Err(Failure::Late(format!("no {} within {} s", what(), self.limit.as_secs())));
        }
        if waited.as_secs() > self.said {
            self.said = waited.as_secs();
            let line = format!("{}: waiting for {}, {} s\n", self.command, what(), self.said);
            // Progress that nobody reads is no failure.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_at_its_limit_with_what_was_waited_for() {
        let mut patience = Patience::new("recv", Duration::ZERO);
        let failure = patience.check(|| "message".into()).unwrap_err();
        assert_eq!(failure.to_string(), "no message within 0 s");
        assert_eq!(failure.code(), 4);
        let mut patience = Patience::new("recv", Duration::from_secs(3600));
        assert!(patience.check(|| unreachable!()).is_ok());
    }
}
