//! Both ends of a mailbox, taking turns; one of them under test, the other honest or not.

use super::end::{Lives, attach_bound, mailboxes};
use super::traffic::Traffic;
use crate::channel::{Channel, End, Mailbox, Snapshot};
use crate::fake::input::Input;
use crate::fake::memory::{Disturbance, Oracle, Words};
use crate::memory::Memory;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use std::vec::Vec;

/// Attachments of each end; the last one is for the end of the run.
const LIVES: usize = 6;

/// Bytes of the link and heartbeat lines at a section's start.
const LINK_LINES: usize = 0x100;

const QUEUING: [&[Channel]; 3] = [
    &[Channel::queuing(End::Second, 4, 24), Channel::queuing(End::First, 4, 24)],
    &[Channel::queuing(End::First, 8, 100), Channel::queuing(End::Second, 4, 8), Channel::queuing(End::Second, 16, 9)],
    &[Channel::queuing(End::First, 4, 56), Channel::queuing(End::First, 4, 57), Channel::queuing(End::Second, 8, 120)],
];

/// An end against a peer that may change, or answer, any word of the memory with anything.
pub fn handshake(bytes: &[u8]) {
    let input = Input::new(bytes);
    Run { channels: QUEUING[usize::from(input.byte()) % QUEUING.len()], link_is_honest: false }.run(&input);
}

/// An end with queuing channels whose words a hostile peer writes, while the link is honest and up.
pub fn queuing(bytes: &[u8]) {
    let input = Input::new(bytes);
    Run { channels: QUEUING[usize::from(input.byte()) % QUEUING.len()], link_is_honest: true }.run(&input);
}

struct Run {
    channels: &'static [Channel],
    link_is_honest: bool,
}

impl Run {
    fn run(self, input: &Input<'_>) {
        let channels = self.channels;
        let end = if input.byte().is_multiple_of(2) { End::First } else { End::Second };
        let length = Mailbox::<Words>::required_len(channels).expect("the channels can be");
        let words = Words::new(length);
        let (own, theirs) = (section(&words, channels, end), section(&words, channels, end.other()));
        let link_lines = |section: &Range<usize>| section.start..section.start + LINK_LINES;
        let traffic: Vec<Traffic> = channels.iter().map(|_| Traffic::default()).collect();

        let mut peer_mailboxes = mailboxes(&words, end.other(), channels, LIVES);
        let peer = RefCell::new(Lives::new(&mut peer_mailboxes, end.other(), channels));
        let tampered = Cell::new(false);
        let step = || {
            let mut peer = peer.borrow_mut();
            match input.byte() % 32 {
                31 => {
                    peer.restart(1);
                }
                what => {
                    let called = peer.call(what, input, &traffic, &tampered);
                    assert!(
                        !called.accuses || tampered.get(),
                        "the peer was accused, and nobody tampered with anything"
                    );
                }
            }
        };
        let spared = if self.link_is_honest { [&own, &theirs].map(link_lines).into() } else { Vec::new() };
        let oracle = Oracle::new(words, own, input, &step, &tampered).sparing(spared);
        let mut ours = mailboxes(&&oracle, end, channels, LIVES);
        oracle.begin_call(Disturbance::None);
        let mut us = Lives::new(&mut ours, end, channels);
        oracle.end_attach(attach_bound(channels));
        if self.link_is_honest {
            come_up(&oracle, &mut us, &peer);
        }
        while !input.is_empty() {
            let call = input.byte();
            let disturbance = match call >> 6 {
                0 | 1 => Disturbance::None,
                2 => Disturbance::Race,
                _ => Disturbance::Tamper,
            };
            match call & 0x3F {
                0x3F => oracle.scribble(),
                0x3E => oracle.remember(),
                0x3D => oracle.replay(theirs.clone()),
                0x3C => {
                    oracle.begin_call(disturbance);
                    us.restart(1);
                    oracle.end_attach(attach_bound(channels));
                }
                what @ 0..0x20 => {
                    oracle.begin_call(disturbance);
                    let called = us.call(what, input, &traffic, &tampered);
                    oracle.end_call(called.bound);
                    assert!(!called.accuses || tampered.get(), "accused a peer that was honest");
                }
                _ => step(),
            }
        }
        // Whatever has happened: both ends attached anew come up, and messages arrive.
        oracle.begin_call(Disturbance::None);
        us.restart(0);
        oracle.end_attach(attach_bound(channels));
        peer.borrow_mut().restart(0);
        come_up(&oracle, &mut us, &peer);
        oracle.begin_call(Disturbance::None);
        us.halves().iter_mut().for_each(|half| half.must_send(&traffic[half.index]));
        let mut peer = peer.borrow_mut();
        peer.halves().iter_mut().for_each(|half| half.must_receive(&traffic[half.index]));
        peer.halves().iter_mut().for_each(|half| half.must_send(&traffic[half.index]));
        oracle.begin_call(Disturbance::None);
        us.halves().iter_mut().for_each(|half| half.must_receive(&traffic[half.index]));
    }
}

/// An end's section.
fn section(words: &Words, channels: &'static [Channel], end: End) -> Range<usize> {
    let start = |end| Snapshot::new(words, channels).link(end).offset;
    match end {
        End::First => 0..start(End::Second),
        End::Second => start(End::Second)..words.len(),
    }
}

/// Three polls of each end are enough.
fn come_up<'a, 'b>(oracle: &Oracle<'_>, us: &mut Lives<'a, &'a Oracle<'a>>, peer: &RefCell<Lives<'b, Words>>) {
    let mut states = None;
    for _ in 0..3 {
        oracle.begin_call(Disturbance::None);
        states = Some((us.poll(0), peer.borrow_mut().poll(0)));
    }
    assert!(states.is_some_and(|(ours, theirs)| ours.is_up() && theirs.is_up()), "{states:?} after three polls");
}
