//! Random interleavings of everything a requester and a responder can do, restarts, resyncs, closes, cancellations, budgets and lost
//! doorbells included, against a plain model: every request started ends exactly once, and is done at most once.

mod ends;
mod model;
mod step;
mod world;

use ivshmem::channel::request::RequestError;
use ivshmem::channel::{Channel, End};
use proptest::prelude::*;
use std::collections::HashMap;
use step::{Step, step};
use world::World;

const CHANNELS: [Channel; 2] = [Channel::request(End::Second, 4, 48), Channel::response(End::First, 4, 48)];
/// Requests that the requester has open at most, and those that a responder or server has.
const ASKED: usize = 5;
const TAKEN: usize = 3;
/// Ticks a microsecond.
const TICKS: u64 = 10;

fn run(server: bool, steps: Vec<Step>) {
    let mut world = World::new(server);
    for step in steps {
        world.step(step);
    }
    world.settle();
    assert_eq!(world.asking.open, HashMap::new(), "requests that never end");
    // And new ones are answered, each.
    let ended = world.model.ended;
    for _ in 0..8 {
        let started = match world.start(0) {
            // News that was due, once.
            Err(RequestError::PeerRestarted { open: 0 } | RequestError::PeerResynced { open: 0 }) => world.start(0),
            started => started,
        };
        started.expect("nothing is in the way of a new request");
        for _ in 0..4 {
            world.take(1);
            world.respond(0, false);
            world.look();
        }
    }
    assert_eq!(world.model.ended, ended + 8, "the channels are dead");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_request_ends_exactly_once_and_is_done_at_most_once_answered_later(
        steps in proptest::collection::vec(step(), 1..300)
    ) {
        run(false, steps);
    }

    #[test]
    fn every_request_ends_exactly_once_and_is_done_at_most_once_on_a_budget_per_cycle(
        steps in proptest::collection::vec(step(), 1..300)
    ) {
        run(true, steps);
    }
}
