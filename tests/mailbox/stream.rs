//! Byte streams over queuing channels: what is written is read, in order, whatever the pieces.

use super::connect;
use embedded_io::{Error, ErrorKind, Read, ReadReady, Write, WriteReady};
use ivshmem::channel::stream::*;
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::notify::{Doorbell, Event, Wait};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::task::Waker;

mod tasks;

const CHANNELS: [Channel; 1] = [Channel::queuing(End::Second, 4, 16)];

/// One end's bell, wait and event.
struct Bench {
    rung: RefCell<Vec<(u16, u16)>>,
    refuses: Cell<bool>,
    waited: Cell<u32>,
    fired: Cell<u32>,
    waker: RefCell<Waker>,
}

impl Default for Bench {
    fn default() -> Self {
        Self {
            rung: RefCell::default(),
            refuses: Cell::default(),
            waited: Cell::default(),
            fired: Cell::default(),
            waker: RefCell::new(Waker::noop().clone()),
        }
    }
}

impl Doorbell for Bench {
    type Error = ();

    fn ring(&self, peer: u16, vector: u16) -> Result<(), ()> {
        if self.refuses.get() {
            return Err(());
        }
        self.rung.borrow_mut().push((peer, vector));
        Ok(())
    }
}

impl Wait for Bench {
    fn count(&self) -> u32 {
        0
    }

    fn wait(&self, _: u32) -> bool {
        self.waited.set(self.waited.get() + 1);
        false
    }
}

impl Event for Bench {
    fn count(&self) -> u32 {
        self.fired.get()
    }

    fn register(&self, waker: &Waker) {
        *self.waker.borrow_mut() = waker.clone();
    }
}

impl Bench {
    /// The vector fires, or a timer's tick wakes whoever waits for it.
    fn fire(&self) {
        self.fired.set(self.fired.get() + 1);
        self.waker.borrow().wake_by_ref();
    }
}

type Mailboxes = (Mailbox<'static, SharedMemory>, Mailbox<'static, SharedMemory>, SharedMemory);

fn pair() -> Mailboxes {
    let (first, second) = loop_back(1 << 14).unwrap();
    let spy = second.window(0, second.len()).unwrap();
    (Mailbox::new(first, End::First, &CHANNELS).unwrap(), Mailbox::new(second, End::Second, &CHANNELS).unwrap(), spy)
}

macro_rules! ends {
    ($mailboxes:ident, $bench:ident, $waits:expr => $la:ident, $reader:ident, $lb:ident, $writer:ident) => {
        let mut buffer = [0; 16];
        let ((mut $la, mut ca), (mut $lb, mut cb)) =
            ($mailboxes.0.attach(Attach::interrupt_driven(7)), $mailboxes.1.attach(Attach::polled()));
        connect(&mut $la, &mut $lb);
        let mut $reader = StreamReader::new(ca.receiver(0).unwrap(), &mut buffer, &$bench, $waits).unwrap();
        let mut $writer = StreamWriter::new(cb.sender(0).unwrap(), &$bench, &$bench, $waits);
        // Each finds the other's ring.
        assert_eq!((reader_is_ready(&mut $reader), $writer.write_ready()), (false, Ok(true)));
        assert!(!reader_is_ready(&mut $reader));
    };
}

fn reader_is_ready<W>(reader: &mut StreamReader<'_, SharedMemory, W>) -> bool {
    reader.read_ready().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_the_pieces(
        pieces in proptest::collection::vec((any::<bool>(), 0usize..40), 1..200)
    ) {
        let mut mailboxes = pair();
        let bench = Bench::default();
        ends!(mailboxes, bench, 0 => la, reader, lb, writer);
        let byte = |at: usize| (at * 7 + at / 256) as u8;
        let (mut written, mut read) = (0, 0);
        let mut check = |bytes: &[u8]| {
            for found in bytes {
                assert_eq!(*found, byte(read), "byte {}", read);
                read += 1;
            }
            read
        };
        let mut buffer = [0; 40];
        for (writes, len) in pieces {
            if writes {
                let bytes: Vec<u8> = (written..written + len).map(byte).collect();
                let ready = writer.write_ready().unwrap();
                match writer.write(&bytes) {
                    Ok(count) => {
                        prop_assert_eq!(count, len.min(16));
                        prop_assert!(ready || len == 0);
                        written += count;
                    }
                    Err(error) => {
                        prop_assert_eq!(error, StreamError::TimedOut);
                        prop_assert!(!ready);
                    }
                }
            } else {
                let ready = reader.read_ready().unwrap();
                match reader.read(&mut buffer[..len]) {
                    Ok(count) => {
                        prop_assert!(count > 0 || len == 0);
                        prop_assert!(ready || len == 0);
                        check(&buffer[..count]);
                    }
                    Err(error) => {
                        prop_assert_eq!(error, StreamError::TimedOut);
                        prop_assert!(!ready);
                    }
                }
            }
        }
        lb.close();
        la.poll(0);
        loop {
            let count = reader.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            check(&buffer[..count]);
        }
        prop_assert_eq!(check(&[]), written);
    }
}

#[test]
fn a_blocking_call_waits_a_bounded_number_of_times_and_then_has_done_nothing() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    ends!(mailboxes, bench, 3 => la, reader, lb, writer);
    let mut byte = [0];
    assert_eq!(reader.read(&mut byte), Err(StreamError::TimedOut));
    assert_eq!((bench.waited.get(), reader.receiver().stats().sleeps), (3, 3));
    for _ in 0..4 {
        writer.write_all(b"full").unwrap();
    }
    assert_eq!(bench.waited.replace(0), 3);
    assert_eq!(writer.write(b"more"), Err(StreamError::TimedOut));
    assert_eq!((bench.waited.get(), writer.sender().stats().sent), (3, 4));
    assert_eq!(writer.flush(), Ok(()));
    let mut all = [0; 16];
    reader.read_exact(&mut all).unwrap();
    assert_eq!(&all, b"fullfullfullfull");
    assert_eq!(bench.waited.get(), 3, "what is there is not waited for");
    assert!(la.poll(0).is_up() && lb.poll(0).is_up());
}

#[test]
fn a_blocking_read_returns_what_comes_while_it_waits() {
    let mut mailboxes = pair();
    let bell = Bench::default();
    let mut buffer = [0; 16];
    let ((mut la, mut ca), (mut lb, mut cb)) =
        (mailboxes.0.attach(Attach::interrupt_driven(7)), mailboxes.1.attach(Attach::polled()));
    connect(&mut la, &mut lb);
    // Once the reader sleeps, the writer writes, and is told to ring.
    let sender = RefCell::new(cb.sender(0).unwrap());
    let slept = Cell::new(0);
    let peer_writes = Meanwhile(|| {
        slept.set(slept.get() + 1);
        if slept.get() == 2 {
            let rang = sender.borrow_mut().try_send(b"late").unwrap().ring(&bell);
            assert_eq!(rang, Ok(true));
        }
    });
    let mut reader = StreamReader::new(ca.receiver(0).unwrap(), &mut buffer, &peer_writes, 5).unwrap();
    let mut bytes = [0; 10];
    assert_eq!(reader.read(&mut bytes), Ok(4));
    assert_eq!((slept.get(), bell.rung.borrow().as_slice()), (2, &[(7, 0)][..]));
}

#[test]
fn a_blocking_write_goes_on_when_there_is_room() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    let mut buffer = [0; 16];
    let ((mut la, mut ca), (mut lb, mut cb)) =
        (mailboxes.0.attach(Attach::polled()), mailboxes.1.attach(Attach::polled()));
    connect(&mut la, &mut lb);
    let reader = StreamReader::new(ca.receiver(0).unwrap(), &mut buffer, &bench, 0).unwrap();
    let (reader, waited) = (RefCell::new(reader), Cell::new(0));
    let peer_reads = Meanwhile(|| {
        waited.set(waited.get() + 1);
        assert_eq!(reader.borrow_mut().read(&mut [0; 4]), Ok(4));
    });
    let mut writer = StreamWriter::new(cb.sender(0).unwrap(), &bench, &peer_reads, 5);
    for _ in 0..4 {
        writer.write_all(b"full").unwrap();
    }
    assert_eq!((writer.write(b"freed"), waited.get()), (Ok(5), 1));
}

/// A wait in which the test plays the peer.
struct Meanwhile<F>(F);

impl<F: Fn()> Wait for Meanwhile<F> {
    fn count(&self) -> u32 {
        0
    }

    fn wait(&self, _: u32) -> bool {
        (self.0)();
        false
    }
}

#[test]
fn the_peers_close_is_the_end_of_the_file_once_everything_is_read() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    ends!(mailboxes, bench, 3 => la, reader, lb, writer);
    writer.write_all(b"the end").unwrap();
    lb.close();
    la.poll(0);
    let mut bytes = [0; 4];
    assert_eq!((reader.read(&mut bytes), bytes), (Ok(4), *b"the "));
    assert_eq!((reader.read(&mut bytes), &bytes[..3]), (Ok(3), &b"end"[..]));
    assert!(reader_is_ready(&mut reader), "an end of file is something to read");
    assert_eq!((reader.read(&mut bytes), reader.read(&mut bytes)), (Ok(0), Ok(0)));
    assert_eq!(writer.write(b"more").map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
    assert_eq!(writer.write_ready().map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
}

#[test]
fn a_restart_is_one_reset_and_the_stream_goes_on_with_what_comes_after() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    let mut buffer = [0; 16];
    let (mut la, mut ca) = mailboxes.0.attach(Attach::polled());
    let mut reader = StreamReader::new(ca.receiver(0).unwrap(), &mut buffer, &bench, 0).unwrap();
    let mut bytes = [0; 16];
    for life in 0..3 {
        let (mut lb, mut cb) = mailboxes.1.attach(Attach::polled());
        connect(&mut la, &mut lb);
        let mut writer = StreamWriter::new(cb.sender(0).unwrap(), &bench, &bench, 0);
        writer.write_all(b"read").unwrap();
        if life > 0 {
            // What was read in part before is still good.
            assert_eq!((reader.read(&mut bytes), &bytes[..2]), (Ok(2), &b"ad"[..]));
            assert_eq!(reader.read(&mut bytes).map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
        }
        assert_eq!((reader.read(&mut bytes[..2]), &bytes[..2]), (Ok(2), &b"re"[..]));
        writer.write_all(b"lost").unwrap();
    }
}

#[test]
fn a_resync_by_either_half_is_one_reset_of_the_other() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    ends!(mailboxes, bench, 0 => la, reader, lb, writer);
    writer.write_all(b"lost").unwrap();
    assert_eq!(writer.resync(), 1);
    assert_eq!(reader.read(&mut [0; 4]).map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    writer.write_all(b"kept").unwrap();
    assert_eq!(reader.read(&mut [0; 4]), Ok(4));
    reader.resync();
    lb.poll(0);
    assert_eq!(writer.write(b"lost").map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    assert_eq!(reader.read(&mut [0; 4]), Err(StreamError::TimedOut));
    writer.write_all(b"kept").unwrap();
    assert_eq!(reader.read(&mut [0; 4]), Ok(4));
    assert!(la.poll(0).is_up());
}

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
