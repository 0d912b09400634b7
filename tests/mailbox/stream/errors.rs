//! What is an error, of which kind, and what it says.

use super::super::connect;
use super::{Bench, CHANNELS, ends, pair, reader_is_ready};
use embedded_io::{Error, ErrorKind, Read, ReadReady, Write, WriteReady};
use ivshmem::channel::stream::*;
use ivshmem::channel::*;
use ivshmem::memory::Memory;

#[test]
fn what_no_stream_contains_is_an_error_that_is_not_repeated() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    let mut buffer = [0; 16];
    let ((mut la, mut ca), (mut lb, mut cb)) =
        (mailboxes.0.attach(Attach::polled()), mailboxes.1.attach(Attach::polled()));
    let mut sender = cb.sender(0).unwrap();
    let mut reader = StreamReader::new(ca.receiver(0).unwrap(), &mut buffer, &bench, 0).unwrap();
    assert_eq!(reader.read(&mut [0; 4]).map_err(|error| error.kind()), Err(ErrorKind::NotConnected));
    connect(&mut la, &mut lb);
    sender.try_send(&[]).unwrap().ignore();
    sender.try_send(b"good").unwrap().ignore();
    assert_eq!(reader.read(&mut [0; 4]), Err(StreamError::Empty));
    assert_eq!(StreamError::Empty.kind(), ErrorKind::InvalidData);
    assert_eq!(reader.read(&mut [0; 4]), Ok(4));
    // And one that latches.
    let slot = Snapshot::new(&mailboxes.2, &CHANNELS).channel(0).unwrap().slots_at + 2 * 64;
    mailboxes.2.store(slot, u64::MAX);
    for _ in 0..2 {
        assert_eq!(reader.read(&mut [0; 4]).map_err(|error| error.kind()), Err(ErrorKind::InvalidData));
        assert_eq!(reader.read_ready().map_err(|error| error.kind()), Err(ErrorKind::InvalidData));
    }
    assert_eq!(reader.receiver().stats().violations, 1);
}

#[test]
fn a_buffer_for_less_than_a_message_is_refused_and_a_ring_refused_by_the_device_is_counted() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    let (_, mut ca) = mailboxes.0.attach(Attach::polled());
    let mut small = [0; 15];
    let error = StreamReader::new(ca.receiver(0).unwrap(), &mut small, &bench, 0).err();
    assert_eq!(error, Some(StreamError::Receive(RecvError::BufferTooSmall { need: 16, have: 15 })));
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::InvalidInput));
    ends!(mailboxes, bench, 1 => la, reader, lb, writer);
    assert_eq!(reader.read(&mut [0]), Err(StreamError::TimedOut), "and asked for a doorbell");
    assert_eq!(writer.refused_rings(), 0);
    bench.refuses.set(true);
    assert_eq!(writer.write(b"unheard"), Ok(7));
    assert_eq!((writer.refused_rings(), bench.rung.borrow().len()), (1, 0));
    assert_eq!(reader.read(&mut [0; 7]), Ok(7));
    assert!(la.poll(0).is_up() && lb.poll(0).is_up());
}

#[test]
fn every_error_is_of_a_kind() {
    use ErrorKind::*;
    let violation = PeerViolation::Kind { found: 9 };
    for (error, kind) in [
        (StreamError::TimedOut, TimedOut),
        (SendError::NotUp.into(), NotConnected),
        (SendError::Full.into(), TimedOut),
        (SendError::TooLong { len: 9, max: 8 }.into(), InvalidInput),
        (SendError::PeerRestarted { lost_at_most: 1 }.into(), ConnectionReset),
        (SendError::PeerResynced { lost_at_most: 1 }.into(), ConnectionReset),
        (SendError::Violated(violation).into(), InvalidData),
        (SendError::Closed.into(), BrokenPipe),
        (RecvError::NotUp.into(), NotConnected),
        (RecvError::PeerRestarted { lost_at_most: 1 }.into(), ConnectionReset),
        (RecvError::PeerResynced { lost_at_most: 1 }.into(), ConnectionReset),
        (RecvError::Violated(violation).into(), InvalidData),
        (RecvError::Closed.into(), BrokenPipe),
    ] {
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn an_error_says_what_the_channel_says() {
    assert_eq!(StreamError::TimedOut.to_string(), "waited in vain");
    assert_eq!(StreamError::Empty.to_string(), "a message of no bytes in a stream");
    assert_eq!(StreamError::from(SendError::Full).to_string(), SendError::Full.to_string());
    assert_eq!(StreamError::from(RecvError::NotUp).to_string(), RecvError::NotUp.to_string());
}
