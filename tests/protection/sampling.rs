//! Protected samples: the latest value, and what is to be thought of it.

use super::*;
use embedded_hal::delay::DelayNs;
use ivshmem::channel::wire::{self, link};
use proptest::collection::vec;
use proptest::prelude::*;

const CHANNEL: usize = 4;

/// A writer and a reader that have met.
struct Samples {
    writer: ProtectedWriter<'static, SharedMemory>,
    reader: ProtectedReader<'static, SharedMemory>,
    spy: SharedMemory,
    links: (Link<'static, SharedMemory>, Link<'static, SharedMemory>),
    other: ProtectedWriter<'static, SharedMemory>,
}

fn samples() -> Samples {
    let ((mut la, mut ca), (mut lb, mut cb), spy) = ends();
    let (writer, other) = (cb.protected_writer(CHANNEL, SOURCE).unwrap(), cb.protected_writer(5, SOURCE).unwrap());
    let reader = ca.protected_reader(CHANNEL, EXPECTED).unwrap();
    connect(&mut la, &mut lb);
    Samples { writer, reader, spy, links: (la, lb), other }
}

impl Samples {
    fn write(&mut self, value: u8) {
        self.writer.write(&[value; 9]).unwrap().ignore();
    }

    /// The value's first byte, its status, and whether it is new.
    fn read(&mut self, now: u64) -> (u8, Status, bool) {
        let mut buffer = [0; 32];
        let Checked { bytes, status, fresh, .. } = self.reader.read(&mut buffer, now).unwrap();
        (bytes[0], status, fresh)
    }

    /// Where the slot of value `number`, counted from 1, of a channel lies.
    fn slot(&self, channel: usize, number: usize) -> usize {
        Snapshot::new(&self.spy, &CHANNELS).channel(channel).unwrap().slots_at + number % 4 * 64
    }

    /// Makes head and payload of a slot those of another.
    fn copy(&self, from: usize, to: usize) {
        (8..64).step_by(8).for_each(|word| self.spy.store(to + word, self.spy.load(from + word)));
    }
}

#[test]
fn values_are_ok_lost_or_read_again() {
    let mut samples = samples();
    assert_eq!(samples.reader.read(&mut [0; 32], 0), Err(ReadError::Empty));
    samples.write(1);
    assert_eq!(samples.read(1), (1, Status::Ok, true));
    assert_eq!(samples.read(1), (1, Status::Ok, false));
    (2..5).for_each(|value| samples.write(value));
    assert_eq!(samples.read(2), (4, Status::SomeLost { lost: 2 }, true));
    assert_eq!(samples.read(2), (4, Status::Ok, false));
    (5..10).for_each(|value| samples.write(value));
    assert_eq!(samples.read(3), (9, Status::WrongSequence { expected: 4, found: 8 }, true));
    let counts = samples.reader.counts();
    assert_eq!((counts.ok, counts.some_lost, counts.wrong_sequence, counts.lost), (1, 1, 1, 6));
    assert_eq!((samples.writer.max_len(), samples.reader.max_len()), (32, 32));
    assert_eq!(samples.writer.write(&[0; 33]), Err(WriteError::TooLong { len: 33, max: 32 }));
    let small = Err(ReadError::BufferTooSmall { need: 9, have: 8 });
    assert_eq!(samples.reader.read(&mut [0; 8], 4), small);
}

#[test]
fn a_value_that_stays_too_long_is_stale_and_one_of_unknown_age_is_too() {
    let mut samples = samples();
    samples.write(1);
    // Nobody looked before: it may have been there for ever.
    assert_eq!(samples.read(50), (1, Status::Stale { age: u64::MAX }, true));
    samples.write(2);
    assert_eq!(samples.read(60), (2, Status::Ok, true));
    assert_eq!(samples.read(150), (2, Status::Ok, false));
    assert_eq!(samples.reader.state(150), State::Init);
    assert_eq!(samples.read(151), (2, Status::Stale { age: 101 }, false));
    // It came 100 ticks after a look that did not find it, at 151.
    samples.write(3);
    assert_eq!(samples.read(251), (3, Status::Ok, true));
    samples.write(4);
    assert_eq!(samples.read(352), (4, Status::Stale { age: 101 }, true));
    assert_eq!(samples.reader.state(452), State::Init);
    assert_eq!(samples.reader.state(453), State::NoData);
}

#[test]
fn a_value_written_twice_is_repeated_and_one_put_back_has_the_wrong_sequence() {
    let mut samples = samples();
    let _ = samples.reader.read(&mut [0; 32], 0);
    samples.write(1);
    assert_eq!(samples.read(0), (1, Status::Ok, true));
    samples.write(2);
    samples.copy(samples.slot(CHANNEL, 1), samples.slot(CHANNEL, 2));
    assert_eq!(samples.read(0), (1, Status::Repeated { sequence: 0 }, true));
    samples.write(3);
    assert_eq!(samples.read(0), (3, Status::SomeLost { lost: 1 }, true));
    samples.write(4);
    samples.copy(samples.slot(CHANNEL, 2), samples.slot(CHANNEL, 4));
    assert_eq!(samples.read(0), (1, Status::WrongSequence { expected: 3, found: 0 }, true));
}

#[test]
fn a_value_that_changes_after_it_was_read_is_judged_anew() {
    let mut samples = samples();
    (1..3).for_each(|value| {
        samples.write(value);
        let _ = samples.read(0);
    });
    assert_eq!(samples.read(0), (2, Status::Ok, false));
    samples.copy(samples.slot(CHANNEL, 1), samples.slot(CHANNEL, 2));
    assert_eq!(samples.read(0), (1, Status::WrongSequence { expected: 2, found: 0 }, false));
}

#[test]
fn a_reader_arms_waits_and_goes_on_after_a_violation_as_an_unprotected_one_does() {
    let mut samples = samples();
    assert!(samples.reader.arm(), "not joined: look first");
    samples.write(1);
    assert!(samples.reader.arm(), "a value not read");
    assert_eq!(samples.read(0).0, 1);
    assert!(!samples.reader.arm());
    let mut delays = 0;
    let mut delay = CountedDelay(&mut delays);
    assert!(!samples.reader.changed_within(&mut delay, 1, 3));
    assert_eq!(delays, 3);
    samples.write(2);
    assert!(samples.reader.changed_within(&mut CountedDelay(&mut delays), 1, 3));
    assert_eq!((samples.read(0).0, delays), (2, 3));
    // A count from which the last value's has gone back: no honest writer's.
    let latest =
        Snapshot::new(&samples.spy, &CHANNELS).link(End::Second).offset + wire::CHANNEL_LINES + CHANNEL * wire::LINE;
    let latest = latest + wire::LATEST;
    let there = samples.spy.load(latest);
    samples.spy.store(latest, there - 1);
    let violated = samples.reader.read(&mut [0; 32], 0).map(|_| ());
    assert!(matches!(violated, Err(ReadError::Violated(_))), "{violated:?}");
    samples.spy.store(latest, there);
    assert_eq!(samples.reader.read(&mut [0; 32], 0).map(|_| ()), violated, "until resync");
    samples.reader.resync();
    assert_eq!(samples.read(0).0, 2);
}

struct CountedDelay<'a>(&'a mut u32);

impl DelayNs for CountedDelay<'_> {
    fn delay_ns(&mut self, _: u32) {
        *self.0 += 1;
    }
}

#[test]
fn a_value_of_another_channel_is_of_the_wrong_source() {
    let mut samples = samples();
    samples.write(1);
    samples.other.write(&[66; 9]).unwrap().ignore();
    samples.copy(samples.slot(5, 1), samples.slot(CHANNEL, 1));
    // The Second end's first epoch, without a seed, is 1: the key of its values.
    let wrong = Status::WrongSource { data_id: 0x55, source: SOURCE, session: 1 };
    assert_eq!(samples.read(0), (66, wrong, true));
}

#[test]
fn a_value_of_the_writers_earlier_life_is_of_the_wrong_source() {
    let mut samples = samples();
    samples.write(1);
    let (old, slot) = (samples.slot(CHANNEL, 0), samples.slot(CHANNEL, 1));
    samples.copy(slot, old);
    let (link, mut channels) = attach(samples.spy.window(0, samples.spy.len()).unwrap(), End::Second);
    samples.writer = channels.protected_writer(CHANNEL, SOURCE).unwrap();
    samples.links.1 = link;
    connect(&mut samples.links.0, &mut samples.links.1);
    assert_eq!(samples.reader.read(&mut [0; 32], 0), Err(ReadError::Empty));
    samples.write(2);
    let new: Vec<_> = (8..64).step_by(8).map(|word| samples.spy.load(slot + word)).collect();
    samples.copy(old, slot);
    assert_eq!(samples.read(0), (1, Status::WrongSource { data_id: 0x54, source: SOURCE, session: 1 }, true));
    (8..64).step_by(8).zip(new).for_each(|(word, value)| samples.spy.store(slot + word, value));
    assert_eq!(samples.read(0), (2, Status::Ok, false), "put right, it is what it always was");
}

#[test]
fn after_a_session_that_ended_though_the_writer_stayed_its_value_is_of_unknown_age_and_not_repeated() {
    let mut samples = samples();
    assert_eq!(samples.reader.read(&mut [0; 32], 0), Err(ReadError::Empty));
    samples.write(1);
    assert_eq!(samples.read(1), (1, Status::Ok, true));
    // For one poll the writer seems to be gone. This end takes a new epoch; the writer and its value stay.
    let section = Snapshot::new(&samples.spy, &CHANNELS).link(End::Second).offset;
    samples.spy.store(section + link::MAGIC, 0);
    assert!(!samples.links.0.poll(2).is_up());
    samples.spy.store(section + link::MAGIC, wire::MAGIC);
    connect(&mut samples.links.0, &mut samples.links.1);
    assert_eq!(samples.read(3), (1, Status::Stale { age: u64::MAX }, true));
    samples.write(2);
    assert_eq!(samples.read(4), (2, Status::Ok, true));
}

#[test]
fn a_writer_counts_from_0_in_each_of_its_epochs() {
    let mut samples = samples();
    (1..4).for_each(|value| samples.write(value));
    // For one poll the reader seems to be gone: the writer's end takes a new epoch, in which nothing is written yet.
    let magic = Snapshot::new(&samples.spy, &CHANNELS).link(End::First).offset + link::MAGIC;
    samples.spy.store(magic, 0);
    assert!(!samples.links.1.poll(0).is_up());
    samples.spy.store(magic, wire::MAGIC);
    connect(&mut samples.links.0, &mut samples.links.1);
    assert_eq!(samples.reader.read(&mut [0; 32], 0), Err(ReadError::Empty));
    samples.write(4);
    assert_eq!(samples.read(0), (4, Status::Ok, true));
    // Sequence 0 under the key of epoch 2, in the head's word 1.
    assert_eq!(samples.spy.load(samples.slot(CHANNEL, 1) + 16), 2 << 32);
}

#[test]
fn further_readers_check_for_themselves() {
    let mut samples = samples();
    let memory = samples.spy.window(0, samples.spy.len()).unwrap();
    let mut subscriber = Subscriber::new(memory, End::Second, &CHANNELS).unwrap();
    let (mut watch, mut values) = subscriber.subscribe(0);
    let plain = values.reader(CHANNEL).err();
    assert_eq!(plain, Some(TakeError::WrongKind { channel: CHANNEL, kind: Kind::Sampling, protected: true }));
    let patient = Expected { validity: 0, ..EXPECTED };
    let mut onlooker = values.protected_reader(CHANNEL, patient).unwrap();
    assert!(watch.poll(0).is_up());
    (0..9).for_each(|value| samples.write(value));
    let mut buffer = [0; 32];
    let checked = onlooker.read(&mut buffer, 0).unwrap();
    assert_eq!((checked.bytes, checked.status), (&[8; 9][..], Status::Ok));
    samples.spy.store(samples.slot(CHANNEL, 9) + 8 + 24, 0);
    assert!(matches!(onlooker.read(&mut buffer, 0).unwrap().status, Status::BadCrc { .. }));
    assert!(matches!(samples.read(0).1, Status::BadCrc { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn up_to_five_flipped_bits_of_a_value_are_a_bad_crc(
        value in vec(any::<u8>(), 0..33), bits in vec(any::<prop::sample::Index>(), 1..6)
    ) {
        let mut samples = samples();
        let _ = samples.reader.read(&mut [0; 32], 0);
        samples.writer.write(&value).unwrap().ignore();
        let slot = samples.slot(CHANNEL, 1) + 8;
        let bits: std::collections::BTreeSet<_> = bits.iter().map(|bit| bit.index((24 + value.len()) * 8)).collect();
        let flip = |bit: &usize| samples.spy.store(slot + bit / 64 * 8, samples.spy.load(slot + bit / 64 * 8) ^ 1 << (bit % 64));
        bits.iter().for_each(flip);
        let mut buffer = [0; 32];
        let status = samples.reader.read(&mut buffer, 0).unwrap().status;
        prop_assert!(matches!(status, Status::BadCrc { .. }), "{:?}", status);
        bits.iter().for_each(flip);
        let checked = samples.reader.read(&mut buffer, 0).unwrap();
        prop_assert_eq!((checked.bytes, checked.status), (&value[..], Status::Ok));
    }
}
