//! What each error says: what is wrong, where, and the value found.

use crate::channel::request::{Failure, RequestError};
use crate::channel::*;
use core::fmt::Display;
use std::string::ToString;

#[track_caller]
fn say<T: Display, const N: usize>(cases: [(T, &str); N]) {
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_violation_says_what_the_peer_wrote_and_what_was_due() {
    say([
        (
            PeerViolation::Header { expected_stamp: 2, found: 0x1234 },
            "slot header 0x0000000000001234 where stamp 0x2 or the slot's previous header was due",
        ),
        (PeerViolation::Length { found: 101, max: 100 }, "message of 101 bytes in a channel of at most 100"),
        (PeerViolation::Short { found: 8, least: 16 }, "message of 8 bytes in a channel of at least 16"),
        (PeerViolation::Kind { found: 9 }, "message of kind 9, which the channel does not carry"),
        (PeerViolation::Acknowledged { found: 9, before: 4, sent: 7 }, "9 messages acknowledged, after 4, of 7 sent"),
        (PeerViolation::Correlation { found: 0xAB }, "correlation 0xab"),
        (PeerViolation::Status { found: 0x1_0000 }, "response status 0x10000"),
        (PeerViolation::Sample { found: 3, least: 5 }, "sample 3 where 5 or later was due"),
        (PeerViolation::State { found: 7 }, "link state 0x7"),
        (PeerViolation::Identity { found: 0x2_0000 }, "identity word 0x20000"),
        (PeerViolation::Epoch { found: 0x1000 }, "epoch 0x1000"),
        (PeerViolation::Echo { found: 1, epoch: 2 }, "echo changed to 0x1 from epoch 0x2"),
    ]);
}

#[test]
fn a_configuration_error_says_the_channel_and_its_number() {
    let slots = ConfigError::Slots { channel: 1, slots: 6 };
    let six = "channel 1 has 6 slots, which is not a power of two from 4 to 32768";
    say([
        (ConfigError::Count { channels: 65 }, "a mailbox has 1 to 64 channels, not 65"),
        (slots, six),
        (
            ConfigError::MaxLen { channel: 2, max_len: 8, least: 16 },
            "channel 2 has messages of 8 bytes, and its kind takes 16 at least",
        ),
        (ConfigError::Vector { channel: 3, vector: 256 }, "channel 3 has vector 256, which is above 255"),
    ]);
    say([
        (MailboxError::from(slots), six),
        (
            MailboxError::RegionTooSmall { need: 8192, have: 4096 },
            "the mailbox needs 8192 bytes of shared memory and there are 4096",
        ),
    ]);
}

#[test]
fn a_half_not_handed_out_says_the_channel_and_what_it_is() {
    let wrong = |protected| TakeError::WrongKind { channel: 2, kind: Kind::Sampling, protected };
    say([
        (
            TakeError::NoSuchChannel { channel: 3, channels: 3 },
            "there is no channel 3: the mailbox has 3, counted from 0",
        ),
        (TakeError::Taken { channel: 1 }, "this end's half of channel 1 is taken already"),
        (wrong(false), "channel 2 is a Sampling channel, which has no such half"),
        (wrong(true), "channel 2 is a protected Sampling channel, which has no such half"),
        (TakeError::WrongDirection { channel: 0, from: End::Second }, "channel 0 is sent by the Second end"),
    ]);
}

const VIOLATION: PeerViolation = PeerViolation::Epoch { found: 0x1000 };
const VIOLATED: &str = "the peer violated the protocol: epoch 0x1000";

#[test]
fn a_message_not_sent_or_not_received_says_why_and_what_is_lost() {
    say([
        (SendError::NotUp, "the link is not up"),
        (SendError::Full, "the channel is full"),
        (SendError::TooLong { len: 101, max: 100 }, "a message of 101 bytes in a channel of at most 100"),
        (
            SendError::PeerRestarted { lost_at_most: 5 },
            "a new session began; at most 5 messages of the earlier one are lost",
        ),
        (
            SendError::PeerResynced { lost_at_most: 6 },
            "the receiver restarted the channel; at most 6 messages are lost",
        ),
        (SendError::Violated(VIOLATION), VIOLATED),
        (SendError::Closed, "the link is closed"),
    ]);
    say([
        (RecvError::NotUp, "the link is not up"),
        (RecvError::BufferTooSmall { need: 100, have: 9 }, "a message of 100 bytes for a buffer of 9"),
        (
            RecvError::PeerRestarted { lost_at_most: 5 },
            "a new session began; at most 5 messages of the earlier one are lost",
        ),
        (RecvError::PeerResynced { lost_at_most: 6 }, "the sender restarted the channel; at most 6 messages are lost"),
        (RecvError::Violated(VIOLATION), VIOLATED),
        (RecvError::Closed, "the link is closed"),
    ]);
}

#[test]
fn a_value_not_written_or_not_read_says_why() {
    say([
        (WriteError::TooLong { len: 9, max: 8 }, "a value of 9 bytes in a channel of at most 8"),
        (WriteError::Closed, "the link is closed"),
    ]);
    say([
        (ReadError::NotUp, "the link is not up"),
        (ReadError::Empty, "nothing was written yet"),
        (ReadError::Busy, "the writer overtook the reader"),
        (ReadError::BufferTooSmall { need: 8, have: 7 }, "a value of 8 bytes for a buffer of 7"),
        (ReadError::Violated(VIOLATION), VIOLATED),
        (ReadError::Closed, "the link is closed"),
    ]);
}

#[test]
fn a_request_says_why_it_did_not_begin_or_how_it_ended() {
    say([
        (RequestError::NotUp, "the link is not up"),
        (RequestError::Closed, "the link is closed"),
        (RequestError::TooManyOpen { capacity: 4 }, "4 requests are open, and no more can be"),
        (RequestError::NotOpen, "no such request is open"),
        (RequestError::Full, "the channel is full"),
        (RequestError::TooLong { len: 41, max: 40 }, "41 bytes where there is room for 40"),
        (RequestError::BufferTooSmall { need: 40, have: 8 }, "40 bytes for a buffer of 8"),
        (RequestError::PeerRestarted { open: 3 }, "a new session began, which ended 3 requests"),
        (RequestError::PeerResynced { open: 2 }, "the peer restarted the channel, with 2 requests open"),
        (RequestError::Resyncing, "the responder has not followed the resync yet"),
        (RequestError::Violated(VIOLATION), VIOLATED),
    ]);
    say([
        (Failure::Refused { len: 0 }, "the responder refused"),
        (Failure::Expired, "the request's budget had passed before the responder began"),
        (Failure::TimedOut, "the request's budget has passed"),
        (Failure::Cancelled, "the request was cancelled"),
        (Failure::PeerRestarted, "a new session began"),
        (Failure::Resynced, "the request's or the response's channel was restarted"),
        (Failure::Closed, "the link is closed"),
    ]);
}

#[test]
#[cfg(feature = "embedded-io")]
fn a_stream_says_what_its_channel_says() {
    use crate::channel::stream::StreamError;
    say([
        (StreamError::TimedOut, "waited in vain"),
        (StreamError::Empty, "a message of no bytes in a stream"),
        (StreamError::from(SendError::Full), "the channel is full"),
        (StreamError::from(RecvError::NotUp), "the link is not up"),
    ]);
}

#[test]
#[cfg(feature = "zerocopy")]
fn a_typed_channel_says_the_sizes_or_what_its_channel_says() {
    use crate::channel::typed::{TypedError, WrongSize};
    let size = WrongSize { found: 7, need: 8 };
    say([(size, "7 bytes for a value of 8")]);
    say([
        (TypedError::Size(size), "7 bytes for a value of 8"),
        (TypedError::Channel(RecvError::NotUp), "the link is not up"),
    ]);
}
