//! Both ends of a mailbox, taking turns; one of them under test, the other honest or not.

use super::end::{Lives, Scene, attach_bound, mailboxes};
use super::onlooker::Onlooker;
use crate::channel::{Channel, End, Mailbox, Snapshot, Subscriber};
use crate::fake::input::Input;
use crate::fake::memory::{Disturbance, Oracle, Words};
use crate::memory::Memory;
use core::cell::RefCell;
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

const SAMPLING: [&[Channel]; 3] = [
    &[Channel::sampling(End::Second, 24), Channel::sampling(End::First, 56)],
    &[Channel::sampling(End::First, 9), Channel::sampling(End::Second, 120), Channel::sampling(End::First, 8)],
    &[Channel::sampling(End::Second, 57), Channel::queuing(End::First, 4, 24), Channel::sampling(End::First, 24)],
];

const REQUEST: [&[Channel]; 3] = [
    &[Channel::request(End::Second, 4, 56), Channel::response(End::First, 4, 56)],
    &[Channel::request(End::First, 8, 24), Channel::response(End::Second, 4, 100)],
    &[
        Channel::request(End::First, 4, 40),
        Channel::response(End::Second, 8, 25),
        Channel::request(End::Second, 4, 64),
        Channel::response(End::First, 4, 24),
    ],
];

/// An end against a peer that may change, or answer, any word of the memory with anything.
pub fn handshake(bytes: &[u8]) {
    let input = Input::new(bytes);
    let all = [QUEUING, SAMPLING, REQUEST];
    let channels = all.as_flattened()[usize::from(input.byte()) % 9];
    Run { channels, link_is_honest: false }.run(&input);
}

/// An end with queuing channels whose words a hostile peer writes, while the link is honest and up.
pub fn queuing(bytes: &[u8]) {
    on_a_link_that_is_up(&QUEUING, bytes);
}

/// An end with sampling channels whose words a hostile peer writes, and one that looks on, while the link is honest and up.
pub fn sampling(bytes: &[u8]) {
    on_a_link_that_is_up(&SAMPLING, bytes);
}

/// A requester and a responder whose channels' words a hostile peer writes, while the link is honest and up.
pub fn request(bytes: &[u8]) {
    on_a_link_that_is_up(&REQUEST, bytes);
}

fn on_a_link_that_is_up(choice: &[&'static [Channel]], bytes: &[u8]) {
    let input = Input::new(bytes);
    Run { channels: choice[usize::from(input.byte()) % choice.len()], link_is_honest: true }.run(&input);
}

struct Run {
    channels: &'static [Channel],
    link_is_honest: bool,
}

impl Run {
    fn run(self, input: &Input<'_>) {
        let channels = self.channels;
        let scene = Scene::new(input, channels);
        let end = if input.byte().is_multiple_of(2) { End::First } else { End::Second };
        let length = Mailbox::<Words>::required_len(channels).expect("the channels can be");
        let words = Words::new(length);
        let (own, theirs) = (section(&words, channels, end), section(&words, channels, end.other()));
        let link_lines = |section: &Range<usize>| section.start..section.start + LINK_LINES;
        let spared = if self.link_is_honest { [&own, &theirs].map(link_lines).into() } else { Vec::new() };

        let mut peer_mailboxes = mailboxes(&words, end.other(), channels, LIVES);
        let peer = RefCell::new(Lives::new(&mut peer_mailboxes, end.other(), channels));
        let step = || {
            let mut peer = peer.borrow_mut();
            match input.byte() % 32 {
                31 => peer.restart(1),
                what => {
                    let called = peer.call(what, &scene);
                    assert!(!called.accuses || scene.tampered.get(), "an end that nobody tampered with was accused");
                }
            }
        };
        let oracle = |own| Oracle::new(words.clone(), own, input, &step, &scene.tampered).sparing(spared.clone());
        let aside = oracle(0..0);
        let mut subscriber = Subscriber::new(&aside, end.other(), channels).expect("as long as the mailbox");
        let mut onlooker = Onlooker::new(&mut subscriber, end.other(), &scene);
        let oracle = oracle(own);
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
                0x34..0x3C => {
                    aside.begin_call(disturbance);
                    let called = onlooker.call(&scene);
                    aside.end_call(called.bound);
                    assert!(!called.accuses || scene.tampered.get(), "accused a writer that was honest");
                }
                what @ 0..0x20 => {
                    oracle.begin_call(disturbance);
                    let called = us.call(what, &scene);
                    oracle.end_call(called.bound);
                    assert!(!called.accuses || scene.tampered.get(), "accused a peer that was honest");
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
        for _ in 0..2 {
            us.must_send(&scene, || oracle.begin_call(Disturbance::None));
            peer.borrow_mut().must_receive(&scene, || ());
            peer.borrow_mut().must_send(&scene, || ());
            us.must_receive(&scene, || oracle.begin_call(Disturbance::None));
        }
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
