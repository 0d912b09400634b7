//! One more that reads the samples, from outside the mailbox.

use super::end::Scene;
use super::half::{Called, Half, Reads};
use crate::channel::{End, Kind, LinkState, Subscriber, Watch};
use crate::memory::Memory;
use core::fmt;
use std::vec::Vec;

/// A subscriber to one end's values.
#[derive(Debug)]
pub(super) struct Onlooker<'a, M> {
    watch: Watch<'a, M>,
    readers: Vec<Reads<'a, M>>,
    sessions: u32,
}

impl<'a, M: Memory + fmt::Debug> Onlooker<'a, M> {
    pub(super) fn new(subscriber: &'a mut Subscriber<'static, M>, from: End, scene: &Scene<'_>) -> Self {
        let (watch, mut values) = subscriber.subscribe(50);
        let sampled = |config: &crate::channel::Channel| config.kind() == Kind::Sampling && config.from() == from;
        let readers = (0..).zip(scene.channels).filter(|(_, config)| sampled(config));
        let readers =
            readers.map(|(index, config)| Reads::new(index, *config, values.reader(index).expect("taken once")));
        let readers = readers.collect();
        Self { watch, readers, sessions: 0 }
    }

    /// One call: it may load 6 words, or as a reader does, and store none.
    pub(super) fn call(&mut self, scene: &Scene<'_>) -> Called {
        let what = usize::from(scene.input.byte());
        if self.readers.is_empty() || what.is_multiple_of(3) {
            let state = self.watch.poll(scene.tick());
            return Called::within(6, 0, 0).accusing(matches!(
                state,
                LinkState::Violated(_) | LinkState::Incompatible { .. } | LinkState::OtherVersion { .. }
            ));
        }
        let index = what % self.readers.len();
        let reader = &mut self.readers[index];
        let mut called = reader.call(scene.circumstances(reader.index(), self.sessions));
        called.bound.stores = 0;
        called
    }
}
