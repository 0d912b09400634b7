//! The reading end of a byte stream.

use super::error::StreamError;
use crate::channel::error::RecvError;
use crate::channel::receiver::Receiver;
use crate::memory::Memory;
use crate::notify::Wait;
use core::ops::Range;
use embedded_io::{ErrorType, Read, ReadReady};

/// Reads the bytes of a queuing channel's messages.
///
/// `W` says how it waits: [`Wait`] for [`embedded_io::Read`], [`Event`](crate::notify::Event) for `embedded_io_async::Read`.
#[derive(Debug)]
pub struct StreamReader<'a, M, W> {
    receiver: Receiver<'a, M>,
    /// The last message.
    message: &'a mut [u8],
    /// What of it is still to be read.
    unread: Range<usize>,
    wait: &'a W,
    waits: u32,
}

impl<'a, M: Memory, W> StreamReader<'a, M, W> {
    /// Reads what `receiver` receives, by way of a buffer for one message: [`RecvError::BufferTooSmall`] if it is not.
    ///
    /// A blocking read waits up to `waits` times. Async ones wait until there is something.
    pub fn new(receiver: Receiver<'a, M>, buffer: &'a mut [u8], wait: &'a W, waits: u32) -> Result<Self, StreamError> {
        let need = receiver.max_len();
        if buffer.len() < usize::from(need) {
            return Err(RecvError::BufferTooSmall { need, have: buffer.len() }.into());
        }
        Ok(Self { receiver, message: buffer, unread: 0..0, wait, waits })
    }

    /// Restarts the channel after a violation, as [`Receiver::resync`] does. What was received before can still be read.
    pub fn resync(&mut self) {
        self.receiver.resync();
    }

    /// The channel's receiver, for what it has counted.
    pub const fn receiver(&self) -> &Receiver<'a, M> {
        &self.receiver
    }

    /// Gives out bytes of the last message.
    fn give(&mut self, bytes: &mut [u8]) -> usize {
        let unread = self.message.get(self.unread.clone()).unwrap_or_default();
        let len = unread.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..len), unread.get(..len)) {
            to.copy_from_slice(from);
        }
        self.unread.start = self.unread.start.saturating_add(len);
        len
    }

    /// Receives the next message, if there is one, and says how long it is.
    fn look(&mut self) -> Result<Option<usize>, RecvError> {
        Ok(self.receiver.try_recv(self.message)?.map(<[u8]>::len))
    }

    /// A message of so many bytes was received. `false`: the file ends here.
    fn received(&mut self, result: Result<usize, RecvError>) -> Result<bool, StreamError> {
        match result {
            Ok(0) => Err(StreamError::Empty),
            Ok(len) => {
                self.unread = 0..len;
                Ok(true)
            }
            Err(RecvError::Closed) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl<M, W> ErrorType for StreamReader<'_, M, W> {
    type Error = StreamError;
}

impl<M: Memory, W> ReadReady for StreamReader<'_, M, W> {
    /// Whether a read has something to give: bytes, or the end of the file. The accesses of [`Receiver::try_recv`].
    fn read_ready(&mut self) -> Result<bool, StreamError> {
        if !self.unread.is_empty() {
            return Ok(true);
        }
        match self.look() {
            Ok(Some(len)) => self.received(Ok(len)),
            Ok(None) | Err(RecvError::NotUp) => Ok(false),
            Err(RecvError::Closed) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl<M: Memory, W: Wait> Read for StreamReader<'_, M, W> {
    /// One [`Receiver::try_recv`] and, if it finds nothing, at most as many [`Receiver::recv`] as waits are allowed.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, StreamError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.unread.is_empty() {
            let mut taken = self.look();
            for _ in 0..self.waits {
                if taken != Ok(None) {
                    break;
                }
                taken = self.receiver.recv(self.message, self.wait, 0).map(|message| message.map(<[u8]>::len));
            }
            let received = taken.transpose().ok_or(StreamError::TimedOut)?;
            if !self.received(received)? {
                return Ok(0);
            }
        }
        Ok(self.give(bytes))
    }
}

#[cfg(feature = "embedded-io-async")]
impl<M: Memory, W: crate::notify::Event> embedded_io_async::Read for StreamReader<'_, M, W> {
    /// As [`Receiver::recv_async`]. Of a future that is dropped, nothing is lost.
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, StreamError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.unread.is_empty() {
            let received = self.receiver.recv_async(self.wait, self.message).await.map(<[u8]>::len);
            if !self.received(received)? {
                return Ok(0);
            }
        }
        Ok(self.give(bytes))
    }
}
