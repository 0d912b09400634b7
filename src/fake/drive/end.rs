//! One end of a mailbox, which can be attached anew.

use super::half::{self, Called, Circumstances, Half};
use super::traffic::Traffic;
use crate::channel::{Attach, Channel, End, Link, LinkState, Mailbox};
use crate::fake::input::Input;
use crate::fake::memory::Bound;
use crate::memory::Memory;
use core::cell::Cell;
use core::fmt;
use std::boxed::Box;
use std::vec::Vec;

/// Ticks that the peer may stand still.
const STALE_AFTER: u64 = 50;

/// What every call of one run has to do with.
#[derive(Debug)]
pub(super) struct Scene<'s> {
    pub(super) input: &'s Input<'s>,
    pub(super) channels: &'static [Channel],
    /// What went over each channel.
    pub(super) traffic: Vec<Traffic>,
    /// Whether the peer has ever done what no honest one does.
    pub(super) tampered: Cell<bool>,
    clock: Cell<u64>,
}

impl<'s> Scene<'s> {
    pub(super) fn new(input: &'s Input<'s>, channels: &'static [Channel]) -> Self {
        let traffic = channels.iter().map(|_| Traffic::default()).collect();
        Self { input, channels, traffic, tampered: Cell::new(false), clock: Cell::new(0) }
    }

    /// The time, some ticks later; or earlier, once in a while.
    pub(super) fn tick(&self) -> u64 {
        let now = match self.input.byte() {
            u8::MAX => self.clock.get() / 2,
            ticks => self.clock.get() + u64::from(ticks % 16),
        };
        self.clock.set(now);
        now
    }

    /// What a call of a half of channel `index` needs to know.
    pub(super) fn circumstances(&self, index: usize, sessions: u32) -> Circumstances<'_> {
        let (input, traffic, tampered) = (self.input, &self.traffic[index], &self.tampered);
        Circumstances { input, traffic, tampered, sessions, now: self.clock.get() }
    }
}

/// One end, attached, with mailboxes left to attach anew.
#[derive(Debug)]
pub(super) struct Lives<'a, M> {
    left: core::slice::IterMut<'a, Mailbox<'static, M>>,
    end: End,
    channels: &'static [Channel],
    link: Link<'a, M>,
    halves: Vec<Box<dyn Half + 'a>>,
    closed: bool,
}

/// Mailboxes for as many lives.
pub(super) fn mailboxes<M: Memory + Clone>(
    memory: &M,
    end: End,
    channels: &'static [Channel],
    lives: usize,
) -> Vec<Mailbox<'static, M>> {
    let mailbox = || Mailbox::new(memory.clone(), end, channels).expect("the memory is as long as the mailbox");
    (0..lives).map(|_| mailbox()).collect()
}

/// What [`Mailbox::attach`] may do.
pub(super) fn attach_bound(channels: &[Channel]) -> Bound {
    Bound { loads: 2 + channels.len(), stores: 9 + 2 * channels.len(), words: 0 }
}

impl<'a, M: Memory + fmt::Debug> Lives<'a, M> {
    /// Attaches the first of the mailboxes.
    pub(super) fn new(mailboxes: &'a mut [Mailbox<'static, M>], end: End, channels: &'static [Channel]) -> Self {
        let mut left = mailboxes.iter_mut();
        let (link, halves) = attach(left.next().expect("there is a mailbox"), end, channels);
        Self { left, end, channels, link, halves, closed: false }
    }

    /// Attaches the next of the mailboxes, if more than `spare` are left.
    pub(super) fn restart(&mut self, spare: usize) {
        if self.left.len() > spare
            && let Some(mailbox) = self.left.next()
        {
            (self.link, self.halves) = attach(mailbox, self.end, self.channels);
            self.closed = false;
        }
    }

    /// One call of the link, or of a half, as the input says.
    pub(super) fn call(&mut self, what: u8, scene: &Scene<'_>) -> Called {
        match what {
            0..4 => {
                let state = self.poll(scene.tick());
                let more = match state {
                    // Perhaps a new peer was answered, or a new epoch taken: the stores of an attach.
                    LinkState::Waiting => attach_bound(self.channels).stores,
                    LinkState::PeerRestarted => 8,
                    _ => 0,
                };
                let accuses = matches!(
                    state,
                    LinkState::Violated(_) | LinkState::Incompatible { .. } | LinkState::OtherVersion { .. }
                );
                Called::within(9 + self.channels.len(), 1 + more, 0).accusing(accuses)
            }
            4 => {
                self.link.resync();
                Called::within(0, 0, 0)
            }
            5 => {
                self.link.close();
                self.closed = true;
                Called::within(0, 1, 0)
            }
            _ => {
                let index = usize::from(what) % self.halves.len();
                let half = &mut self.halves[index];
                half.call(scene.circumstances(half.index(), self.link.stats().sessions))
            }
        }
    }

    pub(super) fn poll(&mut self, now: u64) -> LinkState {
        let state = self.link.poll(now);
        assert!(!self.closed || state == LinkState::Closed, "closed, and yet {state:?}");
        state
    }

    /// Sends what is due to a peer that is there.
    pub(super) fn must_send(&mut self, scene: &Scene<'_>, between: impl Fn()) {
        for half in &mut self.halves {
            between();
            half.must_send(&scene.traffic[half.index()]);
        }
    }

    /// Receives what the peer has sent.
    pub(super) fn must_receive(&mut self, scene: &Scene<'_>, between: impl Fn()) {
        for half in &mut self.halves {
            between();
            half.must_receive(&scene.traffic[half.index()]);
        }
    }
}

fn attach<'a, M: Memory + fmt::Debug>(
    mailbox: &'a mut Mailbox<'static, M>,
    end: End,
    channels: &'static [Channel],
) -> (Link<'a, M>, Vec<Box<dyn Half + 'a>>) {
    let attach = Attach { stale_after: STALE_AFTER, ..Attach::interrupt_driven(end as u16) };
    let (link, taken) = mailbox.attach(attach);
    (link, half::take(taken, end, channels))
}
