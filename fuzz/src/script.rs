//! What a hostile server sends: bytes in any pieces, with descriptors of any kind.

use ivshmem::fake::input::Input;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The most descriptors that one piece carries.
const MOST: usize = 6;

/// One call's worth of bytes and descriptors.
#[derive(Debug)]
pub struct Piece {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    out_of_band: bool,
}

/// All that is sent, to be sent by whoever plays the server.
pub fn pieces(input: &Input<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let id = u16::from(input.byte()) % 4;
    let lies = input.byte();
    if !lies.is_multiple_of(4) {
        // A greeting as an honest server's, but for one thing perhaps.
        let version = if lies & 0x10 == 0 { 0 } else { input.u64() };
        let own = if lies & 0x20 == 0 { u64::from(id) } else { input.u64() };
        let kind = if lies & 0x40 == 0 { 0 } else { input.byte() };
        let memory = if lies & 0x80 == 0 { u64::MAX } else { input.u64() };
        pieces.extend([plain(version), plain(own), Piece { descriptors: vec![descriptor(kind)], ..plain(memory) }]);
    }
    while !input.is_empty() && pieces.len() < 200 {
        pieces.push(piece(input, id));
    }
    pieces
}

fn plain(value: u64) -> Piece {
    Piece { bytes: value.to_le_bytes().into(), descriptors: Vec::new(), out_of_band: false }
}

fn piece(input: &Input<'_>, id: u16) -> Piece {
    let what = input.byte();
    let near = u64::from(input.byte() % 8);
    match what % 8 {
        // Comings and goings, mostly of a few peers.
        0..3 => Piece { descriptors: vec![descriptor(1)], ..plain(near) },
        3 => Piece { descriptors: vec![descriptor(1)], ..plain(id.into()) },
        4 => plain(near),
        5 => Piece { descriptors: (0..near % MOST as u64).map(|_| descriptor(input.byte())).collect(), ..plain(near) },
        6 => plain(input.u64()),
        _ => Piece {
            bytes: input.bytes(usize::from(what / 8) % 20 + 1).into(),
            descriptors: (0..near % 3).map(|_| descriptor(input.byte())).collect(),
            out_of_band: what >= 0xF0,
        },
    }
}

/// A descriptor: of kind 0 shared memory, of kind 1 an eventfd, else what should be neither.
fn descriptor(kind: u8) -> OwnedFd {
    let flags = EventfdFlags::CLOEXEC;
    let made = match kind % 10 {
        0 => memory(65536),
        2 => memory(0),
        3 => memory(12345),
        4 => rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty()),
        5 => epoll::create(epoll::CreateFlags::CLOEXEC),
        6 => rustix::pipe::pipe().map(|(read, _)| read),
        7 => rustix::pipe::pipe().map(|(_, write)| write),
        8 => UnixStream::pair().map(|(one, _)| one.into()).map_err(|_| Errno::MFILE),
        9 => rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()),
        _ => eventfd(0, flags),
    };
    made.expect("a descriptor can be made")
}

fn memory(length: u64) -> Result<OwnedFd, Errno> {
    let memory = memfd_create("fuzz", MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&memory, length)?;
    Ok(memory)
}

/// Sends all of it, or what the other end takes without being read from: how many bytes that were.
pub fn send(socket: &UnixStream, pieces: &[Piece]) -> usize {
    let mut sent = 0;
    for piece in pieces {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<BorrowedFd<'_>> = piece.descriptors.iter().map(AsFd::as_fd).collect();
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        }
        let mut flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if piece.out_of_band {
            flags |= SendFlags::OOB;
        }
        match sendmsg(socket, &[IoSlice::new(&piece.bytes)], &mut control, flags) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    sent
}
