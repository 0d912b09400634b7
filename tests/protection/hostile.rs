//! Memory that a hostile peer writes: bounds of every call, and no panic whatever is read.

use super::*;
use ivshmem::fake::input::Input;
use ivshmem::fake::memory::{Bound, Disturbance, Oracle, Words};
use proptest::collection::vec;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};

const RECEIVE: Bound = Bound { loads: 3, stores: 2, words: 3 + 4 };
const SEND: Bound = Bound { loads: 2, stores: 1 + 4 + SLOTS, words: 3 + 4 };

const READ: Bound = Bound { loads: 3, stores: 0, words: 3 + 4 };
const WRITE: Bound = Bound { loads: 1, stores: 3, words: 3 + 4 };

/// The First end receives on channel 0, reads channel 4, sends on channel 2 and writes channel 6, as the input says, against a peer that does the
/// reverse, honestly, and that the input lets tamper with anything but the link.
fn drive(bytes: &[u8]) {
    let input = Input::new(bytes);
    let words = Words::new(Mailbox::<Words>::required_len(&CHANNELS).unwrap());
    let second = Snapshot::new(&words, &CHANNELS).link(End::Second).offset;
    let tampered = Cell::new(false);
    let mut peer = Mailbox::new(words.clone(), End::Second, &CHANNELS).unwrap();
    let (mut peer_link, mut peer_channels) = peer.attach(Attach::polled());
    let peer = RefCell::new((
        peer_channels.protected_sender(0, SOURCE).unwrap(),
        peer_channels.protected_receiver(2, EXPECTED, 0).unwrap(),
        peer_channels.protected_writer(4, SOURCE).unwrap(),
    ));
    let step = || {
        let (sender, receiver, writer) = &mut *peer.borrow_mut();
        match input.byte() % 6 {
            0..2 => drop(sender.try_send(&vec![input.byte(); usize::from(input.byte() % 33)]).map(Notice::ignore)),
            2 => drop(receiver.try_recv(&mut [0; 32], 0).map(|_| ())),
            3 => receiver.resync(),
            _ => writer.write(&vec![input.byte(); usize::from(input.byte() % 33)]).unwrap().ignore(),
        }
    };
    let link_lines = [0..0x100, second..second + 0x100].into();
    let oracle = Oracle::new(words, 0..second, &input, &step, &tampered).sparing(link_lines);
    let mut mailbox = Mailbox::new(&oracle, End::First, &CHANNELS).unwrap();
    let (mut link, mut channels) = mailbox.attach(Attach::interrupt_driven(0));
    let mut receiver = channels.protected_receiver(0, EXPECTED, 0).unwrap();
    let mut reader = channels.protected_reader(4, EXPECTED).unwrap();
    let mut sender = channels.protected_sender(2, SOURCE).unwrap();
    let mut writer = channels.protected_writer(6, SOURCE).unwrap();
    for _ in 0..3 {
        oracle.begin_call(Disturbance::None);
        link.poll(0);
        peer_link.poll(0);
    }
    let (mut buffer, mut checked) = ([0; 32], 0);
    while !input.is_empty() {
        let disturbance = [Disturbance::None, Disturbance::Race, Disturbance::Tamper];
        oracle.begin_call(disturbance[usize::from(input.byte()) % 3]);
        match input.byte() % 20 {
            0..3 => step(),
            3 => oracle.scribble(),
            4 => oracle.remember(),
            5 => oracle.replay(second..oracle.len()),
            6..11 => {
                let received = receiver.try_recv(&mut buffer, input.byte().into());
                oracle.end_call(RECEIVE);
                if let Ok(Some(Checked { bytes, status, .. })) = received {
                    checked += 1;
                    assert!(bytes.len() <= 32);
                    let honest =
                        status.is_good() || matches!(status, Status::Stale { .. } | Status::WrongSequence { .. });
                    assert!(honest || tampered.get(), "{status:?} of an honest peer");
                }
            }
            11 => {
                let sent = sender.try_send(&vec![checked as u8; usize::from(input.byte() % 33)]);
                oracle.end_call(SEND);
                assert!(tampered.get() || !matches!(sent, Err(SendError::Violated(_))));
            }
            12 => {
                let _ = sender.try_send_lossy(b"lossy");
                oracle.end_call(SEND);
            }
            13 => {
                let _ = (receiver.arm(), receiver.state(input.byte().into()));
                oracle.end_call(Bound { loads: 2, stores: 2, words: 0 });
            }
            14 => {
                receiver.resync();
                oracle.end_call(Bound { loads: 1, stores: 1, words: 0 });
            }
            15..18 => {
                let read = reader.try_read(&mut buffer, input.byte().into());
                oracle.end_call(READ);
                if let Ok(Checked { bytes, status, .. }) = read {
                    assert!(bytes.len() <= 32);
                    let bad =
                        matches!(status, Status::BadCrc { .. } | Status::WrongSource { .. } | Status::Repeated { .. });
                    assert!(!bad || tampered.get(), "{status:?} of an honest writer");
                }
            }
            18 => {
                writer.write(&vec![checked as u8; usize::from(input.byte() % 33)]).unwrap().ignore();
                oracle.end_call(WRITE);
            }
            _ => {
                reader.resync();
                sender.resync();
                oracle.end_call(Bound { loads: 1, stores: 4 + SLOTS, words: 0 });
            }
        }
    }
    let StatusCounts { ok, some_lost, repeated, wrong_sequence, wrong_source, bad_crc, stale, .. } = receiver.counts();
    assert_eq!(checked, ok + some_lost + repeated + wrong_sequence + wrong_source + bad_crc + stale);
    assert_eq!(receiver.stats().received, checked);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_the_peer_writes_protected_calls_are_bounded_fetch_once_and_never_panic(
        bytes in vec(any::<u8>(), 0..600)
    ) {
        drive(&bytes);
    }
}
