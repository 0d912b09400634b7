//! The hostile peer on sampling, request and response channels, against an honest end over a file.

use super::map;
use crate::cli::{memory_file, peer, stderr};
use core::ops::ControlFlow;
use ivshmem::channel::request::{Incoming, RequestError, Requester, Responder, Status};
use ivshmem::channel::*;
use ivshmem::memory::Memory;
use ivshmem_peer::chaos::{Chaos, Counts, Mode};
use ivshmem_peer::{Mapping, RingError};
use std::collections::BTreeMap;

/// One of each kind in each direction, and no queuing channel.
const CHANNELS: [Channel; 6] = [
    Channel::sampling(End::Second, 56),
    Channel::sampling(End::First, 56),
    Channel::request(End::Second, 8, 56),
    Channel::response(End::First, 8, 56),
    Channel::request(End::First, 8, 56),
    Channel::response(End::Second, 8, 56),
];

/// Nobody is rung.
enum NoDoorbell {}

impl ivshmem::notify::Doorbell for NoDoorbell {
    type Error = RingError;

    fn ring(&self, _: u16, _: u16) -> Result<(), RingError> {
        match *self {}
    }
}

/// The honest end: writes, reads, asks and answers once in each cycle.
struct Victim<'a> {
    link: Link<'a, Mapping>,
    writer: Writer<'a, Mapping>,
    reader: Reader<'a, Mapping>,
    requester: Requester<'a, Mapping, 4>,
    responder: Responder<'a, Mapping, 4>,
    now: u64,
    seen: Seen,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Where, and of which kind.
    violations: BTreeMap<(&'static str, String), u32>,
    samples: u32,
    /// Samples that are not as the hostile peer writes them.
    torn: u32,
    requests: u32,
    answers: u32,
}

impl<'a> Victim<'a> {
    fn attach(mailbox: &'a mut Mailbox<'static, Mapping>) -> Self {
        let (link, mut channels) = mailbox.attach(Attach::polled());
        Self {
            link,
            writer: channels.writer(1).unwrap(),
            reader: channels.reader(0).unwrap(),
            requester: channels.requester(4, 5, 1).unwrap(),
            responder: channels.responder(2, 3, 1).unwrap(),
            now: 0,
            seen: Seen::default(),
        }
    }

    fn violated(&mut self, place: &'static str, violation: PeerViolation) {
        let name = format!("{violation:?}").split([' ', '{']).next().unwrap().to_owned();
        *self.seen.violations.entry((place, name)).or_default() += 1;
    }

    /// Bounded, whatever the peer does.
    fn cycle(&mut self) {
        self.now += 1;
        if let LinkState::Violated(violation) = self.link.poll(self.now) {
            self.violated("link", violation);
            self.link.resync();
        }
        let mut buffer = [0; 56];
        self.writer.write(b"a value").unwrap().ignore();
        match self.reader.read(&mut buffer, self.now) {
            Ok(sample) if sample.fresh => {
                self.seen.samples += 1;
                let text = String::from_utf8_lossy(sample.bytes).into_owned();
                let numbers = text.strip_prefix("chaos ").and_then(|rest| rest.split_once(' '));
                let is_whole =
                    numbers.is_some_and(|(life, number)| life.parse::<u64>().is_ok() && number.parse::<u64>().is_ok());
                self.seen.torn += u32::from(!is_whole);
            }
            Err(ReadError::Violated(violation)) => {
                self.violated("sampling", violation);
                self.reader.resync();
            }
            _ => {}
        }
        match self.responder.next(self.now, &mut buffer) {
            Ok(Some(Incoming::Request(request))) => {
                self.seen.requests += 1;
                match self.responder.respond(request.token, Status::Done, b"done") {
                    Ok(notice) => notice.ignore(),
                    Err(RequestError::Violated(violation)) => {
                        self.violated("responder", violation);
                        self.responder.resync();
                    }
                    Err(_) => {}
                }
            }
            Err(RequestError::Violated(violation)) => {
                self.violated("responder", violation);
                self.responder.resync();
            }
            _ => {}
        }
        match self.requester.start(self.now, 1, b"a question", 500) {
            Ok((_, notice)) => notice.ignore(),
            Err(RequestError::Violated(violation)) => {
                self.violated("requester", violation);
                self.requester.resync();
            }
            Err(_) => {}
        }
        match self.requester.poll(self.now, &mut buffer) {
            Ok(Some(request::Polled::Ended(end))) => self.seen.answers += u32::from(end.outcome.is_ok()),
            Err(RequestError::Violated(violation)) => {
                self.violated("requester", violation);
                self.requester.resync();
            }
            _ => {}
        }
    }

    fn violations(&self, place: &str) -> u32 {
        self.seen.violations.iter().filter(|((found, _), _)| *found == place).map(|(_, count)| count).sum()
    }
}

/// So many steps of the hostile peer, and the honest end in turns with it; afterwards a mild one is served in each channel.
fn run(mode: Mode, channel: Option<usize>, steps: u64, judge: impl FnOnce(&Counts, &Victim<'_>)) {
    let file = memory_file(65536);
    let memory = map(&file);
    let mut mailbox = Mailbox::new(memory.clone(), End::First, &CHANNELS).unwrap();
    let mut victim = Victim::attach(&mut mailbox);
    let mut hostile = |mode, seed, steps| {
        let chaos = Chaos { seed, channel, ..Chaos::new(mode, End::Second, &CHANNELS) };
        let counts = chaos.run(&memory, None::<&NoDoorbell>, |_, counts| {
            victim.cycle();
            if counts.steps < steps { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let seen = core::mem::take(&mut victim.seen);
        (counts.unwrap(), seen)
    };
    let (counts, seen) = hostile(mode, 1, steps);
    // A storm over a file is an honest peer.
    let (_, after) = hostile(Mode::Storm, 2, 3000);
    assert!(after.samples > 10 && after.requests > 10 && after.answers > 10, "after {mode}: {after:?}");
    assert_eq!((after.torn, after.violations.len()), (0, 0), "after {mode}: {after:?}");
    victim.seen = seen;
    judge(&counts, &victim);
}

#[test]
fn lengths_that_lie_are_violations_on_every_kind_of_channel() {
    run(Mode::Length, None, 20_000, |counts, victim| {
        assert!(counts.hostile > 1000 && counts.sent > 1000 && counts.received > 100, "{counts:?}");
        for place in ["sampling", "responder", "requester"] {
            assert!(victim.violations(place) > 50, "{place}: {:?}", victim.seen);
        }
    });
}

#[test]
fn stamps_that_jump_are_violations_on_every_kind_of_channel() {
    run(Mode::Stamp, None, 20_000, |counts, victim| {
        assert!(counts.hostile > 1000 && counts.sent > 1000 && counts.received > 100, "{counts:?}");
        for place in ["sampling", "responder", "requester"] {
            assert!(victim.violations(place) > 50, "{place}: {:?}", victim.seen);
        }
    });
}

#[test]
fn one_channel_s_lies_are_no_other_s_violations() {
    for (channel, place) in [(0, "sampling"), (2, "responder"), (5, "requester")] {
        for mode in [Mode::Length, Mode::Stamp] {
            run(mode, Some(channel), 10_000, |_, victim| {
                assert!(victim.violations(place) > 10, "{place}: {:?}", victim.seen);
                let all: u32 = victim.seen.violations.values().sum();
                assert_eq!(victim.violations(place), all, "{place}: {:?}", victim.seen);
            });
        }
    }
}

#[test]
fn a_peer_that_dies_amid_a_sample_a_request_or_a_response_leaves_nothing_torn_and_no_violation() {
    run(Mode::Restart, None, 50_000, |counts, victim| {
        let seen = &victim.seen;
        assert!(counts.lives > 50 && counts.hostile == 0, "{counts:?}");
        assert!(seen.samples > 1000 && seen.requests > 1000 && seen.answers > 1000, "{seen:?}");
        assert_eq!((seen.torn, seen.violations.len()), (0, 0), "{seen:?}");
    });
}

#[test]
fn a_replayed_session_of_requests_and_samples_is_noticed() {
    run(Mode::Replay, None, 50_000, |counts, victim| {
        assert!(counts.hostile > 1000, "{counts:?}");
        assert!(!victim.seen.violations.is_empty(), "{:?}", victim.seen);
    });
}

#[test]
fn scribbling_everywhere_on_one_channel_reaches_the_other_end_s_words_of_it_and_no_others() {
    let file = memory_file(65536);
    let memory = map(&file);
    let words = || (0..memory.len()).step_by(8).map(|offset| memory.load(offset)).collect::<Vec<_>>();
    let look = Snapshot::new(&memory, &CHANNELS);
    let second = look.link(End::Second).offset;
    // The first end's line of channel 3, whose slots lie in its section.
    let line = wire::CHANNEL_LINES + 3 * wire::LINE;
    let ring = look.channel(3).unwrap().slots_at;
    let slot = (wire::HEADER + 56).next_multiple_of(wire::SLOT_ALIGN);
    let before = words();
    let mode = Mode::Scribble { everywhere: true };
    let chaos = Chaos { channel: Some(3), ..Chaos::new(mode, End::Second, &CHANNELS) };
    let counts = chaos.run(&memory, None::<&NoDoorbell>, |_, counts| {
        if counts.steps < 5000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(counts.unwrap().hostile > 1000);
    let after = words();
    let changed = (0..second).step_by(8).filter(|offset| before[offset / 8] != after[offset / 8]);
    let (lines, rings): (Vec<_>, Vec<_>) = changed.partition(|offset| (line..line + wire::LINE).contains(offset));
    assert!(!lines.is_empty() && !rings.is_empty(), "{lines:x?} {rings:x?}");
    assert!(rings.iter().all(|offset| (ring..ring + 8 * slot).contains(offset)), "{rings:x?}");
}

#[test]
fn everywhere_is_refused_for_modes_that_know_no_such_thing() {
    let file = memory_file(65536);
    let output = peer(&["chaos", "length", "--everywhere", "--steps", "5", "--device", &file.device]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--everywhere is for scribble, not for length"), "{}", stderr(&output));
}
