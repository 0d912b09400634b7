//! What became of the messages: sent, received and lost, each told by another.

use anyhow::{Context, Result, ensure};
use std::ops::RangeInclusive;

/// One direction of one session, by three that know nothing of each other.
///
/// `sent` is the sender's own count and `received` the receiver's own, either perhaps as the memory of a dead one tells it. `lost` is what
/// whoever survived reports, or the memory tells: a single number where the protocol knows it, and from the least to the most where not.
///
/// More is not to be had of two ends of which one dies: nobody counts a loss one by one. The sender that survives knows what was
/// not acknowledged, and its receiver acknowledges each quarter of a ring only. The receiver that survives knows of no message
/// beyond its last: it reports a ring full, whatever was lost. And who is killed between a message and its count takes one with it.
#[derive(Debug)]
pub struct Direction {
    pub sent: u64,
    pub received: u64,
    pub lost: RangeInclusive<u64>,
}

impl Direction {
    /// Demands `sent == received + lost`.
    pub fn balance(self) -> Result<Account> {
        let Self { sent, received, ref lost } = self;
        let missing = sent.checked_sub(received).with_context(|| format!("more was received than sent: {self:?}"))?;
        ensure!(lost.contains(&missing), "{missing} messages are neither received nor reported lost: {self:?}");
        Ok(Account { sent, received, lost: missing, ..Account::default() })
    }
}

/// What became of the messages of many sessions, both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Rounds whose end came under load.
    pub rounds: u64,
    /// Rounds besides, in which an end was killed as soon as it was up, or earlier.
    pub early: u64,
    pub sent: u64,
    pub received: u64,
    /// What of `sent` was not received, each time as the halves or the memory tell.
    pub lost: u64,
}

impl Account {
    pub fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.early += other.early;
        self.sent += other.sent;
        self.received += other.received;
        self.lost += other.lost;
    }

    pub fn say(&self) {
        let Self { rounds, early, sent, received, lost } = self;
        println!(
            "rounds={rounds} (besides, killed no later than up: {early}) sent={sent} received={received} lost={lost}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_received_nor_reported_lost_is_an_error_and_so_is_a_report_too_many() {
        let balance = |sent, received, lost| Direction { sent, received, lost }.balance();
        let exact = balance(10, 7, 3..=3).unwrap();
        assert_eq!(exact, Account { sent: 10, received: 7, lost: 3, ..Account::default() });
        assert_eq!(balance(10, 7, 2..=3).unwrap(), exact);
        for (sent, received, lost) in [(10, 7, 0..=2), (10, 7, 4..=9), (10, 9, 0..=0), (9, 10, 0..=9)] {
            assert!(balance(sent, received, lost.clone()).is_err(), "{sent} {received} {lost:?}");
        }
    }
}
