//! Every machine with every way to its configuration space: found, placed if firmware did not, talked to both ways.

use super::Case;
use super::scene::{Scene, Share};
use super::talk::Reception;
use crate::vm::Machine;

const GROUP: &str = "machines";

/// How each is told to reach configuration space.
const WAYS: [(Machine, &str); 7] = [
    (Machine::Q35, "ecam"),
    (Machine::Q35, "port-io"),
    (Machine::Pc, "port-io"),
    (Machine::Q35Qboot, "ecam"),
    (Machine::Q35Qboot, "port-io"),
    (Machine::Microvm, MICROVM),
    (Machine::MicrovmQboot, MICROVM),
];
const MICROVM: &str = "ecam:0xe0000000";

pub fn cases() -> Vec<Case> {
    WAYS.into_iter().map(|(machine, way)| both(machine, way).case(GROUP, "a plain and a doorbell device")).collect()
}

fn both(machine: Machine, way: &'static str) -> Scene {
    Scene::new(machine, Some(way))
        .device(Share::Plain { size: 1 << 20 }, "addr=4")
        .device(Share::Doorbell { size: 4 << 20, vectors: 4 }, "addr=5")
        .talk(0, Reception::Polled)
        .talk(1, Reception::Interrupt)
        .talk(1, Reception::Polled)
}
