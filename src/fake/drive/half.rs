//! A half of a channel, or of a pair of channels, and a call of it.

mod queuing;
mod request;
mod sampling;

use super::traffic::Traffic;
use crate::channel::{Channel, Channels, End, Kind};
use crate::fake::input::Input;
use crate::fake::memory::Bound;
use crate::memory::Memory;
use core::cell::Cell;
use core::fmt;
use std::boxed::Box;
use std::vec::Vec;

/// What came of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called {
    /// What its documentation allows it.
    pub(super) bound: Bound,
    /// Whether it accused the peer of what no honest one does.
    pub(super) accuses: bool,
}

impl Called {
    pub(super) const fn within(loads: usize, stores: usize, words: usize) -> Self {
        Self { bound: Bound { loads, stores, words }, accuses: false }
    }

    pub(super) const fn accusing(self, accuses: bool) -> Self {
        Self { accuses, ..self }
    }
}

/// What a call of a half needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'c> {
    pub(super) input: &'c Input<'c>,
    pub(super) traffic: &'c Traffic,
    /// Whether the peer may have done what no honest one does.
    pub(super) tampered: &'c Cell<bool>,
    /// Sessions of the link so far.
    pub(super) sessions: u32,
    /// The time, in the ticks that the link is given.
    pub(super) now: u64,
}

/// One of an end's halves.
pub(super) trait Half: fmt::Debug {
    /// The first of its channels.
    fn index(&self) -> usize;

    /// One call, of a kind that the input chooses.
    fn call(&mut self, with: Circumstances<'_>) -> Called;

    /// Sends what is due, if anything is, to a peer that is honest and there.
    fn must_send(&mut self, traffic: &Traffic);

    /// Receives what that peer has just sent, if it has sent anything.
    fn must_receive(&mut self, traffic: &Traffic);
}

/// All halves of an end.
pub(super) fn take<'a, M: Memory + fmt::Debug>(
    mut taken: Channels<'a, M>,
    end: End,
    channels: &[Channel],
) -> Vec<Box<dyn Half + 'a>> {
    let mut halves: Vec<Box<dyn Half + 'a>> = Vec::new();
    for (index, config) in channels.iter().enumerate() {
        let sends = config.from() == end;
        match config.kind() {
            Kind::Queuing if sends => halves.push(Box::new(queuing::Sends::new(index, *config, &mut taken))),
            Kind::Queuing => halves.push(Box::new(queuing::Receives::new(index, *config, &mut taken))),
            Kind::Sampling if sends => halves.push(Box::new(sampling::Writes::new(index, *config, &mut taken))),
            Kind::Sampling => {
                let reader = taken.reader(index).expect("taken once");
                halves.push(Box::new(sampling::Reads::new(index, *config, reader)));
            }
            // Its responses are on the next channel.
            Kind::Request if sends => halves.push(Box::new(request::Asks::new(index, channels, &mut taken))),
            Kind::Request => halves.push(Box::new(request::Answers::new(index, channels, &mut taken))),
            Kind::Response => {}
        }
    }
    halves
}

pub(super) use sampling::Reads;

/// Payload words of a channel's longest message.
fn words(config: Channel) -> usize {
    usize::from(config.max_len()).div_ceil(8)
}
