//! Where the device's peers are: a server of this project, and a process of the host as a peer.

use ivshmem::notify::Doorbell;
use ivshmem_server::client::{News, RingError};
use ivshmem_server::{Client, Options, Running};
use rustix::event::{PollFd, PollFlags, poll};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Something is broken that takes longer. Nothing is ever waited for that does not happen.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The host process's id; peers that come later count up from it.
pub const HOST: u16 = 40;
/// Bytes of shared memory.
pub const SIZE: u64 = 1 << 20;

/// A server and a host process that was its first client.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    server: Option<Running>,
    pub host: Client,
    last: Option<Client>,
    vectors: u16,
}

impl Site {
    pub fn new(vectors: u16) -> Self {
        Self::first(vectors, HOST, SIZE)
    }

    /// A site whose host process has the id `first`, with `size` bytes of memory.
    pub fn first(vectors: u16, first: u16, size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { vectors, size, first_id: first, ..Options::new(folder.path().join("socket")) };
        let server = Running::start(options, |_| {}).unwrap();
        let host = Client::connect(server.socket()).unwrap();
        let mut site = Self { folder, server: Some(server), host, last: None, vectors };
        while site.host.vectors().len() < usize::from(vectors) {
            site.news();
        }
        site
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub fn vectors(&self) -> u16 {
        self.vectors
    }

    /// The host's next news, which must come.
    #[track_caller]
    pub fn news(&mut self) -> News {
        self.host.wait(Some(Instant::now() + LIMIT)).unwrap().expect("no news from the server")
    }

    /// Waits until the host process can ring every vector of a peer.
    #[track_caller]
    pub fn meet(&mut self, peer: u16) {
        while !self.host.peers().any(|known| known == (peer, self.vectors.into())) {
            self.news();
        }
    }

    /// Waits until QEMU has taken all that the server sent it so far: then it can ring a peer that comes last. That peer stays, for
    /// of peers that left QEMU 7.2 frees the vectors once more when its device is ejected.
    #[track_caller]
    pub fn heard(&mut self, ring: impl Fn(u16, u16)) {
        let mut last = Client::connect(self.server.as_ref().unwrap().socket()).unwrap();
        while last.vectors().is_empty() {
            last.wait(Some(Instant::now() + LIMIT)).unwrap().expect("no vector from the server");
        }
        until_rung(&last, || ring(last.id(), 0));
        self.meet(last.id());
        self.last = Some(last);
    }

    /// The host process rings.
    #[track_caller]
    pub fn ring(&self, peer: u16, vector: u16) {
        self.host.ring(peer, vector).unwrap();
    }

    /// Waits until a vector of the host process was rung, and takes how often.
    #[track_caller]
    pub fn rung(&self, vector: u16) -> u64 {
        let event = &self.host.vectors()[usize::from(vector)];
        let limit = LIMIT.try_into().unwrap();
        assert_eq!(poll(&mut [PollFd::new(event, PollFlags::IN)], Some(&limit)), Ok(1), "vector {vector} was not rung");
        let mut count = [0; 8];
        assert_eq!(rustix::io::read(event, &mut count), Ok(8));
        u64::from_ne_bytes(count)
    }

    /// The vectors of the host process that were rung and not taken yet. A device's doorbell is in its peer's eventfd before
    /// the write ends, so this is all of them.
    pub fn waiting(&self) -> Vec<u16> {
        let mut events: Vec<_> = self.host.vectors().iter().map(|event| PollFd::new(event, PollFlags::IN)).collect();
        poll(&mut events, Some(&Duration::ZERO.try_into().unwrap())).unwrap();
        (0..).zip(&events).filter(|(_, event)| event.revents().contains(PollFlags::IN)).map(|(n, _)| n).collect()
    }

    /// The server ends, and whoever is connected goes on without it.
    pub fn close_server(&mut self) {
        self.server.take().unwrap().stop().unwrap();
    }
}

/// Rings until a client hears its vector 0: QEMU knows the client when it has listened to the server.
///
/// Looks without reading: a read is only harmless where QEMU has left the eventfd non-blocking, and whoever joins clears that for
/// everybody.
#[track_caller]
pub fn until_rung(client: &Client, ring: impl Fn()) {
    let start = Instant::now();
    let is_rung =
        || poll(&mut [PollFd::new(&client.vectors()[0], PollFlags::IN)], Some(&Duration::ZERO.try_into().unwrap()));
    while is_rung() != Ok(1) {
        assert!(start.elapsed() < LIMIT, "QEMU does not know peer {}", client.id());
        ring();
    }
}

/// The host process's way to ring.
#[derive(Debug)]
pub struct HostBell<'a>(pub &'a Client);

impl Doorbell for HostBell<'_> {
    type Error = RingError;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        self.0.ring(peer, vector)
    }
}
