//! Every machine, each with a plain and a doorbell device on its root bus: found, placed if firmware did not, talked to both ways.

use super::Case;
use super::scene::{Scene, Share};
use super::talk::Reception;
use crate::vm::Machine;

const GROUP: &str = "machines";

pub fn cases() -> Vec<Case> {
    Machine::ALL.into_iter().map(|machine| scene(machine).case(GROUP, "a plain and a doorbell device")).collect()
}

fn scene(machine: Machine) -> Scene {
    Scene::new(machine, None)
        .device(Share::Plain { size: 1 << 20 }, "addr=4")
        .device(Share::Doorbell { size: 4 << 20, vectors: 4 }, "addr=5")
        .talk(0, Reception::Polled)
        .talk(1, Reception::Interrupt)
        .talk(1, Reception::Polled)
}
