//! One client, as the server sees it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::event::Leaving;
use crate::outbox::{Flush, Outbox, Vectors};

/// One client.
#[derive(Debug)]
pub(super) struct Peer {
    pub id: u16,
    pub vectors: Vectors,
    pub outbox: Outbox,
    socket: OwnedFd,
    /// Whether epoll tells when the socket takes more.
    asks_for_room: bool,
}

impl Peer {
    /// A client for whose socket epoll has [`interest`]`(false)`.
    pub fn new(id: u16, socket: OwnedFd, vectors: Vectors, outbox: Outbox) -> Self {
        Self { id, vectors, outbox, socket, asks_for_room: false }
    }

    /// Whether there is something to do that epoll does not tell of: something waits, and the socket was not full when
    /// last tried, or too much waits.
    pub fn is_due(&self) -> bool {
        !self.outbox.is_empty() && (!self.asks_for_room || self.outbox.is_overrun())
    }

    /// Why epoll says that there is something to read, which a client never sends.
    pub fn why_readable(&self) -> Option<Leaving> {
        match rustix::net::recv(&self.socket, &mut [0_u8; 1], RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::CONNRESET) => Some(Leaving::Closed),
            // Readable, and nothing to read: it sent something out of band.
            Ok(_) | Err(Errno::AGAIN) => Some(Leaving::Spoke),
            Err(Errno::INTR) => None,
            Err(error) => Some(Leaving::Failed(error.raw_os_error())),
        }
    }

    /// Sends what the socket takes, and has epoll tell (with `data`) when it takes more, if more waits. True when that has
    /// to be tried again without being told.
    pub fn flush(
        &mut self,
        memory: BorrowedFd<'_>,
        epoll: BorrowedFd<'_>,
        data: epoll::EventData,
    ) -> Result<bool, Leaving> {
        let flush = self.outbox.flush(self.socket.as_fd(), memory);
        let asks_for_room = match flush {
            // A congested kernel has room in the socket, so asking would wake us for ever.
            Flush::Empty | Flush::Congested => false,
            Flush::Full | Flush::More => true,
            Flush::Lost(Errno::PIPE | Errno::CONNRESET) => return Err(Leaving::Closed),
            Flush::Lost(error) => return Err(Leaving::Failed(error.raw_os_error())),
        };
        if asks_for_room != self.asks_for_room {
            epoll::modify(epoll, &self.socket, data, interest(asks_for_room))
                .map_err(|error| Leaving::Failed(error.raw_os_error()))?;
            self.asks_for_room = asks_for_room;
        }
        Ok(flush == Flush::Congested)
    }
}

/// What epoll shall tell of a client. That it hung up is told without asking.
pub(super) fn interest(asks_for_room: bool) -> epoll::EventFlags {
    let reads = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
    if asks_for_room { reads | epoll::EventFlags::OUT } else { reads }
}
