//! Bytes in and bytes out.

use super::LEN;
use crate::peer::region::{Moment, Silent};
use crate::peer::said::Order;
use embedded_io::{Read, ReadReady, Write, WriteReady};

use ivshmem::channel::stream::{StreamError, StreamReader, StreamWriter};
use ivshmem::channel::{Receiver, RecvError, SendError, Sender};
use ivshmem::fake::input::Input;
use ivshmem_peer::Mapping;

/// Reads what the peer sends, in pieces of any size.
pub struct Incoming<'a> {
    reader: StreamReader<'a, Mapping, Silent>,
    /// The message that the last piece belongs to, as far as it was read.
    message: Vec<u8>,
    /// Whether bytes may be missing after it.
    lost: bool,
    order: Order,
}

impl<'a> Incoming<'a> {
    pub fn new(receiver: Receiver<'a, Mapping>, buffer: &'a mut [u8]) -> Self {
        let reader = StreamReader::new(receiver, buffer, &Silent, 1).expect("the buffer takes any message");
        Self { reader, message: Vec::new(), lost: false, order: Order::default() }
    }

    pub fn call(&mut self, input: &Input<'_>, moment: Moment) {
        let what = input.byte();
        if what >= 0xF0 {
            self.reader.resync();
            self.lost = true;
            return;
        }
        let mut bytes = [0; LEN as usize];
        let room = 1 + usize::from(what) % bytes.len();
        let ready = self.reader.read_ready();
        let read = self.reader.read(&mut bytes[..room]);
        let agree = match (ready, read) {
            // Bytes, or the end of the file.
            (Ok(true), Ok(len)) => len <= room && (len > 0 || !moment.honest),
            (Ok(false), Err(StreamError::TimedOut | StreamError::Receive(RecvError::NotUp))) => true,
            // The key that ends a look and the one that begins the next are two words, and may tell two tales.
            (Ok(_), Err(StreamError::Receive(RecvError::PeerResynced { .. }))) => !moment.honest,
            // Nothing is received any more until a resync.
            (Err(StreamError::Receive(RecvError::Violated(_))), again) => !moment.honest && again.err() == ready.err(),
            (Err(StreamError::Empty), _) => !moment.honest,
            (Err(StreamError::Receive(RecvError::PeerRestarted { .. } | RecvError::PeerResynced { .. })), _) => true,
            _ => false,
        };
        assert!(agree, "{ready:?}, and then {read:?} of {room}, {moment:?}");
        self.lost |= ready.is_err();
        if let (true, Ok(len)) = (moment.honest, read) {
            self.came(&bytes[..len]);
        }
    }

    /// A piece of what an honest peer sent came.
    fn came(&mut self, piece: &[u8]) {
        for byte in piece {
            // The only one in a message is its first.
            if *byte == b'c' && !self.message.is_empty() {
                self.order.came(&std::mem::take(&mut self.message));
                if std::mem::take(&mut self.lost) {
                    self.order.lost();
                }
            }
            self.message.push(*byte);
        }
    }
}

/// Writes as much as there is room for.
pub struct Outgoing<'a>(StreamWriter<'a, Mapping, Silent, Silent>);

impl<'a> Outgoing<'a> {
    pub fn new(sender: Sender<'a, Mapping>) -> Self {
        Self(StreamWriter::new(sender, &Silent, &Silent, 1))
    }

    pub fn call(&mut self, input: &Input<'_>, moment: Moment) {
        let what = input.byte();
        if what >= 0xF0 {
            assert!(self.0.resync() <= 8);
            return;
        }
        let bytes = [what; 100];
        let piece = &bytes[..1 + usize::from(what) % bytes.len()];
        let ready = self.0.write_ready();
        let written = self.0.write(piece);
        let agree = match (ready, written) {
            (Ok(true), Ok(len)) => len == piece.len().min(LEN.into()),
            (Ok(false), Err(error)) => matches!(error, StreamError::TimedOut | StreamError::Send(SendError::NotUp)),
            (Err(StreamError::Send(SendError::Violated(_))), again) => !moment.honest && again.err() == ready.err(),
            (Err(StreamError::Send(SendError::Closed)), again) => !moment.honest && again.err() == ready.err(),
            (Err(StreamError::Send(SendError::PeerRestarted { .. } | SendError::PeerResynced { .. })), _) => true,
            _ => false,
        };
        assert!(agree, "{ready:?}, and then {written:?} of {}, {moment:?}", piece.len());
    }
}
