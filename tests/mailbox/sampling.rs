//! Sampling channels: the latest value, how old it is, and that it is always whole.

use super::connect;
use ivshmem::channel::{wire, *};
use ivshmem::fake::memory::{Cutter, loop_back};
use ivshmem::memory::{Memory, SharedMemory};

mod doorbells;
mod subscribers;

const CHANNELS: [Channel; 2] = [Channel::sampling(End::First, 40).vector(3), Channel::sampling(End::Second, 8)];
const LENGTH: usize = 1 << 14;

fn ends() -> (Mailbox<'static, SharedMemory>, Mailbox<'static, SharedMemory>, SharedMemory) {
    let (first, second) = loop_back(LENGTH).unwrap();
    let spy = second.window(0, LENGTH).unwrap();
    (Mailbox::new(first, End::First, &CHANNELS).unwrap(), Mailbox::new(second, End::Second, &CHANNELS).unwrap(), spy)
}

/// Where channel 0's words lie: its line and its slots.
fn place(spy: &SharedMemory) -> (usize, usize) {
    (wire::CHANNEL_LINES, Snapshot::new(spy, &CHANNELS).channel(0).unwrap().slots_at)
}

#[test]
fn the_latest_value_is_read_as_often_as_wanted_and_overwritten_ones_are_counted() {
    let (mut a, mut b, _) = ends();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut writer, mut reader) = (ca.writer(0).unwrap(), cb.reader(0).unwrap());
    let mut buffer = [0; 40];
    assert_eq!(reader.try_read(&mut buffer, 0), Err(ReadError::NotUp));
    connect(&mut la, &mut lb);
    assert_eq!(reader.try_read(&mut buffer, 0), Err(ReadError::Empty));
    for (number, missed) in [(1u8, 0), (2, 0), (9, 6), (10, 0)] {
        for value in number - missed as u8..=number {
            writer.write(&vec![value; usize::from(value)]).unwrap().ignore();
        }
        let sample = reader.try_read(&mut buffer, 0).unwrap();
        assert_eq!((sample.bytes, sample.fresh), (&vec![number; usize::from(number)][..], true));
        assert_eq!(sample.missed, missed);
        let again = reader.read(&mut buffer, 0).unwrap();
        assert_eq!((again.bytes.len(), again.fresh, again.missed), (usize::from(number), false, 0));
    }
    let stats = reader.stats();
    assert_eq!((stats.read, stats.fresh, stats.missed, writer.stats().written), (8, 4, 6, 10));
}

#[test]
fn a_value_is_stale_past_the_refresh_period_on_the_readers_clock_and_valid_again_when_refreshed() {
    let (mut a, mut b, _) = ends();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut writer, mut reader) = (ca.writer(0).unwrap(), cb.reader(0).unwrap().refresh_period(10));
    connect(&mut la, &mut lb);
    let mut buffer = [0; 40];
    writer.write(b"a").unwrap().ignore();
    let mut look = |now: u64, reader: &mut Reader<'_, SharedMemory>| {
        let sample = reader.try_read(&mut buffer, now).unwrap();
        (sample.validity, sample.age.at_least, sample.age.at_most)
    };
    // There at the first look, and nobody knows for how long.
    assert_eq!(look(100, &mut reader), (Validity::Valid, 0, u64::MAX));
    assert_eq!(look(110, &mut reader), (Validity::Valid, 10, u64::MAX));
    assert_eq!(look(111, &mut reader), (Validity::Stale, 11, u64::MAX));
    writer.write(b"b").unwrap().ignore();
    assert_eq!(look(113, &mut reader), (Validity::Valid, 0, 2));
    // A clock that runs backwards delays it, and nothing else.
    assert_eq!(look(5, &mut reader), (Validity::Valid, 0, 0));
    assert_eq!(look(u64::MAX, &mut reader), (Validity::Stale, u64::MAX - 113, u64::MAX - 111));
    // A value found after the clock ran backwards is not found before it was last missed.
    look(200, &mut reader);
    writer.write(b"c").unwrap().ignore();
    assert_eq!(look(50, &mut reader), (Validity::Valid, 0, 0));
    assert_eq!(look(60, &mut reader), (Validity::Valid, 10, 10));
}

#[test]
fn writing_needs_no_reader_and_a_later_one_finds_the_last_value() {
    let (mut a, mut b, _) = ends();
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut writer = ca.writer(0).unwrap();
    for value in 0..100u8 {
        writer.write(&[value]).unwrap().ignore();
    }
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let mut reader = cb.reader(0).unwrap();
    connect(&mut la, &mut lb);
    assert_eq!(reader.read(&mut [0; 40], 0).unwrap().bytes, [99]);
}

#[test]
fn a_writer_that_dies_at_any_store_leaves_the_last_whole_value_readable() {
    let (old, new): (Vec<u8>, Vec<u8>) = ((0..40).collect(), (100..140).collect());
    let mut seen = [0, 0];
    for stores in 0..12 {
        let (first, second) = loop_back(LENGTH).unwrap();
        let cutter = Cutter::new(first, usize::MAX);
        let mut a = Mailbox::new(&cutter, End::First, &CHANNELS).unwrap();
        let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
        let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
        let (mut writer, mut reader) = (ca.writer(0).unwrap(), cb.reader(0).unwrap());
        connect(&mut la, &mut lb);
        // The first four fill the slots, so that the fatal one overwrites.
        for _ in 0..4 {
            writer.write(&old).unwrap().ignore();
        }
        let before = cutter.written().len();
        cutter.cut_after(stores);
        writer.write(&new).unwrap().ignore();
        let needed = cutter.written().len() - before;
        let mut buffer = [0; 40];
        let sample = reader.try_read(&mut buffer, 0).unwrap();
        let expected = if stores < needed { &old } else { &new };
        assert_eq!(sample.bytes, &expected[..], "after {stores} of {needed} stores");
        seen[usize::from(stores >= needed)] += 1;
    }
    assert!(seen[0] > 5 && seen[1] > 0, "{seen:?}");
}

#[test]
fn values_of_an_earlier_life_are_never_read() {
    let (mut a, mut b, spy) = ends();
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut writer = ca.writer(0).unwrap();
    writer.write(b"old").unwrap().ignore();
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let mut reader = cb.reader(0).unwrap();
    connect(&mut la, &mut lb);
    let mut buffer = [0; 40];
    assert!(reader.try_read(&mut buffer, 0).is_ok());
    let (line, _) = place(&spy);
    let old = (spy.load(line + wire::LATEST), spy.load(line + wire::STARTED));
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut writer = ca.writer(0).unwrap();
    // Before the reader's link notices, and after, even if the old words stood there again.
    assert_eq!(reader.try_read(&mut buffer, 0), Err(ReadError::Empty));
    connect(&mut la, &mut lb);
    assert_eq!(reader.try_read(&mut buffer, 0), Err(ReadError::Empty));
    spy.store(line + wire::LATEST, old.0);
    spy.store(line + wire::STARTED, old.1);
    assert_eq!(reader.try_read(&mut buffer, 0), Err(ReadError::Empty));
    writer.write(b"new").unwrap().ignore();
    let sample = reader.try_read(&mut buffer, 0).unwrap();
    assert_eq!((sample.bytes, sample.fresh, sample.missed), (&b"new"[..], true, 0));
    assert_eq!(reader.stats().restarts, 1);
}

/// Overwrites a slot while it is copied: memory whose payload reads let the writer go on first.
struct Interrupted<'w, 'a> {
    memory: SharedMemory,
    writer: &'w core::cell::RefCell<Writer<'a, SharedMemory>>,
    values: core::cell::Cell<u8>,
}

impl Memory for Interrupted<'_, '_> {
    fn len(&self) -> usize {
        self.memory.len()
    }
    fn load(&self, offset: usize) -> u64 {
        self.memory.load(offset)
    }
    fn store(&self, offset: usize, value: u64) {
        self.memory.store(offset, value);
    }
    fn publish(&self, offset: usize, value: u64) {
        self.memory.publish(offset, value);
    }
    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        let bytes_are_there = !bytes.is_empty();
        let (head, tail) = bytes.split_at_mut(bytes.len() / 16 * 8);
        self.memory.copy_out(offset, head);
        for value in 0..if bytes_are_there { self.values.get() } else { 0 } {
            self.writer.borrow_mut().write(&[value; 40]).unwrap().ignore();
        }
        self.memory.copy_out(offset + head.len(), tail);
    }
    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.memory.copy_in(offset, bytes);
    }
}

#[test]
fn a_value_overwritten_during_the_copy_is_busy_never_torn_and_three_tries_bound_the_reader() {
    for values in 0..10 {
        let (first, second) = loop_back(LENGTH).unwrap();
        let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
        let (mut la, mut ca) = a.attach(Attach::polled());
        let writer = core::cell::RefCell::new(ca.writer(0).unwrap());
        writer.borrow_mut().write(&[77; 40]).unwrap().ignore();
        let memory = Interrupted { memory: second, writer: &writer, values: values.into() };
        let mut b = Mailbox::new(memory, End::Second, &CHANNELS).unwrap();
        let (mut lb, mut cb) = b.attach(Attach::polled());
        connect(&mut la, &mut lb);
        let mut reader = cb.reader(0).unwrap();
        let mut buffer = [0; 40];
        let whole = reader.read(&mut buffer, 0).map(|sample| sample.bytes.iter().all(|byte| *byte == 77));
        // Three more values go into the other slots; the fourth would go into this one.
        if values < 4 {
            assert_eq!((whole, reader.stats().busy), (Ok(true), 0), "{values}");
        } else {
            assert_eq!((whole, reader.stats().busy), (Err(ReadError::Busy), 3), "{values}");
        }
    }
}

#[test]
fn words_no_honest_writer_stores_violate_the_channel_until_resync() {
    let header = |stamp: u32, length: u16, kind: u8, tag: u8| wire::Header { stamp, length, kind, tag }.to_word();
    let (mut a, mut b, spy) = ends();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut writer, mut reader) = (ca.writer(0).unwrap(), cb.reader(0).unwrap());
    connect(&mut la, &mut lb);
    let (line, slots) = place(&spy);
    let slot = |count: usize| slots + count % 4 * 64;
    let mut buffer = [0; 40];
    writer.write(b"good").unwrap().ignore();
    writer.write(b"good").unwrap().ignore();
    assert!(reader.try_read(&mut buffer, 0).is_ok());
    let latest = wire::Keyed::from_word(spy.load(line + wire::LATEST));
    let tag = latest.key.tag();
    let at = |count: u32| wire::Keyed { count, ..latest }.to_word();
    let good = spy.load(slot(2));
    let cases = [
        (line + wire::LATEST, at(1), PeerViolation::Sample { found: 1, least: 2 }),
        (line + wire::STARTED, at(1), PeerViolation::Sample { found: 1, least: 2 }),
        (slot(2), header(3, 4, 0, tag), PeerViolation::Header { expected_stamp: 2, found: header(3, 4, 0, tag) }),
        (slot(2), header(2, 4, 0, !tag), PeerViolation::Header { expected_stamp: 2, found: header(2, 4, 0, !tag) }),
        (slot(2), header(2, 41, 0, tag), PeerViolation::Length { found: 41, max: 40 }),
        (slot(2), header(2, 4, 1, tag), PeerViolation::Kind { found: 1 }),
    ];
    for (count, (offset, word, violation)) in cases.into_iter().enumerate() {
        let before = spy.load(offset);
        spy.store(offset, word);
        assert_eq!(reader.read(&mut buffer, 0), Err(ReadError::Violated(violation)), "{violation}");
        spy.store(offset, before);
        assert_eq!(reader.read(&mut buffer, 0), Err(ReadError::Violated(violation)), "latched");
        assert_eq!(reader.stats().violations, count as u32 + 1);
        reader.resync();
        assert_eq!(reader.read(&mut buffer, 0).unwrap().bytes, b"good");
    }
    assert_eq!(spy.load(slot(2)), good);
    assert_eq!(reader.read(&mut [0; 3], 0), Err(ReadError::BufferTooSmall { need: 4, have: 3 }));
}

#[test]
fn too_long_a_value_is_refused_and_the_last_one_stays() {
    let (mut a, mut b, _) = ends();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut writer, mut reader) = (ca.writer(0).unwrap(), cb.reader(0).unwrap());
    connect(&mut la, &mut lb);
    writer.write(&[1; 40]).unwrap().ignore();
    assert_eq!(writer.write(&[2; 41]), Err(WriteError::TooLong { len: 41, max: 40 }));
    assert_eq!(reader.read(&mut [0; 40], 0).unwrap().bytes, [1; 40]);
    assert!(matches!(ca.sender(0), Err(TakeError::WrongKind { channel: 0, kind: Kind::Sampling, .. })));
}
