//! A server's socket: this process is a peer beside the VMs, with an id and doorbells of its own.

use super::{Backend, Kind, RingError};
use crate::{Mapping, OpenError, Vector};
use ivshmem::notify::Doorbell;
use ivshmem_server::client::{self, Client, ClientError, GREETING_LIMIT};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// The most vectors a peer can have: the most entries an MSI-X table can have.
const MAX_VECTORS: usize = 2048;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Socket {
    memory: Mapping,
    id: u16,
    client: Mutex<Client>,
    /// Filled in as the server announces them.
    vectors: Box<[OnceLock<Vector>]>,
    opened: Instant,
}

impl Socket {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let client = Client::connect(path).map_err(|error| match error {
            ClientError::Connect { error, .. } => OpenError::io("connect to", path, &error),
            error => OpenError::Server { path: path.to_owned(), message: error.to_string() },
        })?;
        let length = usize::try_from(client.size()).unwrap_or(usize::MAX);
        let memory = Mapping::new(client.memory_fd(), 0, length)
            .map_err(|errno| OpenError::system("map the shared memory of", path, errno))?;
        let vectors = (0..MAX_VECTORS).map(|_| OnceLock::new()).collect();
        Ok(Self { memory, id: client.id(), client: Mutex::new(client), vectors, opened: Instant::now() })
    }

    fn client(&self) -> MutexGuard<'_, Client> {
        // A panic elsewhere leaves the client as good as it was: each of its calls is complete in itself.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the own vectors that the client has received.
    fn take_vectors(&self, client: &Client) {
        for (place, fd) in self.vectors.iter().zip(client.vectors()) {
            if place.get().is_none()
                && let Ok(fd) = fd.try_clone()
            {
                // Set already only if another thread was faster, with the same eventfd.
                let _ = place.set(Vector::from_eventfd(fd));
            }
        }
    }
}

/// The most news taken in before a doorbell is rung: a server that never stops talking delays it by no more.
const NEWS: usize = 1024;

impl Doorbell for Socket {
    type Error = RingError;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        if vector > 255 {
            return Err(RingError::Vector { vector });
        }
        let mut client = self.client();
        // Who came and who left since the last ring. A server that is gone, or talks nonsense from now on, changes
        // nothing about the peers known so far: their doorbells go on working.
        for _ in 0..NEWS {
            let Ok(Some(_)) = client.process() else { break };
        }
        client.ring(peer, vector).map_err(|error| match error {
            client::RingError::NoPeer(peer) => RingError::NoPeer { peer },
            client::RingError::NoVector { peer, vector, vectors } => RingError::NoVector { peer, vector, vectors },
            client::RingError::Write { peer, vector, errno } => RingError::System { peer, vector, errno },
        })
    }
}

impl Backend for Socket {
    fn way(&self) -> &'static str {
        "socket"
    }

    fn kind(&self) -> Kind {
        Kind::Doorbell
    }

    fn id(&self) -> Option<u16> {
        Some(self.id)
    }

    fn memory(&self) -> &Mapping {
        &self.memory
    }

    fn vector(&self, number: u16) -> Option<&Vector> {
        let place = self.vectors.get(usize::from(number))?;
        if place.get().is_none() {
            let mut client = self.client();
            while client.vectors().len() <= usize::from(number) {
                match client.wait(Some(self.opened + GREETING_LIMIT)) {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
            self.take_vectors(&client);
        }
        place.get()
    }
}
