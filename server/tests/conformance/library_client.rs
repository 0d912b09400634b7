//! The library's client against the library's server.

use std::os::unix::net::UnixListener;
use std::time::Instant;

use ivshmem_server::Client;
use ivshmem_server::client::{ClientError, News, READS, RingError, Violation};
use rustix::event::{EventfdFlags, eventfd};

use crate::raw::{Rig, news, refused, rung, say};

fn connect(rig: &Rig, vectors: usize) -> Client {
    let mut client = Client::connect(rig.server.socket()).unwrap();
    while client.vectors().len() < vectors {
        news(&mut client);
    }
    client
}

#[test]
fn two_clients_ring_each_other_and_see_each_other_leave() {
    let rig = Rig::vectors(3);
    let mut first = connect(&rig, 3);
    let second = connect(&rig, 3);
    assert_eq!((first.id(), second.id()), (0, 1));
    assert_eq!((first.size(), second.size()), (4 << 20, 4 << 20));
    for vector in 0..3 {
        assert_eq!(news(&mut first), News::PeerVector { peer: 1, vector });
    }
    assert_eq!(first.process().unwrap(), None);
    assert_eq!(first.peers().collect::<Vec<_>>(), [(1, 3)]);
    assert_eq!(second.peers().collect::<Vec<_>>(), [(0, 3)]);

    first.ring(1, 2).unwrap();
    assert_eq!(rung(&second.vectors()[2]), 1);
    second.ring(0, 0).unwrap();
    second.ring(0, 0).unwrap();
    assert_eq!(rung(&first.vectors()[0]), 2);
    first.ring(0, 1).unwrap();
    assert_eq!(rung(&first.vectors()[1]), 1, "its own vector");

    assert_eq!(first.ring(1, 3), Err(RingError::NoVector { peer: 1, vector: 3, vectors: 3 }));
    assert_eq!(first.ring(2, 0), Err(RingError::NoPeer(2)));
    drop(second);
    assert_eq!(news(&mut first), News::PeerLeft { peer: 1 });
    assert_eq!(first.ring(1, 0), Err(RingError::NoPeer(1)));
}

#[test]
fn doorbells_outlive_the_server() {
    let rig = Rig::vectors(1);
    let mut first = connect(&rig, 1);
    let second = connect(&rig, 1);
    assert_eq!(news(&mut first), News::PeerVector { peer: 1, vector: 0 });
    rig.server.stop().unwrap();
    assert_eq!(news(&mut first), News::ServerGone);
    assert_eq!(first.wait(None).unwrap(), None);
    first.ring(1, 0).unwrap();
    assert_eq!(rung(&second.vectors()[0]), 1);
}

#[test]
fn a_doorbell_that_cannot_count_further_does_not_wait_whatever_the_server_hands_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let careless = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let blocking = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        for (value, descriptor) in [(0, None), (3, None), (-1, Some(&blocking)), (3, Some(&blocking))] {
            say(&socket, value, descriptor);
        }
        socket
    });
    let mut client = Client::connect(&path).unwrap();
    assert_eq!(news(&mut client), News::Vector { vector: 0 });
    let full = (u64::MAX - 1).to_ne_bytes();
    assert_eq!(rustix::io::write(&client.vectors()[0], &full), Ok(8));
    client.ring(3, 0).unwrap();
    careless.join().unwrap();
}

#[test]
fn a_server_that_breaks_the_protocol_is_an_error_with_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let impostor = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        say(&socket, 1, None);
        let (socket, _) = listener.accept().unwrap();
        drop(socket);
    });
    let error = refused(Client::connect(&path));
    assert!(matches!(error, ClientError::Violation(Violation::Version(1))), "{error}");
    assert!(matches!(refused(Client::connect(&path)), ClientError::Refused));
    impostor.join().unwrap();
}

#[test]
fn a_server_that_never_stops_talking_holds_no_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let talker = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let memory = rustix::fs::memfd_create("memory", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&memory, 4096).unwrap();
        for (value, descriptor) in [(0, None), (3, None), (-1, Some(&memory))] {
            say(&socket, value, descriptor);
        }
        // Somebody nobody knows has left, again and again; and then this server has.
        for _ in 0..3 * READS + 8 {
            say(&socket, 9, None);
        }
    });
    let mut client = Client::connect(&path).unwrap();
    talker.join().unwrap();
    for _ in 0..2 {
        assert_eq!(client.process().unwrap(), None, "nothing was news in so many reads");
    }
    assert_eq!(client.wait(Some(Instant::now())).unwrap(), None, "past the deadline there is no other try");
    assert_eq!(client.process().unwrap(), Some(News::ServerGone));
}

#[test]
fn where_no_server_is_the_error_has_the_path() {
    let error = refused(Client::connect("/nowhere/at/all"));
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}
