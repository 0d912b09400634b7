//! The mailbox against memory that answers as it likes: bounds of every call, and no panic whatever is read.

use super::config::COMMAND_RESPONSE;
use super::wire::{self, Header, Key, Keyed};
use super::*;
use crate::fake::memory::Oracle;
use crate::notify::Wait;
use proptest::collection::vec;
use proptest::prelude::*;
use std::vec::Vec;

const SLOTS: usize = 64;
const WORDS: usize = 31; // 248 bytes

/// Words a hostile peer would choose: near those an honest one writes, or anything.
fn word() -> impl Strategy<Value = u64> {
    let key = (0u32..4, 0u32..4, 0u32..4).prop_map(|(a, b, generation)| Key::from_bits(a << 20 | b << 8 | generation));
    let keyed = (key.clone(), 0u32..70).prop_map(|(key, count)| Keyed { count, key }.to_word());
    let header = (key.clone(), 0u32..70, prop_oneof![0u16..60, 247u16..250, any::<u16>()], 0u8..2)
        .prop_map(|(key, stamp, length, kind)| Header { stamp, length, kind, tag: key.tag() }.to_word());
    let key = key.prop_map(|key| u64::from(key.bits()));
    prop_oneof![
        Just(0),
        Just(1),
        Just(wire::MAGIC),
        Just(digest(&COMMAND_RESPONSE)),
        0u64..5,
        key,
        keyed,
        header,
        any::<u64>()
    ]
}

struct NoSleep;

impl Wait for NoSleep {
    fn count(&self) -> u32 {
        0
    }

    fn wait(&self, _: u32) -> bool {
        false
    }
}

/// Checks one call's bound, then begins the next.
#[track_caller]
fn within(memory: &Oracle, loads: usize, stores: usize, words: usize) {
    let counted = (memory.loads(), memory.stores(), memory.words_copied());
    assert!(
        counted.0 <= loads && counted.1 <= stores && counted.2 <= words,
        "{counted:?} exceeds {loads}, {stores}, {words}"
    );
    memory.begin_call();
}

/// Drives an end whose link some answers bring up, through calls in the order of `calls`.
fn drive(answers: Vec<u64>, calls: &[u8]) {
    let length = Mailbox::<Oracle>::required_len(&COMMAND_RESPONSE).unwrap();
    let mut mailbox = Mailbox::new(Oracle::new(length, answers), End::First, &COMMAND_RESPONSE).unwrap();
    let (mut link, mut channels) = mailbox.attach(Attach::interrupt_driven(7));
    let (mut receiver, mut sender) = (channels.receiver(0).unwrap(), channels.sender(1).unwrap());
    let memory = link.memory();
    within(memory, 2, 13, 0);
    let mut buffer = [0; 248];
    for call in calls {
        match call % 8 {
            0..3 => {
                let state = link.poll(u64::from(*call));
                // A poll that ends as Waiting may have taken a new epoch: the stores of an attach.
                within(link.memory(), 9, if state == LinkState::Waiting { 2 + 13 } else { 2 }, 0);
            }
            3 => {
                let _ = sender.try_send(&[*call; 248]);
                within(link.memory(), 2, 1 + 4 + SLOTS, WORDS);
            }
            4 => {
                let _ = receiver.try_recv(&mut buffer).map(|message| assert!(message.is_none_or(|m| m.len() <= 248)));
                within(link.memory(), 3, 2, WORDS);
            }
            5 => {
                let _ = receiver.arm();
                within(link.memory(), 1, 2, 0);
            }
            6 => {
                // As `recv`, whose looks are calls of their own.
                assert!(!NoSleep.wait(0));
                let _ = receiver.try_recv(&mut buffer[..20]);
                within(link.memory(), 3, 2, WORDS);
            }
            _ => {
                receiver.resync();
                within(link.memory(), 0, 1, 0);
                sender.resync();
                within(link.memory(), 0, 4 + SLOTS, 0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_the_peer_writes_calls_are_bounded_fetch_once_stay_inside_and_never_panic(
        answers in vec(word(), 1..64), calls in vec(any::<u8>(), 1..64)
    ) {
        drive(answers, &calls);
    }
}

/// As above, with a link that is up: the peer's link line is honest, the channels' words are not.
struct HonestLink {
    oracle: Oracle,
    section: usize,
    epoch: core::cell::Cell<u64>,
}

impl crate::memory::Memory for HonestLink {
    fn len(&self) -> usize {
        self.oracle.len()
    }

    fn load(&self, offset: usize) -> u64 {
        match offset.wrapping_sub(self.section) {
            wire::link::MAGIC => wire::MAGIC,
            wire::link::VERSION => wire::VERSION,
            wire::link::DIGEST => digest(&COMMAND_RESPONSE),
            wire::link::EPOCH => 0x1_0000_0003,
            wire::link::SEEN => self.epoch.get(),
            wire::link::STATE => wire::ATTACHED,
            wire::link::IDENTITY => wire::identity(Some(9)),
            wire::link::WANTS => u64::MAX,
            wire::HEARTBEAT => 1,
            _ => self.oracle.load(offset),
        }
    }

    fn store(&self, offset: usize, value: u64) {
        self.oracle.store(offset, value);
    }

    fn publish(&self, offset: usize, value: u64) {
        if offset == wire::link::EPOCH && value != 0 {
            self.epoch.set(value);
        }
        self.oracle.publish(offset, value);
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        self.oracle.copy_out(offset, bytes);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.oracle.copy_in(offset, bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn on_a_link_that_is_up_hostile_channel_words_are_bounded_fetched_once_and_never_panic(
        answers in vec(word(), 1..64), calls in vec(any::<u8>(), 1..200)
    ) {
        let length = Mailbox::<Oracle>::required_len(&COMMAND_RESPONSE).unwrap();
        let memory = HonestLink { oracle: Oracle::new(length, answers), section: 0x5000, epoch: 0.into() };
        let mut mailbox = Mailbox::new(memory, End::First, &COMMAND_RESPONSE).unwrap();
        let (mut link, mut channels) = mailbox.attach(Attach::interrupt_driven(7));
        let (mut receiver, mut sender) = (channels.receiver(0).unwrap(), channels.sender(1).unwrap());
        link.memory().oracle.begin_call();
        link.poll(0);
        prop_assert!(link.poll(0).is_up());
        link.memory().oracle.begin_call();
        let mut buffer = [0; 248];
        let mut received = 0;
        for call in calls {
            match call % 4 {
                0 => {
                    let _ = sender.try_send(&[call; 248]);
                    within(&link.memory().oracle, 2, 1 + 4 + SLOTS, WORDS);
                    prop_assert!(sender.in_flight() <= SLOTS as u64);
                }
                1 | 2 => {
                    let result = receiver.try_recv(&mut buffer).map(|message| message.map(<[u8]>::len));
                    within(&link.memory().oracle, 3, 2, WORDS);
                    received += u64::from(matches!(result, Ok(Some(_))));
                    prop_assert!(result.is_ok_and(|length| length.is_none_or(|length| length <= 248)) || result.is_err());
                    if call > 240 {
                        receiver.resync();
                        sender.resync();
                        link.memory().oracle.begin_call();
                    }
                }
                _ => {
                    let _ = receiver.arm();
                    within(&link.memory().oracle, 1, 2, 0);
                }
            }
        }
        prop_assert_eq!(receiver.stats().received, received);
    }
}
