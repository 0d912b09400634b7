//! Byte streams over queuing channels: what is written is read, in order, whatever the pieces.

use super::connect;
use embedded_io::{Read, ReadReady, Write, WriteReady};
use ivshmem::channel::stream::*;
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::notify::{Doorbell, Event, Wait};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::task::Waker;

mod blocking;
mod errors;
mod sessions;
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
use ends;

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
