//! One end of a mailbox, which can be attached anew.

use super::half::{Called, Circumstances, Half};
use super::traffic::Traffic;
use crate::channel::{Attach, Channel, End, Link, LinkState, Mailbox};
use crate::fake::input::Input;
use crate::fake::memory::Bound;
use crate::memory::Memory;
use core::cell::Cell;
use std::vec::Vec;

/// Polls whose ticks the peer may stand still.
const STALE_AFTER: u64 = 5;

/// One end, attached, with mailboxes left to attach anew.
#[derive(Debug)]
pub(super) struct Lives<'a, M> {
    left: core::slice::IterMut<'a, Mailbox<'static, M>>,
    end: End,
    channels: &'static [Channel],
    link: Link<'a, M>,
    halves: Vec<Half<'a, M>>,
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
    Bound { loads: 2, stores: 9 + 2 * channels.len(), words: 0 }
}

impl<'a, M: Memory> Lives<'a, M> {
    /// Attaches the first of the mailboxes.
    pub(super) fn new(mailboxes: &'a mut [Mailbox<'static, M>], end: End, channels: &'static [Channel]) -> Self {
        let mut left = mailboxes.iter_mut();
        let (link, halves) = attach(left.next().expect("there is a mailbox"), end, channels);
        Self { left, end, channels, link, halves, closed: false }
    }

    /// Attaches the next of the mailboxes, if more than `spare` are left.
    pub(super) fn restart(&mut self, spare: usize) -> bool {
        if self.left.len() <= spare {
            return false;
        }
        let Some(mailbox) = self.left.next() else { return false };
        (self.link, self.halves) = attach(mailbox, self.end, self.channels);
        self.closed = false;
        true
    }

    /// One call of the link, or of a half, as the input says.
    pub(super) fn call(&mut self, what: u8, input: &Input<'_>, traffic: &[Traffic], tampered: &Cell<bool>) -> Called {
        match what {
            0..4 => {
                let state = self.poll(input.byte().into());
                // A poll that ends as Waiting may have taken a new epoch: the stores of an attach.
                let attach = if state == LinkState::Waiting { attach_bound(self.channels).stores } else { 0 };
                let bound = Bound { loads: 9, stores: 2 + attach, words: 0 };
                Called { bound, accuses: matches!(state, LinkState::Violated(_) | LinkState::Incompatible { .. }) }
            }
            4 => {
                self.link.resync();
                Called { bound: Bound { loads: 0, stores: 0, words: 0 }, accuses: false }
            }
            5 => {
                self.link.close();
                self.closed = true;
                Called { bound: Bound { loads: 0, stores: 1, words: 0 }, accuses: false }
            }
            _ => {
                let sessions = self.link.stats().sessions;
                let index = usize::from(what) % self.halves.len();
                let half = &mut self.halves[index];
                let traffic = &traffic[half.index];
                half.call(input.byte(), Circumstances { input, traffic, tampered, sessions })
            }
        }
    }

    pub(super) fn poll(&mut self, now: u64) -> LinkState {
        let state = self.link.poll(now);
        assert!(!self.closed || state == LinkState::Closed, "closed, and yet {state:?}");
        state
    }

    pub(super) fn halves(&mut self) -> &mut [Half<'a, M>] {
        &mut self.halves
    }
}

fn attach<'a, M: Memory>(
    mailbox: &'a mut Mailbox<'static, M>,
    end: End,
    channels: &'static [Channel],
) -> (Link<'a, M>, Vec<Half<'a, M>>) {
    let (link, mut taken) = mailbox.attach(Attach { stale_after: STALE_AFTER, ..Attach::interrupt_driven(end as u16) });
    let half = |(index, config): (usize, &Channel)| match config.from() == end {
        true => Half::sender(index, *config, taken.sender(index).expect("taken once")),
        false => Half::receiver(index, *config, taken.receiver(index).expect("taken once")),
    };
    (link, channels.iter().enumerate().map(half).collect())
}
