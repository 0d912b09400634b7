//! The client's side: a host process as a peer.
//!
//! A [`Client`] is what a QEMU with an `ivshmem-doorbell` device is to the server: it receives an id, the shared
//! memory, its own vectors to wait on and the others' to ring. It works with any server of protocol version 0.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use thiserror::Error;

use crate::descriptors;
use crate::protocol::{self, MESSAGE_LEN, Received};

mod session;

pub use session::{News, Session, Violation};

/// How long [`Client::connect`] waits for the server's first three messages. A server sends them at once.
pub const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// The most reads of [`Client::process`] in a call.
pub const READS: usize = 64;

/// Why there is no (further) talk with the server.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The socket could not be connected to.
    #[error("cannot connect to the ivshmem server at {path}: {error}")]
    Connect {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The server closed the connection before it had sent an id and the memory: it has no id left, is out of
    /// descriptors, or is stopping. Its own log tells which.
    #[error("the ivshmem server closed the connection before it sent an id and the shared memory")]
    Refused,
    /// The server did not send its first three messages within [`GREETING_LIMIT`].
    #[error("no greeting from the ivshmem server within {} s", .0.as_secs())]
    Silent(Duration),
    /// The server broke the protocol.
    #[error("the ivshmem server broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// A descriptor was lost because this process may have only this many open.
    #[error("out of file descriptors (RLIMIT_NOFILE is {limit}): each peer needs one for every vector")]
    DescriptorLimit {
        /// The limit in force.
        limit: u64,
    },
    /// The system refused something else.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

/// Why a doorbell was not rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RingError {
    /// No such peer now.
    #[error("no peer {0}")]
    NoPeer(u16),
    /// The peer has fewer vectors.
    #[error("peer {peer} has {vectors} vectors, none numbered {vector}")]
    NoVector {
        /// The peer's id.
        peer: u16,
        /// The vector asked for.
        vector: u16,
        /// How many it has (so far).
        vectors: usize,
    },
    /// The write failed with this error number.
    #[error("cannot ring peer {peer} vector {vector}: error number {errno}")]
    Write {
        /// The peer's id.
        peer: u16,
        /// The vector.
        vector: u16,
        /// The system's error number.
        errno: i32,
    },
}

/// A connection to a server, past its greeting.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    session: Session,
    id: u16,
    memory: OwnedFd,
    size: u64,
    server_gone: bool,
    /// A descriptor was lost: which message it belonged to is not known any more.
    out_of_step: bool,
}

impl Client {
    /// Connects to the server's socket and waits (at most [`GREETING_LIMIT`]) for the id and the memory, as QEMU does
    /// at start-up. The vectors follow: take them with [`process`](Self::process) or [`wait`](Self::wait).
    ///
    /// Raises this process's soft limit of open descriptors to its hard limit, since every vector of every peer is
    /// one descriptor.
    ///
    /// # Errors
    /// [`ClientError`], whatever was in the way.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        descriptors::raise_to_hard_limit();
        let stream =
            UnixStream::connect(path).map_err(|error| ClientError::Connect { path: path.to_path_buf(), error })?;
        Self::over(stream)
    }

    /// As [`connect`](Self::connect), over a stream that is connected already: of a process that may not open the socket
    /// itself, and was handed it. Leaves the limit of open descriptors as it is.
    ///
    /// # Errors
    /// [`ClientError`], whatever was in the way.
    pub fn over(stream: UnixStream) -> Result<Self, ClientError> {
        let socket = OwnedFd::from(stream);
        let mut session = Session::default();
        let deadline = Instant::now() + GREETING_LIMIT;
        while session.memory().is_none() {
            match receive(&socket, &mut session)? {
                Step::Message(_) => {}
                Step::Gone => return Err(ClientError::Refused),
                Step::Nothing => {
                    if !readable(&socket, Some(deadline))? {
                        return Err(ClientError::Silent(GREETING_LIMIT));
                    }
                }
            }
        }
        // The loop ended, so both are there.
        let Some((id, memory)) = session.memory() else { return Err(ClientError::Refused) };
        let memory = memory.try_clone().map_err(|error| ClientError::System { what: "dup", error })?;
        let stat = rustix::fs::fstat(&memory).map_err(system("fstat of the shared memory"))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Ok(Self { socket, session, id, memory, size, server_gone: false, out_of_step: false })
    }

    /// Our id, 0 to 65535. Another one at every connection.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The shared memory, to be mapped shared.
    #[must_use]
    pub fn memory_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// The shared memory's size in bytes, as it was at connection.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The other peers known so far: id and number of vectors, in ascending order.
    pub fn peers(&self) -> impl Iterator<Item = (u16, usize)> {
        self.session.peers().map(|(peer, vectors)| (peer, vectors.len()))
    }

    /// Our own vectors received so far: eventfds, non-blocking. Poll one for readability; reading its 8 bytes clears it
    /// and tells how often it was rung since.
    #[must_use]
    pub fn vectors(&self) -> &[OwnedFd] {
        self.session.vectors()
    }

    /// Rings a vector of a peer, or one of our own. Never waits. A doorbell that the peer has not looked at yet and this
    /// one become one.
    ///
    /// # Errors
    /// [`RingError`] when there is no such peer or vector now.
    pub fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        let vectors = self.session.vectors_of(peer).ok_or(RingError::NoPeer(peer))?;
        let bell =
            vectors.get(usize::from(vector)).ok_or(RingError::NoVector { peer, vector, vectors: vectors.len() })?;
        loop {
            match rustix::io::write(bell, &1_u64.to_ne_bytes()) {
                // AGAIN: the counter is at its limit, so the peer is already as much alerted as it can be.
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(RingError::Write { peer, vector, errno: error.raw_os_error() }),
            }
        }
    }

    /// Takes the next news without waiting; `None` when nothing is waiting, or nothing was news in [`READS`] reads. Call it until
    /// `None` whenever the client's descriptor ([`AsFd`]) is readable.
    ///
    /// # Errors
    /// A protocol violation (every later call gives it again), or a full descriptor table, after which the connection is of no
    /// use either (the message that the lost descriptor belonged to is gone).
    pub fn process(&mut self) -> Result<Option<News>, ClientError> {
        for _ in 0..READS {
            if self.server_gone {
                break;
            }
            if self.out_of_step {
                return Err(ClientError::DescriptorLimit { limit: descriptors::limit() });
            }
            match receive(&self.socket, &mut self.session).inspect_err(|error| {
                self.out_of_step = matches!(error, ClientError::DescriptorLimit { .. });
            })? {
                Step::Message(Some(news)) => return Ok(Some(news)),
                Step::Message(None) => {}
                Step::Nothing => return Ok(None),
                Step::Gone => {
                    self.server_gone = true;
                    return Ok(Some(News::ServerGone));
                }
            }
        }
        Ok(None)
    }

    /// As [`process`](Self::process), but waits for news, at most until `deadline` if there is one. `None` only past the
    /// deadline or after [`News::ServerGone`].
    ///
    /// # Errors
    /// As [`process`](Self::process).
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<Option<News>, ClientError> {
        loop {
            if let Some(news) = self.process()? {
                return Ok(Some(news));
            }
            // A server that never stops talking holds nobody past the deadline either.
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if self.server_gone || late || !readable(&self.socket, deadline)? {
                return Ok(None);
            }
        }
    }
}

/// Readable when there is news. After [`News::ServerGone`] it stays readable: poll it no more then.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

enum Step {
    Message(Option<News>),
    Nothing,
    Gone,
}

/// One read and what it means.
fn receive(socket: &OwnedFd, session: &mut Session) -> Result<Step, ClientError> {
    if let Some(violation) = session.violation() {
        return Err(violation.into());
    }
    let mut buffer = [0; MESSAGE_LEN];
    let part = buffer.get_mut(..session.wanted()).unwrap_or_default();
    match protocol::receive(socket.as_fd(), part).map_err(system("read from the ivshmem server"))? {
        Received::Nothing => Ok(Step::Nothing),
        Received::End => Ok(Step::Gone),
        Received::DescriptorLost => Err(ClientError::DescriptorLimit { limit: descriptors::limit() }),
        Received::Bytes(count, descriptors) => {
            // Neither a doorbell of ours may ever wait for a peer, nor a read of our own vector.
            for descriptor in &descriptors {
                set_nonblocking(descriptor)?;
            }
            Ok(Step::Message(session.push(part.get(..count).unwrap_or_default(), descriptors)?))
        }
    }
}

fn set_nonblocking(descriptor: &OwnedFd) -> Result<(), ClientError> {
    let flags = rustix::fs::fcntl_getfl(descriptor).map_err(system("fcntl"))?;
    rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK).map_err(system("fcntl"))
}

/// Waits until there is something to read; false when the deadline came first.
fn readable(socket: &OwnedFd, deadline: Option<Instant>) -> Result<bool, ClientError> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| left.try_into().ok());
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(system("poll")(error)),
        }
    }
}

fn system(what: &'static str) -> impl Fn(Errno) -> ClientError {
    move |error| ClientError::System { what, error: error.into() }
}
