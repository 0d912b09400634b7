//! Calls that wait: a bounded number of times, and for what the peer does meanwhile.

use super::super::connect;
use super::{Bench, ends, pair, reader_is_ready};
use embedded_io::{Read, Write, WriteReady};
use ivshmem::channel::stream::*;
use ivshmem::channel::*;
use ivshmem::notify::Wait;
use std::cell::{Cell, RefCell};

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
