//! The server: one thread, one epoll, and nothing in it that waits for a single client.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use crate::descriptors;
use crate::error::{Error, system};
use crate::event::{Event, Leaving, Refusal};
use crate::ids::{Ids, Serial};
use crate::listener::Listener;
use crate::memory::SharedMemory;
use crate::options::Options;
use crate::outbox::{Outbox, Vectors};

mod peer;
mod running;

use peer::Peer;
pub use running::Running;

/// How many clients are accepted before the present ones have their turn.
const ACCEPTED_IN_A_ROW: usize = 64;

/// When to try again what nothing will tell the end of: too many descriptors in flight, or none left to accept with.
const RETRY: Duration = Duration::from_millis(20);

/// Descriptors that are neither a client's socket nor an eventfd, generously.
const OTHER_DESCRIPTORS: u64 = 32;

const LISTENER: u64 = 0;
const STOP: u64 = 1;
/// Clients' epoll data start here: their serial plus this.
const CLIENTS: u64 = 2;

/// A server, listening. It serves while [`run`](Self::run) runs, and removes on drop what it made: the socket, and the
/// shared memory if that has a name and was not there before.
///
/// When a server goes, its clients are not told that the others left: the guests go on ringing each other.
#[derive(Debug)]
pub struct Server {
    // In this order: the socket's name goes first, so that nobody comes any more.
    listener: Listener,
    memory: SharedMemory,
    options: Options,
    epoll: OwnedFd,
    /// By serial, that is in the order in which they came.
    peers: BTreeMap<Serial, Peer>,
    ids: Ids,
    next_serial: Serial,
    /// Kept open to be given up for accepting, and sending away, a client when no other descriptor is left.
    spare: Option<OwnedFd>,
    /// Whether something has to be tried again without being told when.
    retry: bool,
}

impl Server {
    /// Makes the socket and the memory, and listens.
    ///
    /// Raises this process's limit of open descriptors as far as it may.
    ///
    /// # Errors
    /// [`Error`], with the value that was in the way. Nothing is left behind then.
    pub fn bind(options: Options) -> Result<Self, Error> {
        options.check()?;
        let needed = 2 * descriptors_of_one(&options) + OTHER_DESCRIPTORS;
        if !descriptors::ensure(needed) {
            let (vectors, limit) = (options.vectors, descriptors::limit());
            return Err(Error::DescriptorLimit { vectors, needed, limit });
        }
        // The socket first: as long as it is not ours, another server may be using the memory.
        let listener = Listener::bind(&options.socket, options.socket_mode)?;
        let memory = SharedMemory::open(&options)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("make an epoll"))?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)
            .map_err(system("wait for clients"))?;
        let spare = Some(epoll.try_clone().map_err(|error| Error::System { action: "dup".into(), error })?);
        let ids = Ids::new(options.first_id);
        listener.listen()?;
        Ok(Self { listener, memory, options, epoll, peers: BTreeMap::new(), ids, next_serial: 0, spare, retry: false })
    }

    /// Serves until `stop` is readable or its other end is closed. Tells `report` of clients.
    ///
    /// # Errors
    /// Only if waiting itself fails; no client can cause that.
    pub fn run(&mut self, stop: impl AsFd, mut report: impl FnMut(&Event)) -> Result<(), Error> {
        epoll::add(&self.epoll, &stop, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)
            .map_err(system("wait for the stop signal"))?;
        let outcome = self.serve(&mut report);
        let _no_longer_open = epoll::delete(&self.epoll, &stop);
        outcome
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.options.socket
    }

    /// The shared memory.
    #[must_use]
    pub fn memory_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Bytes of shared memory.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.options.size
    }

    /// Vectors of each client.
    #[must_use]
    pub fn vectors(&self) -> u16 {
        self.options.vectors
    }

    fn serve(&mut self, report: &mut dyn FnMut(&Event)) -> Result<(), Error> {
        let retry = Timespec::try_from(RETRY).unwrap_or_default();
        let mut events = Vec::with_capacity(256);
        loop {
            let timeout = self.retry.then_some(&retry);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(system("wait for events")(error)),
            }
            if std::mem::take(&mut self.retry) {
                self.try_again(report);
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    STOP => return Ok(()),
                    LISTENER => self.accept(report),
                    client => self.attend(client - CLIENTS, event.flags, report),
                }
            }
        }
    }

    /// Takes in who is waiting at the door.
    fn accept(&mut self, report: &mut dyn FnMut(&Event)) {
        for _ in 0..ACCEPTED_IN_A_ROW {
            match self.listener.accept() {
                Ok(socket) => {
                    if let Err(refusal) = self.admit(socket, report) {
                        report(&Event::Refused(refusal));
                    }
                }
                Err(Errno::AGAIN) => return,
                // That client gave up; the next one may not have.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::MFILE) if descriptors::raise_further() => {}
                Err(error) => {
                    report(&Event::Refused(self.refusal(error)));
                    // Left in the queue it would wake us for ever: send it away, on the spare descriptor.
                    let had_spare = self.spare.take().is_some();
                    let sent_away = had_spare && self.listener.accept().is_ok();
                    self.spare = self.epoll.try_clone().ok();
                    if !sent_away {
                        self.look_at_door(false);
                        return;
                    }
                }
            }
        }
    }

    /// Whether epoll tells of waiting clients.
    fn look_at_door(&mut self, look: bool) {
        let flags = if look { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        let _cannot_fail = epoll::modify(&self.epoll, &self.listener, epoll::EventData::new_u64(LISTENER), flags);
        self.retry |= !look;
    }

    /// Makes the client on `socket` a peer, or closes it.
    fn admit(&mut self, socket: OwnedFd, report: &mut dyn FnMut(&Event)) -> Result<(), Refusal> {
        let vectors = self.make_vectors().map_err(|error| self.refusal(error))?;
        let serial = self.next_serial;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(serial + CLIENTS), peer::interest(false))
            .map_err(|error| self.refusal(error))?;
        let oldest = self.peers.keys().next().copied();
        let id = self.ids.take(oldest).ok_or(Refusal::NoIdLeft)?;
        self.next_serial += 1;

        let others = self.peers.values().map(|peer| (peer.id, &peer.vectors));
        let outbox = Outbox::greeting(id, &vectors, others, self.options.backlog);
        for peer in self.peers.values_mut() {
            peer.outbox.arrival(id, &vectors);
        }
        self.peers.insert(serial, Peer::new(id, socket, vectors, outbox));
        report(&Event::Joined { id });
        self.flush_all(report);
        Ok(())
    }

    fn make_vectors(&self) -> Result<Vectors, Errno> {
        let make = || -> Result<Vectors, Errno> {
            (0..self.options.vectors).map(|_| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)).collect()
        };
        match make() {
            Err(Errno::MFILE) if descriptors::raise_further() => make(),
            outcome => outcome,
        }
    }

    fn refusal(&self, error: Errno) -> Refusal {
        match error {
            Errno::MFILE => {
                let needed = descriptors_of_one(&self.options);
                Refusal::DescriptorLimit { needed, limit: descriptors::limit() }
            }
            error => Refusal::System(error.raw_os_error()),
        }
    }

    /// Something happened on a client's socket.
    fn attend(&mut self, serial: Serial, flags: epoll::EventFlags, report: &mut dyn FnMut(&Event)) {
        // It may have been dropped by an earlier event of the same batch.
        let Some(peer) = self.peers.get(&serial) else { return };
        let leaving = if flags.intersects(!epoll::EventFlags::OUT) { peer.why_readable() } else { self.flush(serial) };
        self.remove(leaving.into_iter().map(|why| (serial, why)).collect(), report);
    }

    /// Sends to one client what it can take, and says why it has to leave, if it has to.
    fn flush(&mut self, serial: Serial) -> Option<Leaving> {
        let peer = self.peers.get_mut(&serial)?;
        let data = epoll::EventData::new_u64(serial + CLIENTS);
        match peer.flush(self.memory.as_fd(), self.epoll.as_fd(), data) {
            Ok(congested) => {
                self.retry |= congested;
                peer.outbox.is_overrun().then_some(Leaving::Overrun { backlog: self.options.backlog })
            }
            Err(why) => Some(why),
        }
    }

    /// Sends to every client for which something waits and whose socket was not full when last tried.
    fn flush_all(&mut self, report: &mut dyn FnMut(&Event)) {
        let leaving = self.flush_waiting();
        self.remove(leaving, report);
    }

    fn flush_waiting(&mut self) -> Vec<(Serial, Leaving)> {
        let waiting = |(serial, peer): (&Serial, &Peer)| peer.is_due().then_some(*serial);
        let waiting: Vec<Serial> = self.peers.iter().filter_map(waiting).collect();
        waiting.into_iter().filter_map(|serial| Some((serial, self.flush(serial)?))).collect()
    }

    /// Removes clients and tells the others, of whom that may cost some their place too.
    fn remove(&mut self, mut leaving: Vec<(Serial, Leaving)>, report: &mut dyn FnMut(&Event)) {
        while !leaving.is_empty() {
            for (serial, why) in leaving {
                let Some(gone) = self.peers.remove(&serial) else { continue };
                self.ids.give_back(gone.id, self.next_serial);
                for peer in self.peers.values_mut() {
                    peer.outbox.departure(gone.id);
                }
                report(&Event::Left { id: gone.id, why });
            }
            leaving = self.flush_waiting();
        }
    }

    /// What had to be tried again.
    fn try_again(&mut self, report: &mut dyn FnMut(&Event)) {
        if self.spare.is_none() {
            self.spare = self.epoll.try_clone().ok();
        }
        self.look_at_door(true);
        self.flush_all(report);
    }
}

/// A client's socket and eventfds.
fn descriptors_of_one(options: &Options) -> u64 {
    u64::from(options.vectors) + 1
}
