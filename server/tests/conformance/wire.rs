//! The bytes, their order, and the descriptors (docs/specs/ivshmem-spec.rst, "Client-Server protocol").

use std::os::fd::{AsFd, AsRawFd};

use ivshmem_server::{Event, Leaving, Options, Refusal};
use rustix::fs::{OFlags, fcntl_getfl, fstat};

use crate::raw::{Rig, is_readable, ring, rung};

#[test]
fn the_first_client_gets_version_id_memory_and_its_vectors_byte_for_byte() {
    let rig = Rig::vectors(2);
    let client = rig.connect();
    let expected: [([u8; 8], bool); 5] = [
        ([0, 0, 0, 0, 0, 0, 0, 0], false),
        ([0, 0, 0, 0, 0, 0, 0, 0], false),
        ([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], true),
        ([0, 0, 0, 0, 0, 0, 0, 0], true),
        ([0, 0, 0, 0, 0, 0, 0, 0], true),
    ];
    for (bytes, with_descriptor) in expected {
        let message = client.next().unwrap();
        assert_eq!(message.bytes, bytes);
        assert_eq!(message.descriptor.is_some(), with_descriptor);
    }
    // What comes next is the next client, so there was nothing after the vectors.
    let _other = rig.connect();
    assert_eq!(client.next().unwrap().bytes, [1, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn ids_are_64_bit_little_endian() {
    let rig = Rig::with(|options| Options { first_id: 0xfeed, ..options });
    let client = rig.connect();
    client.expect(0, false);
    assert_eq!(client.next().unwrap().bytes, [0xed, 0xfe, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_memory_descriptor_has_the_size_asked_for() {
    let rig = Rig::with(|options| Options { size: 1 << 20, ..options });
    let memory = rig.connect().expect_greeting(0);
    assert_eq!(fstat(&memory).unwrap().st_size, 1 << 20);
}

#[test]
fn vectors_are_non_blocking_eventfds() {
    let rig = Rig::vectors(1);
    let client = rig.connect();
    client.expect_greeting(0);
    let vector = client.expect(0, true).unwrap();
    let link = std::fs::read_link(format!("/proc/self/fd/{}", vector.as_raw_fd())).unwrap();
    assert_eq!(link.to_str(), Some("anon_inode:[eventfd]"));
    assert!(fcntl_getfl(&vector).unwrap().contains(OFlags::NONBLOCK));
}

#[test]
fn a_newcomer_gets_the_others_vectors_before_its_own_and_the_others_get_its() {
    let rig = Rig::vectors(2);
    let first = rig.connect();
    first.expect_greeting(0);
    let first_own = first.expect_vectors(0, 2);
    let second = rig.connect();
    second.expect_greeting(1);
    let first_seen_by_second = second.expect_vectors(0, 2);
    let second_own = second.expect_vectors(1, 2);
    let second_seen_by_first = first.expect_vectors(1, 2);

    let third = rig.connect();
    third.expect_greeting(2);
    third.expect_vectors(0, 2);
    third.expect_vectors(1, 2);
    third.expect_vectors(2, 2);
    first.expect_vectors(2, 2);
    second.expect_vectors(2, 2);

    // The n-th descriptor of an id is the same eventfd for everybody.
    ring(&second_seen_by_first[1]);
    assert_eq!(rung(&second_own[1]), 1);
    assert!(!is_readable(&second_own[0]));
    ring(&first_seen_by_second[0]);
    ring(&first_seen_by_second[0]);
    assert_eq!(rung(&first_own[0]), 2, "doorbells add up");
    assert!(!is_readable(&first_own[1]));
}

#[test]
fn who_leaves_is_announced_once_by_its_id_without_a_descriptor() {
    let rig = Rig::vectors(2);
    let first = rig.connect();
    first.expect_greeting(0);
    first.expect_vectors(0, 2);
    let second = rig.connect();
    first.expect_vectors(1, 2);
    let third = rig.connect();
    first.expect_vectors(2, 2);
    drop(second);
    let message = first.next().unwrap();
    assert_eq!(message.bytes, [1, 0, 0, 0, 0, 0, 0, 0]);
    assert!(message.descriptor.is_none());
    drop(third);
    first.expect(2, false);
}

#[test]
fn ids_count_up_and_are_not_given_again() {
    let rig = Rig::vectors(1);
    for id in 0..20 {
        let client = rig.connect();
        client.expect_greeting(id);
        client.expect(id, true);
        let id = u16::try_from(id).unwrap();
        rig.expect_joined(id);
        drop(client);
        assert_eq!(rig.event(), Event::Left { id, why: Leaving::Closed });
    }
}

#[test]
fn ids_go_on_from_0_after_65535() {
    let rig = Rig::with(|options| Options { first_id: 65534, ..options });
    let clients: Vec<_> = [65534, 65535, 0, 1]
        .into_iter()
        .map(|id| {
            let client = rig.connect();
            client.expect_greeting(id);
            client
        })
        .collect();
    drop(clients);
}

#[test]
fn when_all_ids_are_spent_clients_are_refused_until_nobody_is_left_who_knew_their_owners() {
    let rig = Rig::vectors(1);
    let witness = rig.connect();
    witness.expect_greeting(0);
    rig.expect_joined(0);
    // The witness does not read: most of the others come and go unseen, which does not matter.
    for id in 1..=65535 {
        drop(rig.connect());
        rig.expect_joined(id);
        assert_eq!(rig.event(), Event::Left { id, why: Leaving::Closed });
    }
    rig.connect().expect_end();
    assert_eq!(rig.event(), Event::Refused(Refusal::NoIdLeft));
    drop(witness);
    assert_eq!(rig.event(), Event::Left { id: 0, why: Leaving::Closed });
    rig.connect().expect_greeting(1);
}

#[test]
fn there_can_be_2048_vectors() {
    const VECTORS: usize = 2048;
    let rig = Rig::vectors(2048);
    let first = rig.connect();
    first.expect_greeting(0);
    let own = first.expect_vectors(0, VECTORS);
    let second = rig.connect();
    second.expect_greeting(1);
    for vector in &own {
        let theirs = second.expect(0, true).unwrap();
        ring(theirs);
        assert_eq!(rung(vector.as_fd()), 1);
    }
    for _ in 0..VECTORS {
        second.expect(1, true);
        first.expect(1, true);
    }
    drop(second);
    first.expect(1, false);
}
