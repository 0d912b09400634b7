//! Protected channels on the command line: what is expected, what can be used, and each status in words.

use core::time::Duration;
use ivshmem::channel::protection::{Expected, Status, StatusCounts, Window};

/// What is expected of a protected channel whose sender calls itself `source`, and whose messages stay good for so long, zero for ever.
///
/// Any loss is told by its number. Whether the channel as a whole is valid is for applications: each message is judged alone here.
pub(super) fn expected(source: u16, validity: Duration) -> Expected {
    Expected {
        source,
        max_lost: u32::MAX >> 1,
        validity: u64::try_from(validity.as_nanos()).unwrap_or(u64::MAX),
        window: Window { last: 1, enough: 1, tolerated: 0 },
    }
}

/// Whether it is what was sent or written: without protection the mailbox's own word for it is all there is.
pub(super) fn is_usable(status: Option<Status>) -> bool {
    status.is_none_or(Status::is_good)
}

/// A status and its values, as fields of a line.
pub(super) fn words(status: Status) -> String {
    match status {
        Status::Ok => "status=ok".into(),
        Status::SomeLost { lost } => format!("status=some-lost lost={lost}"),
        Status::Repeated { sequence } => format!("status=repeated sequence={sequence}"),
        Status::WrongSequence { expected, found } => {
            format!("status=wrong-sequence expected={expected} found={found}")
        }
        Status::WrongSource { data_id, source, session } => {
            format!("status=wrong-source data_id={data_id:#x} source={source} session={session:#x}")
        }
        Status::BadCrc { found, computed } => format!("status=bad-crc found={found:#x} computed={computed:#x}"),
        Status::Stale { age } => format!("status=stale age_ms={}", milliseconds(age)),
        other => format!("status={other:?}"),
    }
}

/// How many messages had which status.
pub(super) fn counts(counts: &StatusCounts) -> String {
    let StatusCounts { ok, some_lost, repeated, wrong_sequence, wrong_source, bad_crc, stale, lost } = counts;
    format!(
        "ok={ok} some_lost={some_lost} repeated={repeated} wrong_sequence={wrong_sequence} wrong_source={wrong_source} \
         bad_crc={bad_crc} stale={stale} lost={lost}"
    )
}

/// An age in nanoseconds, which is `u64::MAX` if nobody knows.
pub(super) fn milliseconds(age: u64) -> String {
    match age {
        u64::MAX => "unknown".into(),
        age => (age / 1_000_000).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_told_with_its_values() {
        for (status, text) in [
            (Status::Ok, "status=ok"),
            (Status::SomeLost { lost: 2 }, "status=some-lost lost=2"),
            (Status::Repeated { sequence: 5 }, "status=repeated sequence=5"),
            (Status::WrongSequence { expected: 6, found: 4 }, "status=wrong-sequence expected=6 found=4"),
            (
                Status::WrongSource { data_id: 0x51, source: 9, session: 0x100 },
                "status=wrong-source data_id=0x51 source=9 session=0x100",
            ),
            (Status::BadCrc { found: 0x10, computed: 0x20 }, "status=bad-crc found=0x10 computed=0x20"),
            (Status::Stale { age: 3_999_999 }, "status=stale age_ms=3"),
            (Status::Stale { age: u64::MAX }, "status=stale age_ms=unknown"),
        ] {
            assert_eq!(words(status), text);
        }
    }
}
