//! What errors say: each its own sentence, with every number that it carries.

use ivshmem::channel::request::{Failure, RequestError};
use ivshmem::channel::*;
use std::collections::BTreeSet;
use std::error::Error;

/// A stranger's sentence is of use only if it holds these.
fn says(sentences: &mut BTreeSet<String>, error: &dyn Error, numbers: &[&str]) {
    let text = error.to_string();
    assert!(text.len() > 8, "`{text}` says nothing");
    for number in numbers {
        assert!(text.contains(number), "{number} is not in `{text}`");
    }
    assert!(sentences.insert(text.clone()), "`{text}` twice");
}

#[test]
fn every_error_says_what_and_with_which_numbers() {
    let violations: [(PeerViolation, &[&str]); 12] = [
        (PeerViolation::Header { expected_stamp: 0x2a, found: 0x77 }, &["0x2a", "0x0000000000000077"]),
        (PeerViolation::Length { found: 57, max: 56 }, &["57", "56"]),
        (PeerViolation::Short { found: 15, least: 16 }, &["15", "16"]),
        (PeerViolation::Kind { found: 9 }, &["9"]),
        (PeerViolation::Acknowledged { found: 31, before: 20, sent: 30 }, &["31", "20", "30"]),
        (PeerViolation::Correlation { found: 0xabc }, &["0xabc"]),
        (PeerViolation::Status { found: 0x33 }, &["0x33"]),
        (PeerViolation::Sample { found: 81, least: 82 }, &["81", "82"]),
        (PeerViolation::State { found: 0x7 }, &["0x7"]),
        (PeerViolation::Identity { found: 0x5 }, &["0x5"]),
        (PeerViolation::Epoch { found: 0x1000 }, &["0x1000"]),
        (PeerViolation::Echo { found: 0x66, epoch: 0x67 }, &["0x66", "0x67"]),
    ];
    let mut said = BTreeSet::new();
    for (violation, numbers) in violations {
        says(&mut said, &violation, numbers);
    }
    // Whatever carries a violation says all of it.
    let violation = PeerViolation::Kind { found: 9 };
    let whole = violation.to_string();
    for error in [&SendError::Violated(violation) as &dyn Error, &RecvError::Violated(violation)] {
        says(&mut BTreeSet::new(), error, &[&whole]);
    }
    for error in [&ReadError::Violated(violation) as &dyn Error, &RequestError::Violated(violation)] {
        says(&mut BTreeSet::new(), error, &[&whole]);
    }

    let channels: [(&dyn Error, &[&str]); 12] = [
        (&SendError::Full, &[]),
        (&SendError::TooLong { len: 101, max: 100 }, &["101", "100"]),
        (&SendError::PeerRestarted { lost_at_most: 17 }, &["17"]),
        (&SendError::PeerResynced { lost_at_most: 18 }, &["18"]),
        (&RecvError::NotUp, &[]),
        (&RecvError::BufferTooSmall { need: 12, have: 11 }, &["12", "11"]),
        (&RecvError::PeerRestarted { lost_at_most: 19 }, &["19"]),
        (&RecvError::PeerResynced { lost_at_most: 20 }, &["20"]),
        (&RecvError::Closed, &[]),
        (&WriteError::TooLong { len: 103, max: 102 }, &["103", "102"]),
        (&ReadError::BufferTooSmall { need: 14, have: 13 }, &["14", "13"]),
        (&ReadError::Busy, &[]),
    ];
    channels.into_iter().for_each(|(error, numbers)| says(&mut said, error, numbers));
    says(&mut said, &ReadError::Empty, &[]);

    let requests: [(&dyn Error, &[&str]); 13] = [
        (&RequestError::TooManyOpen { capacity: 64 }, &["64"]),
        (&RequestError::NotOpen, &[]),
        (&RequestError::TooLong { len: 41, max: 40 }, &["41", "40"]),
        (&RequestError::BufferTooSmall { need: 44, have: 43 }, &["44", "43"]),
        (&RequestError::PeerRestarted { open: 5 }, &["5"]),
        (&RequestError::PeerResynced { open: 6 }, &["6"]),
        (&RequestError::Resyncing, &[]),
        (&Failure::Refused { len: 0 }, &["refused"]),
        (&Failure::Expired, &["before"]),
        (&Failure::TimedOut, &["passed"]),
        (&Failure::Cancelled, &["cancelled"]),
        (&Failure::PeerRestarted, &["session"]),
        (&Failure::Resynced, &["restarted"]),
    ];
    requests.into_iter().for_each(|(error, numbers)| says(&mut said, error, numbers));

    let setting_up: [(&dyn Error, &[&str]); 9] = [
        (&ConfigError::Count { channels: 65 }, &["64", "65"]),
        (&ConfigError::Slots { channel: 3, slots: 5 }, &["3", "5"]),
        (&ConfigError::MaxLen { channel: 4, max_len: 7, least: 16 }, &["4", "7", "16"]),
        (&ConfigError::Vector { channel: 5, vector: 256 }, &["5", "256"]),
        (&MailboxError::RegionTooSmall { need: 8192, have: 4096 }, &["8192", "4096"]),
        (&TakeError::NoSuchChannel { channel: 8, channels: 7 }, &["8", "7"]),
        (&TakeError::Taken { channel: 2 }, &["2"]),
        (&TakeError::WrongDirection { channel: 1, from: End::Second }, &["1", "Second"]),
        (&TakeError::WrongKind { channel: 6, kind: Kind::Sampling, protected: true }, &["6", "ampling"]),
    ];
    setting_up.into_iter().for_each(|(error, numbers)| says(&mut said, error, numbers));
    let config = ConfigError::Count { channels: 65 };
    assert_eq!(MailboxError::from(config).to_string(), config.to_string());
}

#[cfg(feature = "zerocopy")]
#[test]
fn a_value_of_the_wrong_size_is_told_with_both_sizes() {
    use ivshmem::channel::typed::{TypedError, WrongSize};
    let size = WrongSize { found: 7, need: 8 };
    says(&mut BTreeSet::new(), &size, &["7", "8"]);
    assert_eq!(TypedError::<RecvError>::Size(size).to_string(), size.to_string());
    assert_eq!(TypedError::from(RecvError::NotUp).to_string(), RecvError::NotUp.to_string());
}

#[cfg(feature = "embedded-io")]
#[test]
fn a_stream_says_what_its_channel_says() {
    use ivshmem::channel::stream::StreamError;
    let mut said = BTreeSet::new();
    says(&mut said, &StreamError::TimedOut, &[]);
    says(&mut said, &StreamError::Empty, &["no bytes"]);
    assert_eq!(StreamError::from(SendError::Full).to_string(), SendError::Full.to_string());
    assert_eq!(StreamError::from(RecvError::NotUp).to_string(), RecvError::NotUp.to_string());
}
