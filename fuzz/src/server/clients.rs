//! Clients that break the protocol, of the project's server, which runs in turns with them on one thread.

use crate::{folder, script};
use ivshmem::fake::input::Input;
use ivshmem_server::client::Session;
use ivshmem_server::{Event, Leaving, Options, Server};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg};
use std::collections::BTreeSet;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Connections of one run.
const CONNECTIONS: usize = 24;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// A server, and who it says is there.
struct Room {
    server: Server,
    /// Readable for ever: the server serves what has come, and returns.
    stop: UnixStream,
    present: BTreeSet<u16>,
    /// Who was dropped because more waited for them than the backlog, which is small here.
    overrun: BTreeSet<u16>,
}

impl Room {
    fn new(input: &Input<'_>) -> Self {
        let folder = FOLDER.get_or_init(|| folder::make("server"));
        let server = Server::bind(Options {
            vectors: 1 + u16::from(input.byte() % 3),
            backlog: usize::from(input.byte() % 4),
            first_id: input.u16(),
            size: 4096,
            ..Options::new(folder.join("socket"))
        });
        let (stop, _) = UnixStream::pair().expect("a pair of sockets can be made");
        Self { server: server.expect("a server can be made"), stop, present: BTreeSet::new(), overrun: BTreeSet::new() }
    }

    /// Lets the server do what there is to do, and says whether it told of anything.
    fn serve(&mut self) -> bool {
        let Self { server, stop, present, overrun } = self;
        let mut told = false;
        let served = server.run(&*stop, |event| {
            told = true;
            match *event {
                Event::Joined { id } => assert!(present.insert(id), "{id} was given twice"),
                Event::Left { id, why } => {
                    assert!(present.remove(&id), "{id} left, and was not there");
                    if matches!(why, Leaving::Overrun { .. }) {
                        overrun.insert(id);
                    }
                }
                Event::Refused(refusal) => panic!("{refusal:?} although there is room"),
            }
        });
        served.expect("no client ends the server");
        told
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.server.socket()).expect("the server listens")
    }
}

/// Connects and misbehaves as the input says; at the end an honest client finds everything in order.
pub fn run(input: &Input<'_>) {
    let mut room = Room::new(input);
    let mut clients: Vec<UnixStream> = Vec::new();
    let mut connections = 0;
    while !input.is_empty() {
        let (what, which) = (input.byte(), usize::from(input.byte()));
        match what % 12 {
            0..3 if connections < CONNECTIONS => {
                clients.push(room.connect());
                connections += 1;
            }
            3..6 => {
                room.serve();
            }
            _ if clients.is_empty() => {}
            6 => {
                clients.swap_remove(which % clients.len());
            }
            7 => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][usize::from(input.byte()) % 3];
                let _ = clients[which % clients.len()].shutdown(how);
            }
            8 => {
                let flags = if input.byte().is_multiple_of(4) { SendFlags::OOB } else { SendFlags::empty() };
                let bytes = input.bytes(usize::from(what / 12) + 1);
                let flags = flags | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                let _ = rustix::net::send(&clients[which % clients.len()], bytes, flags);
            }
            9 => {
                let pieces = script::pieces(&Input::new(&[1, 0, what]));
                script::send(&clients[which % clients.len()], &pieces);
            }
            _ => {
                let mut session = Session::default();
                // What it reads may begin anywhere.
                take(&clients[which % clients.len()], &mut session, usize::from(input.byte()));
            }
        }
    }
    check(room, clients);
}

/// An honest client joins, and finds who is there; when all others have gone it is told, and alone.
fn check(mut room: Room, clients: Vec<UnixStream>) {
    let vectors = usize::from(room.server.vectors());
    let honest = room.connect();
    let mut session = Session::default();
    settle(&mut room, &honest, &mut session);
    let (own, _) = session.memory().expect("an honest client is greeted");
    if room.overrun.contains(&own) {
        // All others came and went in the moment in which it could not read.
        return;
    }
    let mut found: BTreeSet<u16> = session.peers().map(|(peer, _)| peer).collect();
    assert!(found.insert(own) && found == room.present, "{own} of {found:?}, and the server says {:?}", room.present);
    let complete = session.vectors().len() == vectors && session.peers().all(|(_, ours)| ours.len() == vectors);
    assert!(complete, "vectors are missing");
    drop(clients);
    settle(&mut room, &honest, &mut session);
    let left = (session.peers().count(), room.present.len());
    assert!(left == (0, 1) || room.overrun.contains(&own), "{left:?} are left");
}

/// Serves and reads until nothing comes any more.
fn settle(room: &mut Room, client: &UnixStream, session: &mut Session) {
    let mut quiet = 0;
    while quiet < 2 {
        let told = room.serve();
        let read = take(client, session, usize::MAX);
        quiet = if told || read { 0 } else { quiet + 1 };
    }
    assert_eq!(session.violation(), None, "the server broke the protocol");
}

/// Reads up to `most` messages that are there, and says whether there were any.
fn take(socket: &UnixStream, session: &mut Session, most: usize) -> bool {
    for read in 0..most {
        let mut bytes = [0; 8];
        let wanted = session.wanted();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes[..wanted])], &mut control, flags) {
            Ok(received) if received.bytes > 0 => received,
            Ok(_) | Err(Errno::AGAIN | Errno::CONNRESET) => return read > 0,
            Err(error) => panic!("{error}"),
        };
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                descriptors.extend(rights);
            }
        }
        if session.push(&bytes[..received.bytes], descriptors).is_err() {
            return true;
        }
    }
    most > 0
}
