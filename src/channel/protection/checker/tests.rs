use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

const SESSION: u32 = 0x0010_0100;
const EXPECTED: Expected =
    Expected { source: 7, max_lost: 3, validity: 100, window: Window { last: 4, enough: 2, tolerated: 1 } };

fn head(sequence: u32) -> Head {
    Head { data_id: 0x51, length: 0, source: 7, sequence, session: SESSION }
}

/// A message that has just been sent, at time 0.
const ARRIVAL: Arrival = Arrival { session: SESSION, age: 0, now: 0, fresh: true };

fn check(checker: &mut Checker, sequence: u32) -> Status {
    checker.check(ARRIVAL, &head(sequence).seal(&[]), &[])
}

#[test]
fn each_deviation_has_its_status_and_its_counter() {
    let mut checker = Checker::queuing(0x51, EXPECTED);
    assert_eq!(check(&mut checker, 0), Status::Ok);
    assert_eq!(check(&mut checker, 1), Status::Ok);
    assert_eq!(check(&mut checker, 1), Status::Repeated { sequence: 1 });
    assert_eq!(check(&mut checker, 0), Status::WrongSequence { expected: 2, found: 0 });
    assert_eq!(check(&mut checker, 4), Status::SomeLost { lost: 2 });
    assert_eq!(check(&mut checker, 8), Status::SomeLost { lost: 3 });
    // More than are tolerated; what follows it is right again, and the loss is counted.
    assert_eq!(check(&mut checker, 13), Status::WrongSequence { expected: 9, found: 13 });
    assert_eq!(check(&mut checker, 14), Status::Ok);
    for (other, status) in [
        (Head { data_id: 9, ..head(15) }, Status::WrongSource { data_id: 9, source: 7, session: SESSION }),
        (Head { source: 9, ..head(15) }, Status::WrongSource { data_id: 0x51, source: 9, session: SESSION }),
        (Head { session: 9, ..head(15) }, Status::WrongSource { data_id: 0x51, source: 7, session: 9 }),
    ] {
        assert_eq!(checker.check(ARRIVAL, &other.seal(&[]), &[]), status);
    }
    let words = head(15).seal(b"");
    let crc = u64::from_le_bytes(words[2]);
    let status = checker.check(ARRIVAL, &words, b"x");
    assert!(matches!(status, Status::BadCrc { found, computed } if found == crc && u64::from(computed) != crc));
    assert_eq!(checker.check(Arrival { age: 100, ..ARRIVAL }, &head(15).seal(&[]), &[]), Status::Ok);
    assert_eq!(checker.check(Arrival { age: 101, ..ARRIVAL }, &head(16).seal(&[]), &[]), Status::Stale { age: 101 });
    assert_eq!(check(&mut checker, 17), Status::Ok);
    let counts = StatusCounts {
        ok: 5,
        some_lost: 2,
        repeated: 1,
        wrong_sequence: 2,
        wrong_source: 3,
        bad_crc: 1,
        stale: 1,
        lost: 2 + 3 + 4,
    };
    assert_eq!(checker.counts(), counts);
}

#[test]
fn the_first_message_of_a_session_is_number_0_and_a_loss_before_it_shows() {
    let mut checker = Checker::queuing(0x51, EXPECTED);
    // Nothing came yet that could come again.
    assert_eq!(check(&mut checker, u32::MAX), Status::WrongSequence { expected: 0, found: u32::MAX });
    assert_eq!(check(&mut checker, 2), Status::SomeLost { lost: 2 });
    checker.restart();
    assert_eq!(check(&mut checker, 0), Status::Ok);
}

#[test]
fn the_sequence_wraps() {
    let mut checker = Checker::queuing(0x51, Expected { max_lost: u32::MAX, ..EXPECTED });
    // Forward is up to 2^31 - 1 ahead.
    assert_eq!(check(&mut checker, (1 << 31) - 1), Status::SomeLost { lost: (1 << 31) - 1 });
    assert_eq!(check(&mut checker, u32::MAX - 1), Status::SomeLost { lost: (1 << 31) - 2 });
    for sequence in [u32::MAX, 0, 1] {
        assert_eq!(check(&mut checker, sequence), Status::Ok);
    }
    assert_eq!(check(&mut checker, u32::MAX), Status::WrongSequence { expected: 2, found: u32::MAX });
}

#[test]
fn silence_ends_validity_and_what_comes_after_it_must_prove_itself_anew() {
    let mut checker = Checker::queuing(0x51, EXPECTED);
    let mut at = |sequence, now| {
        let before = checker.state(now);
        let _ = checker.check(Arrival { now, ..ARRIVAL }, &head(sequence).seal(&[]), &[]);
        (before, checker.state(now))
    };
    assert_eq!(at(0, 5000), (State::NoData, State::Init));
    assert_eq!(at(1, 5100), (State::Init, State::Valid));
    assert_eq!(at(2, 5200), (State::Valid, State::Valid));
    assert_eq!(at(3, 5301), (State::NoData, State::Init));
    assert_eq!(at(4, 5301), (State::Init, State::Valid));
    // A clock that stands still or runs back makes nothing old.
    assert_eq!(checker.state(0), State::Valid);
    checker.restart();
    assert_eq!(checker.state(5301), State::NoData);
    // Without a period nothing is ever silent.
    let mut patient = Checker::queuing(0x51, Expected { validity: 0, ..EXPECTED });
    for sequence in 0..2 {
        assert_eq!(patient.check(Arrival { age: u64::MAX, ..ARRIVAL }, &head(sequence).seal(&[]), &[]), Status::Ok);
    }
    assert_eq!(patient.state(u64::MAX), State::Valid);
}

#[test]
fn a_sample_read_again_keeps_its_status_but_for_its_age_and_counts_once() {
    let mut checker = Checker::sampling(0x51, EXPECTED);
    let mut at =
        |sequence, age, fresh| checker.check(Arrival { age, fresh, ..ARRIVAL }, &head(sequence).seal(&[]), &[]);
    // Whatever was written before the reader came is not lost.
    assert_eq!(at(1000, 0, true), Status::Ok);
    assert_eq!(at(1000, 100, false), Status::Ok);
    assert_eq!(at(1000, 101, false), Status::Stale { age: 101 });
    assert_eq!(at(1002, 0, true), Status::SomeLost { lost: 1 });
    assert_eq!(at(1002, 0, false), Status::Ok);
    // The writer writes the same message once more.
    assert_eq!(at(1002, 0, true), Status::Repeated { sequence: 1002 });
    assert_eq!(at(1002, 0, false), Status::Repeated { sequence: 1002 });
    let far = Status::WrongSequence { expected: 1003, found: 1010 };
    assert_eq!((at(1010, 0, true), at(1010, 0, false)), (far, far));
    let back = Status::WrongSequence { expected: 1011, found: 1003 };
    assert_eq!((at(1003, 0, true), at(1003, 0, false)), (back, back));
    let counts =
        StatusCounts { ok: 1, some_lost: 1, repeated: 1, wrong_sequence: 2, lost: 8, ..StatusCounts::default() };
    assert_eq!(checker.counts(), counts);
}

#[test]
fn a_sample_whose_head_could_not_be_believed_is_judged_when_it_can() {
    let mut checker = Checker::sampling(0x51, EXPECTED);
    assert_eq!(check(&mut checker, 5), Status::Ok);
    let again = Arrival { fresh: false, ..ARRIVAL };
    let words = head(7).seal(&[]);
    assert!(matches!(checker.check(ARRIVAL, &words, b"mixed"), Status::BadCrc { .. }));
    assert!(matches!(checker.check(again, &words, b"mixed"), Status::BadCrc { .. }));
    assert_eq!(checker.check(again, &words, &[]), Status::SomeLost { lost: 1 });
    assert_eq!(checker.check(again, &words, &[]), Status::Ok);
    // And a value that was good is not believed once it is no more.
    assert!(matches!(checker.check(again, &words, b"struck"), Status::BadCrc { .. }));
    let counts = StatusCounts { ok: 1, some_lost: 1, bad_crc: 2, lost: 1, ..StatusCounts::default() };
    assert_eq!(checker.counts(), counts);
    // A new session begins anywhere.
    checker.restart();
    assert_eq!(check(&mut checker, 3), Status::Ok);
}

/// What a way between the ends can do to the next message.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Lose,
    Repeat,
    /// The message comes after the one behind it.
    Swap,
    Flip(u8),
    Foreign,
    Late,
}

fn fault() -> impl Strategy<Value = Fault> {
    use Fault::*;
    prop_oneof![
        8 => Just(None), 2 => Just(Lose), 1 => Just(Repeat), 1 => Just(Swap), 1 => any::<u8>().prop_map(Flip),
        1 => Just(Foreign), 1 => Just(Late),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_on_the_way_every_message_has_the_right_status(
        faults in vec(fault(), 1..300), start: u32, max_lost in 0u32..5
    ) {
        let expected = Expected { max_lost, ..EXPECTED };
        let mut checker = Checker::queuing(0x51, expected);
        checker.due = start;
        checker.begun = true;
        // The way: messages with what happened to them. Numbers do not wrap here; the head's do.
        let mut way = VecDeque::new();
        let mut swapped = None;
        for (number, fault) in (0i64..).zip(&faults) {
            match fault {
                Fault::Lose => {}
                Fault::Repeat => way.extend([(number, Fault::None), (number, Fault::None)]),
                Fault::Swap => {
                    if let Some(earlier) = swapped.replace((number, Fault::None)) {
                        way.push_back(earlier);
                    }
                    continue;
                }
                fault => way.push_back((number, *fault)),
            }
            way.extend(swapped.take());
        }
        let (mut last, mut lost) = (-1, 0);
        for (number, fault) in way {
            let mut head = head(start.wrapping_add(number as u32));
            head.length = 3;
            let mut payload = *b"abc";
            let mut age = 0;
            if let Fault::Foreign = fault {
                head.data_id += 1;
            }
            let words = head.seal(&payload);
            match fault {
                Fault::Flip(bit) => payload[usize::from(bit) / 8 % 3] ^= 1 << (bit % 8),
                Fault::Late => age = 101,
                _ => {}
            }
            let status = checker.check(Arrival { age, ..ARRIVAL }, &words, &payload);
            let gap = number - last - 1;
            let right = match status {
                Status::BadCrc { .. } => matches!(fault, Fault::Flip(_)),
                Status::WrongSource { .. } => matches!(fault, Fault::Foreign),
                Status::Repeated { .. } => number == last,
                Status::WrongSequence { .. } => number < last || gap > i64::from(max_lost),
                Status::Stale { age } => age == 101 && gap >= 0 && gap <= i64::from(max_lost),
                Status::SomeLost { lost } => age == 0 && i64::from(lost) == gap && gap <= i64::from(max_lost),
                Status::Ok => age == 0 && gap == 0,
            };
            prop_assert!(right, "{:?} for {:?}, number {} after {}", status, fault, number, last);
            prop_assert!(!matches!(fault, Fault::Flip(_) | Fault::Foreign | Fault::Late) || !status.is_good());
            if !matches!(fault, Fault::Flip(_) | Fault::Foreign) && number > last {
                lost += gap as u64;
                last = number;
            }
        }
        prop_assert_eq!(checker.counts().lost, lost);
    }
}
