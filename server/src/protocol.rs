//! The wire: 8-byte little-endian messages on a stream socket, each with at most one file descriptor.
//!
//! Source: QEMU's `docs/specs/ivshmem-spec.rst`, "Client-Server protocol", version 0. Everything flows from the server
//! to the client; a client never sends.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The only protocol version there is; it is the first message on every connection.
pub const VERSION: i64 = 0;

/// The value of the message that carries the shared memory's descriptor.
pub const MEMORY: i64 = -1;

/// Peer ids are 0 to 65535: the doorbell register has 16 bits for one.
pub const IDS: u32 = 1 << 16;

/// The most interrupt vectors a peer can have: the most entries an MSI-X table can have.
pub const MAX_VECTORS: u16 = 2048;

/// Bytes of one message.
pub const MESSAGE_LEN: usize = 8;

/// Sends one message in one call, without waiting.
///
/// # Errors
/// `AGAIN` while the socket's buffer is full, `TOOMANYREFS` while the kernel holds too many descriptors in flight
/// for this user, anything else when the connection is lost. Nothing was sent in any of these cases.
pub(crate) fn send(socket: BorrowedFd<'_>, value: i64, descriptor: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let bytes = value.to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::NOBUFS);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    match rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, flags)? {
        MESSAGE_LEN => Ok(()),
        // A stream socket may take part of a message in principle; Linux never splits one this small. There is no
        // way back from half a message that carried a descriptor, so the connection counts as lost.
        _ => Err(Errno::PIPE),
    }
}

/// What one read from the socket gave.
#[derive(Debug)]
pub(crate) enum Received {
    /// This many bytes are at the start of the buffer, and these descriptors came with them.
    Bytes(usize, Vec<OwnedFd>),
    /// Nothing is waiting.
    Nothing,
    /// The other end closed the connection.
    End,
    /// A descriptor was sent, but this process has no free number for it (`RLIMIT_NOFILE`).
    DescriptorLost,
}

/// Reads at most `buffer.len()` bytes without waiting.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received, Errno> {
    // Room for more descriptors than a message may carry, so that a surplus is seen and not silently cut off.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = loop {
        match rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
            Ok(message) => break message,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Received::Nothing),
            // The server dropped us with messages of its own still unread.
            Err(Errno::CONNRESET) => return Ok(Received::End),
            Err(error) => return Err(error),
        }
    };
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if message.flags.contains(ReturnFlags::CTRUNC) && descriptors.len() < 2 {
        return Ok(Received::DescriptorLost);
    }
    if message.bytes == 0 {
        return Ok(Received::End);
    }
    Ok(Received::Bytes(message.bytes, descriptors))
}
