//! The writing end of a byte stream.

use super::error::StreamError;
use crate::channel::error::SendError;
use crate::channel::notice::Notice;
use crate::channel::sender::Sender;
use crate::memory::Memory;
use crate::notify::{Doorbell, Wait};
use embedded_io::{ErrorType, Write, WriteReady};

/// Writes bytes as messages of a queuing channel, and rings the peer when it is due.
///
/// `W` says how it waits for room: [`Wait`] for [`embedded_io::Write`], [`Event`](crate::notify::Event) for `embedded_io_async::Write`.
/// Nothing rings when there is room: one that ends by itself after a while, or is woken now and then.
#[derive(Debug)]
pub struct StreamWriter<'a, M, D, W> {
    sender: Sender<'a, M>,
    doorbell: &'a D,
    wait: &'a W,
    waits: u32,
    refused_rings: u64,
}

impl<'a, M: Memory, D: Doorbell, W> StreamWriter<'a, M, D, W> {
    /// Writes what `sender` sends. A blocking write waits up to `waits` times. Async ones wait until there is room.
    pub const fn new(sender: Sender<'a, M>, doorbell: &'a D, wait: &'a W, waits: u32) -> Self {
        Self { sender, doorbell, wait, waits, refused_rings: 0 }
    }

    /// Restarts the channel after a violation, as [`Sender::resync`] does, and returns how many messages are lost at most.
    pub fn resync(&mut self) -> u64 {
        self.sender.resync()
    }

    /// The channel's sender, for what it has counted.
    pub const fn sender(&self) -> &Sender<'a, M> {
        &self.sender
    }

    /// Doorbells that were due and that the device refused on this side. The peer finds the bytes when it next looks.
    pub const fn refused_rings(&self) -> u64 {
        self.refused_rings
    }

    /// What of `bytes` goes into one message.
    fn piece<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(..usize::from(self.sender.max_len())).unwrap_or(bytes)
    }

    fn ring(&mut self, notice: Notice) {
        // What was written is written: a doorbell is a hint, and no error of the stream.
        if notice.ring(self.doorbell).is_err() {
            self.refused_rings = self.refused_rings.saturating_add(1);
        }
    }
}

impl<M, D, W> ErrorType for StreamWriter<'_, M, D, W> {
    type Error = StreamError;
}

impl<M: Memory, D: Doorbell, W> WriteReady for StreamWriter<'_, M, D, W> {
    /// Whether there is room for a message. The accesses of [`Sender::room`].
    fn write_ready(&mut self) -> Result<bool, StreamError> {
        match self.sender.room() {
            Ok(room) => Ok(room > 0),
            Err(SendError::NotUp) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl<M: Memory, D: Doorbell, W: Wait> Write for StreamWriter<'_, M, D, W> {
    /// One message: at most as many waits as are allowed, and one call of [`Sender::try_send`] more.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let piece = self.piece(bytes);
        let mut waits = self.waits;
        loop {
            // Read before the look: a firing after it ends the wait at once.
            let seen = self.wait.count();
            match self.sender.try_send(piece) {
                Ok(notice) => {
                    self.ring(notice);
                    return Ok(piece.len());
                }
                Err(SendError::Full) if waits > 0 => {
                    waits = waits.saturating_sub(1);
                    self.wait.wait(seen);
                }
                Err(SendError::Full) => return Err(StreamError::TimedOut),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Nothing is kept back: every write is in the channel when it returns.
    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

#[cfg(feature = "embedded-io-async")]
impl<M: Memory, D: Doorbell, W: crate::notify::Event> embedded_io_async::Write for StreamWriter<'_, M, D, W> {
    /// One message, as [`Sender::send_async`]. Of a future that is dropped, nothing is written.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let piece = self.piece(bytes);
        let notice = self.sender.send_async(self.wait, piece).await?;
        self.ring(notice);
        Ok(piece.len())
    }

    /// Nothing is kept back: every write is in the channel when it is ready.
    async fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}
