//! The accounts of a long run, as a table.

use crate::test::kills::Account;
use std::collections::BTreeMap;

/// Where messages were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    BesideHostile,
    AfterHostile,
    ImageKilled,
    PeerKilledInterrupts,
    PeerKilledPolled,
    MachineStopped,
    PeerStopped,
}

impl Row {
    pub fn name(self) -> &'static str {
        match self {
            Self::BesideHostile => "honest peers beside hostile ones",
            Self::AfterHostile => "honest peers in a hostile one's place",
            Self::ImageKilled => "image killed under load",
            Self::PeerKilledInterrupts => "peer killed under load, interrupts",
            Self::PeerKilledPolled => "peer killed under load, polled",
            Self::MachineStopped => "VM stopped and continued",
            Self::PeerStopped => "peer stopped and continued",
        }
    }

    /// Whether messages may be lost there: where an end dies.
    fn may_lose(self) -> bool {
        matches!(self, Self::ImageKilled | Self::PeerKilledInterrupts | Self::PeerKilledPolled)
    }
}

/// What hostile peers of one mode did.
#[derive(Clone, Copy, Debug, Default)]
struct Attacks {
    count: u64,
    steps: u64,
    hostile: u64,
    rings: u64,
}

#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<Row, Account>,
    attacks: BTreeMap<&'static str, Attacks>,
}

impl Table {
    pub fn add(&mut self, row: Row, account: Account) {
        self.rows.entry(row).or_default().add(account);
    }

    pub fn attacked(&mut self, mode: &'static str, steps: u64, hostile: u64, rings: u64) {
        let attacks = self.attacks.entry(mode).or_default();
        attacks.count += 1;
        attacks.steps += steps;
        attacks.hostile += hostile;
        attacks.rings += rings;
    }

    /// Every message that was sent was received or is counted as lost, and none is lost but where an end died.
    pub fn is_exact(&self) -> bool {
        let exact = |(row, account): (&Row, &Account)| {
            account.sent == account.received + account.lost && (row.may_lose() || account.lost == 0)
        };
        !self.rows.is_empty() && self.rows.iter().all(exact)
    }

    /// One line for now.
    pub fn sum(&self) -> String {
        let mut sum = Account::default();
        self.rows.values().for_each(|account| sum.add(*account));
        format!("sent={} received={} lost={}", sum.sent, sum.received, sum.lost)
    }

    pub fn text(&self) -> String {
        let mut text = format!("{:<38} {:>8} {:>12} {:>12} {:>10}\n", "messages", "rounds", "sent", "received", "lost");
        for (row, Account { rounds, sent, received, lost, .. }) in &self.rows {
            text += &format!("{:<38} {rounds:>8} {sent:>12} {received:>12} {lost:>10}\n", row.name());
        }
        text +=
            &format!("{:<38} {:>8} {:>12} {:>12} {:>10}\n", "hostile peers", "times", "steps", "words", "doorbells");
        for (mode, Attacks { count, steps, hostile, rings }) in &self.attacks {
            text += &format!("{mode:<38} {count:>8} {steps:>12} {hostile:>12} {rings:>10}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_exact_if_nothing_is_missing_and_nothing_lost_but_where_an_end_died() {
        let account = |sent, received, lost| Account { rounds: 1, sent, received, lost, ..Account::default() };
        assert!(!Table::default().is_exact(), "nothing was done");
        for (row, account, exact) in [
            (Row::ImageKilled, account(10, 8, 2), true),
            (Row::ImageKilled, account(10, 8, 1), false),
            (Row::ImageKilled, account(10, 11, 0), false),
            (Row::BesideHostile, account(10, 10, 0), true),
            (Row::BesideHostile, account(10, 9, 1), false),
        ] {
            let mut table = Table::default();
            table.add(row, account);
            assert_eq!(table.is_exact(), exact, "{row:?} {account:?}");
        }
    }
}
