//! What the tests are made of: a client that sees bytes, a server that tells its events, and what a server says.

use std::fmt::Debug;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ivshmem_server::client::News;
use ivshmem_server::{Client, Event, Options, Running};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tempfile::TempDir;

/// When a wait for something that must come counts as failed.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `descriptor` is readable (or at its end).
pub fn wait_readable(descriptor: impl AsFd) {
    let limit = Timespec::try_from(LIMIT).unwrap();
    let ready = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ready, 1, "nothing came");
}

/// Whether `descriptor` is readable now.
pub fn is_readable(descriptor: impl AsFd) -> bool {
    poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
}

/// One message as it came.
#[derive(Debug)]
pub struct Message {
    pub bytes: [u8; 8],
    pub descriptor: Option<OwnedFd>,
}

impl Message {
    /// Value and whether there was a descriptor.
    pub fn shape(&self) -> (i64, bool) {
        (i64::from_le_bytes(self.bytes), self.descriptor.is_some())
    }
}

/// A client that sees bytes.
#[derive(Debug)]
pub struct Raw {
    pub socket: UnixStream,
}

impl Raw {
    pub fn connect(path: impl AsRef<Path>) -> Self {
        Self { socket: UnixStream::connect(path).unwrap() }
    }

    /// The next message; `None` at the end. Each has to come in one piece, and with at most one descriptor.
    pub fn next(&self) -> Option<Message> {
        wait_readable(&self.socket);
        let mut bytes = [0xaa; 8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::CONNRESET) => return None,
                received => received.unwrap(),
            };
        let mut descriptors = Vec::new();
        for part in control.drain() {
            let RecvAncillaryMessage::ScmRights(rights) = part else { panic!("not a descriptor") };
            descriptors.extend(rights);
        }
        if received.bytes == 0 {
            assert!(descriptors.is_empty());
            return None;
        }
        assert_eq!(received.bytes, 8);
        assert!(descriptors.len() <= 1);
        Some(Message { bytes, descriptor: descriptors.pop() })
    }

    /// The next message, which must have this value and (not) a descriptor. Returns the descriptor.
    #[track_caller]
    pub fn expect(&self, value: i64, with_descriptor: bool) -> Option<OwnedFd> {
        let message = self.next().expect("the connection ended");
        assert_eq!(message.shape(), (value, with_descriptor));
        message.descriptor
    }

    /// `count` vectors of peer `id`.
    #[track_caller]
    pub fn expect_vectors(&self, id: i64, count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| self.expect(id, true).unwrap()).collect()
    }

    /// The end of the connection, next.
    #[track_caller]
    pub fn expect_end(&self) {
        assert!(self.next().is_none());
    }

    /// Version, id and memory. Returns the memory.
    #[track_caller]
    pub fn expect_greeting(&self, id: i64) -> OwnedFd {
        self.expect(0, false);
        self.expect(id, false);
        self.expect(-1, true).unwrap()
    }
}

/// Says one message of the protocol, as a server would: a value, and maybe a descriptor with it.
pub fn say(socket: impl AsFd, value: i64, descriptor: Option<&OwnedFd>) {
    let descriptors: Vec<_> = descriptor.iter().map(|descriptor| descriptor.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    }
    let sent = sendmsg(socket, &[IoSlice::new(&value.to_le_bytes())], &mut control, SendFlags::empty());
    assert_eq!(sent, Ok(8));
}

/// A server in a folder of its own.
pub struct Rig {
    pub folder: TempDir,
    pub server: Running,
    pub events: Receiver<Event>,
}

impl Rig {
    pub fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, events) = channel();
        let options = change(Options::new(folder.path().join("socket")));
        let server = Running::start(options, move |event| sender.send(*event).unwrap_or_default()).unwrap();
        Self { folder, server, events }
    }

    pub fn vectors(vectors: u16) -> Self {
        Self::with(|options| Options { vectors, ..options })
    }

    pub fn connect(&self) -> Raw {
        Raw::connect(self.server.socket())
    }

    /// The next event.
    #[track_caller]
    pub fn event(&self) -> Event {
        self.events.recv_timeout(LIMIT).expect("no event")
    }

    #[track_caller]
    pub fn expect_joined(&self, id: u16) {
        assert_eq!(self.event(), Event::Joined { id });
    }
}

/// A name for POSIX shared memory that nobody else has; removed on drop if the test left it.
pub struct SharedMemoryName(pub String);

impl SharedMemoryName {
    pub fn new(test: &str) -> Self {
        Self(format!("ivshmem-test-{test}-{}", std::process::id()))
    }

    pub fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.0)
    }
}

impl Drop for SharedMemoryName {
    fn drop(&mut self) {
        let _not_there = std::fs::remove_file(self.path());
    }
}

/// The client's next news, which must come.
#[track_caller]
pub fn news(client: &mut Client) -> News {
    client.wait(Some(Instant::now() + LIMIT)).unwrap().expect("no news")
}

/// Rings an eventfd.
pub fn ring(descriptor: impl AsFd) {
    assert_eq!(rustix::io::write(descriptor, &1_u64.to_ne_bytes()), Ok(8));
}

/// Waits for an eventfd to be rung and returns how often it was.
pub fn rung(descriptor: impl AsFd) -> u64 {
    wait_readable(&descriptor);
    let mut count = [0; 8];
    assert_eq!(rustix::io::read(descriptor, &mut count), Ok(8));
    u64::from_ne_bytes(count)
}

/// The error of a start that must fail.
#[track_caller]
pub fn refused<T: Debug, E>(outcome: Result<T, E>) -> E {
    match outcome {
        Ok(value) => panic!("not refused: {value:?}"),
        Err(error) => error,
    }
}

/// A process that does not outlive the test, even if that fails.
#[derive(Debug)]
pub struct Guarded(pub Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}
