//! The hostile peer, in this process, against an honest end over a file: what each mode makes that end report.

use crate::cli::{MemoryFile, field, memory_file, peer, stderr, stdout};
use core::ops::ControlFlow;
use ivshmem::channel::*;
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;
use ivshmem_peer::chaos::{Chaos, Counts, Mode, Step};
use ivshmem_peer::{Mapping, Purpose, RingError, Sysfs};
use std::cell::RefCell;
use std::collections::BTreeMap;
use victim::{Seen, Victim};

mod kinds;
mod victim;

/// Channels 0 and 1 as in `COMMAND_RESPONSE`; 2 and 3 are those that must not notice what is done to the first two.
const CHANNELS: [Channel; 4] = [
    Channel::queuing(End::Second, 8, 56),
    Channel::queuing(End::First, 8, 56),
    Channel::queuing(End::Second, 8, 56),
    Channel::queuing(End::First, 8, 56),
];

fn map(file: &MemoryFile) -> Mapping {
    let name = file.device.parse().unwrap();
    ivshmem_peer::open(Some(&name), Purpose::Access, &Sysfs::default()).unwrap().memory().clone()
}

/// Counts what is rung.
#[derive(Default)]
struct Bells(RefCell<BTreeMap<(u16, u16), u64>>);

impl Doorbell for Bells {
    type Error = RingError;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        *self.0.borrow_mut().entry((peer, vector)).or_default() += 1;
        Ok(())
    }
}

struct Outcome {
    counts: Counts,
    seen: Seen,
    bells: BTreeMap<(u16, u16), u64>,
    memory: Vec<u8>,
}

/// So many steps of the hostile peer, and the honest end in turns with it.
fn run(chaos: Chaos<'_>, steps: u64) -> Outcome {
    let file = memory_file(65536);
    let memory = map(&file);
    let mut mailbox = Mailbox::new(memory.clone(), End::First, &CHANNELS).unwrap();
    let mut victim = Victim::attach(&mut mailbox);
    let bells = Bells::default();
    let counts = chaos.run(&memory, Some(&bells), |step, counts| {
        victim.cycle();
        assert!(step != Step::Frozen || chaos.mode == Mode::Freeze);
        if counts.steps < steps { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let counts = counts.unwrap();
    assert_eq!(counts.steps, steps);
    let before = victim.seen.clone();
    if chaos.mode == (Mode::Scribble { everywhere: true }) {
        // What it scribbled in the other end's section that end writes anew only when it attaches.
        drop(victim);
        victim = Victim::attach(&mut mailbox);
    }
    // Whatever was done to it: an honest peer in the hostile one's place is served at once.
    let mut honest = Mailbox::new(memory.clone(), End::Second, &CHANNELS).unwrap();
    let (mut link, mut channels) = honest.attach(Attach::polled());
    let (mut sender, mut receiver) = (channels.sender(0).unwrap(), channels.receiver(1).unwrap());
    for _ in 0..4 {
        link.poll(0);
        victim.cycle();
    }
    for number in 0..100 {
        link.poll(0);
        // 0 is no life of the hostile peer.
        sender.try_send(format!("chaos 0 {number}").as_bytes()).unwrap().ignore();
        victim.cycle();
        let mut buffer = [0; 56];
        assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"answer"[..])));
    }
    let messages = &victim.seen.messages[0];
    assert_eq!(messages[messages.len() - 100..], (0..100).map(|number| (0, number)).collect::<Vec<_>>());
    let mut bytes = vec![0; memory.len()];
    memory.copy_out(0, &mut bytes);
    Outcome { counts, seen: before, bells: bells.0.take(), memory: bytes }
}

fn hostile(mode: Mode, seed: u64) -> Chaos<'static> {
    Chaos { seed, ..Chaos::new(mode, End::Second, &CHANNELS) }
}

const MODES: [Mode; 8] = [
    Mode::Scribble { everywhere: false },
    Mode::Scribble { everywhere: true },
    Mode::Stamp,
    Mode::Length,
    Mode::Storm,
    Mode::Freeze,
    Mode::Replay,
    Mode::Restart,
];

/// Every message of a life is there once and in order, and no life comes after a later one.
fn once_and_in_order(messages: &[(u64, u64)]) {
    let mut next = (0, 0);
    for (life, number) in messages {
        if *life > next.0 {
            next = (*life, 0);
        }
        assert_eq!((*life, *number), next, "in {messages:?}");
        next.1 += 1;
    }
}

#[test]
fn the_same_seed_does_the_same_and_another_something_else() {
    for mode in MODES {
        let [one, same, other] = [1, 1, 2].map(|seed| run(hostile(mode, seed), 5000));
        assert_eq!((one.counts, &one.seen), (same.counts, &same.seen), "{mode}");
        assert!(one.memory == same.memory && one.bells == same.bells, "{mode}");
        assert!(one.memory != other.memory || one.bells != other.bells, "{mode}");
    }
}

#[test]
fn scribbled_words_are_violations_or_restarts_and_only_the_own_section_is_touched_unless_everywhere() {
    for everywhere in [false, true] {
        let Outcome { counts, seen, .. } = run(hostile(Mode::Scribble { everywhere }, 3), 50_000);
        assert!(counts.hostile > 10_000, "{counts:?}");
        if everywhere {
            // The own words of the other end are gone by and by, and with them the link; what it did before is what counts.
            assert!(counts.ups > 0, "{counts:?}");
            continue;
        }
        assert!(counts.ups > 10 && seen.restarts > 10, "{counts:?} {seen:?}");
        for kind in ["Header", "Acknowledged", "State", "Identity", "Echo", "Epoch"] {
            assert!(seen.violations.contains_key(kind), "{kind} in {:?}", seen.violations);
        }
    }
    // Alone with the memory it has nobody to come up with, but for itself.
    let file = memory_file(65536);
    let memory = map(&file);
    let section = Snapshot::new(&memory, &CHANNELS).link(End::Second).offset;
    let mut untouched = Mailbox::new(memory.clone(), End::First, &CHANNELS).unwrap();
    let (mut link, _channels) = untouched.attach(Attach::polled());
    let first = |memory: &Mapping| (0..section).step_by(8).map(|offset| memory.load(offset)).collect::<Vec<_>>();
    let mut expected = first(&memory);
    let chaos = hostile(Mode::Scribble { everywhere: false }, 4);
    let counts = chaos.run(&memory, None::<&Bells>, |_, counts| {
        assert_eq!(first(&memory), expected);
        link.poll(0);
        link.resync();
        expected = first(&memory);
        if counts.steps < 2000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(counts.unwrap().hostile > 1000);
}

#[test]
fn stamps_and_indices_that_jump_are_violations_of_their_channel_and_the_others_deliver_everything() {
    let chaos = Chaos { channel: Some(0), ..hostile(Mode::Stamp, 5) };
    let Outcome { counts, seen, .. } = run(chaos, 20_000);
    assert!(counts.hostile > 1000, "{counts:?}");
    assert!(seen.violations["Header"] > 50 && seen.violations["Kind"] > 10, "{seen:?}");
    others_deliver_everything(&counts, &seen);
    // The acknowledgements of the channel that it receives.
    let Outcome { counts, seen, .. } = run(Chaos { channel: Some(1), ..hostile(Mode::Stamp, 6) }, 20_000);
    assert!(seen.violations["Acknowledged"] > 100 && seen.violations.len() == 1, "{seen:?}");
    others_deliver_everything(&counts, &seen);
}

#[test]
fn lengths_that_lie_are_violations_of_their_channel_and_the_others_deliver_everything() {
    let chaos = Chaos { channel: Some(0), ..hostile(Mode::Length, 7) };
    let Outcome { counts, seen, .. } = run(chaos, 20_000);
    assert!(counts.hostile > 1000, "{counts:?}");
    assert!(seen.violations["Length"] > 1000, "{seen:?}");
    assert!(seen.unreadable > 0, "a length that lies within bounds cuts or lengthens a message: {seen:?}");
    others_deliver_everything(&counts, &seen);
}

/// Channels 2 and 3 carry what was sent, in every life, from its first message to all but those still in flight at its end.
fn others_deliver_everything(counts: &Counts, seen: &Seen) {
    let messages = &seen.messages[1];
    once_and_in_order(messages);
    // Each life sends one message in each of its steps, and the other end takes it in the same step.
    let steps_up = counts.steps - counts.lives * 4;
    assert!(messages.len() as u64 >= steps_up, "{} of {steps_up}", messages.len());
}

#[test]
fn a_storm_rings_every_vector_and_costs_no_message() {
    let chaos = Chaos { vectors: 5, ..hostile(Mode::Storm, 8) };
    let Outcome { counts, seen, bells, .. } = run(chaos, 100_000);
    assert!(seen.violations.is_empty(), "{seen:?}");
    assert!((0..5).all(|vector| bells[&(3, vector)] > 10_000), "{bells:?}");
    assert_eq!(bells.values().sum::<u64>(), counts.rings);
    seen.messages.iter().for_each(|messages| once_and_in_order(messages));
}

#[test]
fn a_freeze_is_stale_and_then_up_again_or_a_restart_and_loses_no_message_that_was_sent_whole() {
    let Outcome { counts, seen, .. } = run(hostile(Mode::Freeze, 9), 20_000);
    assert!(seen.violations.is_empty(), "{seen:?}");
    assert!(counts.frozen > 1000 && seen.stale > 100 && seen.recovered > 100, "{counts:?} {seen:?}");
    assert!(seen.restarts > 5, "{seen:?}");
    seen.messages.iter().for_each(|messages| once_and_in_order(messages));
}

#[test]
fn a_replayed_ring_of_an_old_session_delivers_nothing_old() {
    for channel in [0, 1] {
        let Outcome { counts, seen, .. } = run(Chaos { channel: Some(channel), ..hostile(Mode::Replay, 10) }, 50_000);
        assert!(counts.hostile > 1000, "{counts:?}");
        assert!(channel == 1 || seen.violations["Header"] > 10, "{channel}: {seen:?}");
        let lives = seen.messages[0].iter().map(|(life, _)| *life);
        assert!(lives.is_sorted(), "{channel}: {:?}", seen.messages[0]);
        others_deliver_everything(&counts, &seen);
    }
    // With the link's words too it is a new session for the other end, in which a peer may send whatever it likes.
    let Outcome { seen, .. } = run(hostile(Mode::Replay, 11), 50_000);
    assert!(seen.restarts > 10, "{seen:?}");
}

#[test]
fn a_peer_that_dies_at_any_store_is_a_restart_and_never_a_violation_and_delivers_a_beginning_of_each_life() {
    let Outcome { counts, seen, .. } = run(hostile(Mode::Restart, 12), 100_000);
    assert_eq!(counts.hostile, 0);
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    assert!(counts.lives > 100 && seen.restarts > 50, "{counts:?} {seen:?}");
    for messages in &seen.messages {
        once_and_in_order(messages);
    }
    let received = seen.messages.iter().map(Vec::len).sum::<usize>() as u64;
    let unreceived = counts.sent - received;
    let reported: u64 = seen.lost_at_most.iter().sum();
    // What a dead end believed to have sent counts as lost too: at most one message of each life.
    assert!(unreceived <= reported + counts.lives, "{unreceived} not received, {reported} reported");
}

#[test]
fn the_command_line_repeats_its_seed_and_counts() {
    let file = memory_file(65536);
    for mode in MODES.iter().filter(|mode| **mode != Mode::Storm) {
        let words = match mode {
            Mode::Scribble { everywhere: true } => vec!["scribble".to_owned(), "--everywhere".to_owned()],
            mode => vec![mode.to_string()],
        };
        let mut arguments: Vec<&str> = ["chaos", "--device", &file.device, "--seed", "9", "--steps", "20"].into();
        arguments.extend(words.iter().map(String::as_str));
        let output = peer(&arguments);
        // Nobody answers over this file.
        assert_eq!(output.status.code(), Some(4), "{} {}", stdout(&output), stderr(&output));
        let lines = stdout(&output);
        assert!(lines.starts_with(&format!("chaos: begin mode={mode} seed=9 ")), "{lines}");
        let end = lines.lines().last().unwrap();
        assert!(end.starts_with("chaos: end ") && field(end, "steps") == 20 && field(end, "ups") == 0, "{end}");
    }
    let output = peer(&["chaos", "storm", "--device", &file.device]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no doorbell"), "{}", stderr(&output));
}
