//! Slow, dead and babbling clients: none of them delays the others, and each is told of as gone.

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use ivshmem_server::{Event, Leaving, Options};
use rustix::net::{SendFlags, send};

use crate::raw::{Guarded, Raw, Rig};

/// More vectors than messages fit into a socket's buffer: who does not read cannot even get its greeting.
const CLOGGING: u16 = 600;

fn watcher(rig: &Rig) -> Raw {
    let watcher = rig.connect();
    watcher.expect_greeting(0);
    watcher.expect(0, true);
    rig.expect_joined(0);
    watcher
}

#[test]
fn a_client_that_never_reads_does_not_delay_50_others() {
    const VECTORS: usize = 16;
    let rig = Rig::vectors(16);
    let asleep = rig.connect();
    rig.expect_joined(0);
    let mut others: Vec<Raw> = Vec::new();
    for id in 1..=50 {
        let other = rig.connect();
        other.expect_greeting(id);
        for peer in 0..=id {
            other.expect_vectors(peer, VECTORS);
        }
        for earlier in &others {
            earlier.expect_vectors(id, VECTORS);
        }
        others.push(other);
    }
    // When it wakes up at last, it has missed nothing.
    asleep.expect_greeting(0);
    for peer in 0..=50 {
        asleep.expect_vectors(peer, VECTORS);
    }
}

#[test]
fn a_client_that_never_reads_is_dropped_past_the_bound() {
    let rig = Rig::with(|options| Options { vectors: CLOGGING, backlog: 3, ..options });
    let asleep = rig.connect();
    rig.expect_joined(0);
    let mut others = Vec::new();
    for id in 1..=3 {
        others.push(rig.connect());
        rig.expect_joined(id);
    }
    // Its own greeting does not count, so three others are still borne.
    others.push(rig.connect());
    rig.expect_joined(4);
    assert_eq!(rig.event(), Event::Left { id: 0, why: Leaving::Overrun { backlog: 3 } });
    let mut messages = 0;
    while asleep.next().is_some() {
        messages += 1;
    }
    assert!(messages < 3 + usize::from(CLOGGING), "it got {messages} messages");
    let last = others.pop().unwrap();
    last.expect_greeting(4);
}

#[test]
fn a_peer_that_comes_and_goes_unseen_is_never_heard_of() {
    let rig = Rig::with(|options| Options { vectors: CLOGGING, backlog: 1, ..options });
    let asleep = rig.connect();
    rig.expect_joined(0);
    for id in 1..=10 {
        drop(rig.connect());
        rig.expect_joined(id);
        assert_eq!(rig.event(), Event::Left { id, why: Leaving::Closed });
    }
    let _stays = rig.connect();
    rig.expect_joined(11);
    asleep.expect_greeting(0);
    asleep.expect_vectors(0, CLOGGING.into());
    asleep.expect_vectors(11, CLOGGING.into());
}

#[test]
fn a_peer_that_leaves_while_it_is_announced_is_announced_as_gone() {
    let rig = Rig::vectors(CLOGGING);
    let slow = rig.connect();
    rig.expect_joined(0);
    slow.expect_greeting(0);
    slow.expect_vectors(0, CLOGGING.into());
    let gone = rig.connect();
    rig.expect_joined(1);
    drop(gone);
    assert_eq!(rig.event(), Event::Left { id: 1, why: Leaving::Closed });
    // As many vectors as fitted, and then the end of it.
    let mut vectors = 0;
    loop {
        match slow.next().unwrap().shape() {
            (1, true) => vectors += 1,
            shape => break assert_eq!(shape, (1, false)),
        }
    }
    assert!((1..CLOGGING).contains(&vectors), "{vectors}");
}

#[test]
fn a_client_that_sends_anything_is_dropped() {
    let rig = Rig::vectors(1);
    let watcher = watcher(&rig);
    let mut babbling = rig.connect();
    rig.expect_joined(1);
    watcher.expect(1, true);
    babbling.socket.write_all(&[0]).unwrap();
    assert_eq!(rig.event(), Event::Left { id: 1, why: Leaving::Spoke });
    watcher.expect(1, false);
    babbling.expect_greeting(1);
    babbling.expect(0, true);
    babbling.expect(1, true);
    babbling.expect_end();
}

#[test]
fn a_client_that_sends_out_of_band_is_dropped() {
    let rig = Rig::vectors(1);
    let watcher = watcher(&rig);
    let babbling = rig.connect();
    rig.expect_joined(1);
    watcher.expect(1, true);
    match send(&babbling.socket, &[0], SendFlags::OOB) {
        Ok(_) => {}
        Err(rustix::io::Errno::OPNOTSUPP) => {
            eprintln!("skipped: this kernel has no out-of-band data on Unix sockets");
            return;
        }
        Err(error) => panic!("{error}"),
    }
    assert!(matches!(rig.event(), Event::Left { id: 1, why: Leaving::Spoke }));
    watcher.expect(1, false);
}

#[test]
fn a_client_that_babbles_without_end_does_not_delay_others() {
    let rig = Rig::vectors(1);
    let watcher = watcher(&rig);
    let mut babbling = rig.connect();
    rig.expect_joined(1);
    watcher.expect(1, true);
    let babbler = std::thread::spawn(move || while babbling.socket.write_all(&[0x55; 4096]).is_ok() {});
    watcher.expect(1, false);
    babbler.join().unwrap();
    let other = rig.connect();
    other.expect_greeting(2);
}

#[test]
fn a_client_that_dies_is_announced_to_the_others() {
    let rig = Rig::vectors(1);
    let watcher = watcher(&rig);
    let mut cat = Command::new("cat");
    cat.stdin(OwnedFd::from(rig.connect().socket)).stdout(Stdio::null());
    let mut dying = Guarded(cat.spawn().unwrap());
    // It holds the connection's other copy, and would go on holding it.
    drop(cat);
    rig.expect_joined(1);
    watcher.expect(1, true);
    dying.0.kill().unwrap();
    watcher.expect(1, false);
    assert_eq!(rig.event(), Event::Left { id: 1, why: Leaving::Closed });
}

#[test]
fn a_client_that_closes_its_sending_half_is_gone() {
    let rig = Rig::vectors(1);
    let watcher = watcher(&rig);
    let half = rig.connect();
    rig.expect_joined(1);
    watcher.expect(1, true);
    half.socket.shutdown(Shutdown::Write).unwrap();
    watcher.expect(1, false);
    assert_eq!(rig.event(), Event::Left { id: 1, why: Leaving::Closed });
}

#[test]
fn a_hundred_that_connect_and_leave_at_once_leave_no_trace() {
    let rig = Rig::vectors(4);
    let watcher = rig.connect();
    watcher.expect_greeting(0);
    watcher.expect_vectors(0, 4);
    rig.expect_joined(0);
    let crowd: Vec<_> = (0..100).map(|_| rig.connect()).collect();
    drop(crowd);
    for _ in 0..200 {
        rig.event();
    }
    let last = rig.connect();
    last.expect_greeting(101);
    // Of the peers that were there before, it only hears of the watcher.
    last.expect_vectors(0, 4);
    last.expect_vectors(101, 4);
    // The watcher saw each of them leave that it saw come.
    let mut present = std::collections::BTreeMap::<i64, usize>::new();
    while present.get(&101) != Some(&4) {
        match watcher.next().unwrap().shape() {
            (id, true) => *present.entry(id).or_default() += 1,
            (id, false) => assert!(present.remove(&id).is_some(), "{id} left and had never come"),
        }
    }
    assert_eq!(present.len(), 1, "{present:?}");
}

#[test]
fn when_the_server_stops_nobody_is_told_that_others_left() {
    let rig = Rig::vectors(1);
    let watcher = watcher(&rig);
    let _other = rig.connect();
    watcher.expect(1, true);
    rig.server.stop().unwrap();
    watcher.expect_end();
}
