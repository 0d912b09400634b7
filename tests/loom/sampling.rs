//! A sampling channel: its reader in the middle of a copy while the writer goes on, or dies and another takes its place.

use super::*;
use ivshmem::memory::Memory as _;
use loom::thread;

/// One channel from the First end, of values of two words.
const SAMPLES: [Channel; 1] = [Channel::sampling(End::First, 16)];

fn halves(first: &mut Side, second: &mut Side) -> (Writer<'static, Memory>, Reader<'static, Memory>) {
    (first.channels.writer(0).unwrap(), second.channels.reader(0).unwrap())
}

/// Writes the values from `from` to `to`, each of its number.
fn write(writer: &mut Writer<'_, Memory>, from: u8, to: u8) {
    for value in from..=to {
        writer.write(&message(value)).unwrap().ignore();
    }
}

#[test]
fn a_value_is_the_one_of_its_number_and_whole_or_not_returned() {
    explore(Bound::Preemptions(3), &SAMPLES, |mut first, mut second| {
        let (mut writer, mut reader) = halves(&mut first, &mut second);
        write(&mut writer, 1, 1);
        let writing = thread::spawn(move || write(&mut writer, 2, 5));
        let mut last = 0;
        for _ in 0..2 {
            match reader.try_read(&mut [0; 16], 0) {
                Ok(sample) if sample.fresh && last != 0 => {
                    last += 1 + sample.missed as u8;
                    assert_eq!(number(sample.bytes), last);
                }
                Ok(sample) if sample.fresh => last = number(sample.bytes),
                Ok(sample) => assert_eq!(number(sample.bytes), last),
                Err(error) => assert_eq!(error, ReadError::Busy),
            }
        }
        writing.join().unwrap();
        assert_eq!(number(reader.try_read(&mut [0; 16], 0).unwrap().bytes), 5);
    });
}

#[test]
fn a_writer_that_begins_three_values_during_a_copy_never_makes_the_reader_busy() {
    explore(Bound::Preemptions(2), &SAMPLES, |mut first, mut second| {
        let (mut writer, mut reader) = halves(&mut first, &mut second);
        write(&mut writer, 1, 1);
        let writing = thread::spawn(move || write(&mut writer, 2, 4));
        let read = number(reader.try_read(&mut [0; 16], 0).unwrap().bytes);
        assert!((1..=4).contains(&read));
        writing.join().unwrap();
        assert_eq!(reader.stats().busy, 0);
    });
}

#[test]
fn a_writer_that_takes_a_dead_ones_place_never_shows_its_values_under_the_old_epoch() {
    explore(Bound::Preemptions(3), &SAMPLES, |mut first, mut second| {
        let mut reader = second.channels.reader(0).unwrap();
        write(&mut first.channels.writer(0).unwrap(), 1, 1);
        let restarting = thread::spawn(move || {
            // SAFETY: the writer was a temporary value.
            let mut first = unsafe { first.attach_anew() };
            write(&mut first.channels.writer(0).unwrap(), 101, 102);
        });
        // The reader's link is not polled: it knows the old epoch only.
        for _ in 0..2 {
            match reader.try_read(&mut [0; 16], 0) {
                Ok(sample) => assert_eq!(number(sample.bytes), 1),
                Err(error) => assert_eq!(error, ReadError::Empty),
            }
        }
        restarting.join().unwrap();
        assert_eq!(reader.try_read(&mut [0; 16], 0), Err(ReadError::Empty));
    });
}

#[test]
fn a_reader_that_arms_sees_the_value_or_is_rung() {
    explore(Bound::None, &SAMPLES, |mut first, mut second| {
        let (mut writer, mut reader) = halves(&mut first, &mut second);
        write(&mut writer, 1, 1);
        assert_eq!(reader.try_read(&mut [0; 16], 0).map(|sample| number(sample.bytes)), Ok(1));
        let writing = thread::spawn(move || writer.write(&message(2)).unwrap().is_due());
        let sees = reader.arm();
        let is_rung = writing.join().unwrap();
        assert!(sees || is_rung, "asleep although there is a new value and no doorbell due");
    });
}

#[test]
fn a_reader_on_another_core_than_the_link_accuses_no_writer_that_came_back() {
    explore(Bound::Preemptions(2), &SAMPLES, |mut first, mut second| {
        let mut reader = second.channels.reader(0).unwrap();
        write(&mut first.channels.writer(0).unwrap(), 1, 2);
        assert_eq!(number(reader.try_read(&mut [0; 16], 0).unwrap().bytes), 2);
        // SAFETY: the writer was a temporary value.
        let mut first = unsafe { first.attach_anew() };
        write(&mut first.channels.writer(0).unwrap(), 101, 101);
        first.link.poll(0);
        let polling = thread::spawn(move || {
            assert_eq!(second.link.poll(0), LinkState::PeerRestarted);
            assert!(second.link.poll(0).is_up());
        });
        for _ in 0..2 {
            match reader.try_read(&mut [0; 16], 0) {
                Ok(sample) => assert_eq!(number(sample.bytes), 101),
                Err(error) => assert!(matches!(error, ReadError::NotUp | ReadError::Empty), "{error:?}"),
            }
        }
        polling.join().unwrap();
    });
}

#[test]
fn a_writer_on_another_core_than_the_link_writes_nothing_under_an_epoch_that_is_not_published() {
    explore(Bound::Preemptions(2), &SAMPLES, |mut first, mut second| {
        let (mut writer, mut reader) = halves(&mut first, &mut second);
        write(&mut writer, 1, 1);
        // A word that no honest peer writes, taken back: the link forgives it, and takes a new epoch at its next poll.
        let state = ends::SECTIONS[1] + wire::link::STATE;
        second.memory.store(state, 7);
        assert!(matches!(first.link.poll(0), LinkState::Violated(_)));
        second.memory.store(state, wire::ATTACHED);
        first.link.resync();
        let renewing = thread::spawn(move || assert_eq!(first.link.poll(0), LinkState::Waiting));
        let writing = thread::spawn(move || write(&mut writer, 2, 2));
        match reader.try_read(&mut [0; 16], 0) {
            Ok(sample) => assert!((1..=2).contains(&number(sample.bytes))),
            // Withdrawn, or already under another key: either way the epoch has gone.
            Err(error) => {
                assert_eq!(error, ReadError::Empty);
                assert!(!second.link.poll(0).is_up(), "a value under an epoch that is not to be seen");
            }
        }
        writing.join().unwrap();
        renewing.join().unwrap();
    });
}
