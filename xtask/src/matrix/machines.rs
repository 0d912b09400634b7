//! Every machine with every way to its configuration space: found, placed if firmware did not, talked to both ways.

use super::Case;
use super::scene::{Claim, Scene, Share};
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

/// Where OVMF puts memory of whatever size: at 896 GiB.
const FAR: u64 = 0xE0_0000_0000;

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = WAYS
        .into_iter()
        .map(|(machine, way)| both(machine, way).case(GROUP, "a plain and a doorbell device"))
        .collect();
    for (machine, way) in [WAYS[3], WAYS[4], WAYS[5]] {
        let scene = Scene::new(machine, Some(way));
        cases.push(far(scene.clone()).case(GROUP, "memory at 896 GiB, where OVMF would put it"));
        cases.push(large(scene.clone()).case(GROUP, "1, 4 and 16 GiB, all to be placed"));
        cases.push(deep(scene).case(GROUP, "behind root port, switch and conventional bridges, no window open"));
    }
    cases.push(
        extra_root(Scene::new(Machine::Q35Qboot, Some("ecam"))).case(GROUP, "an extra root bus without firmware"),
    );
    cases
}

fn both(machine: Machine, way: &'static str) -> Scene {
    Scene::new(machine, Some(way))
        .device(Share::Plain { size: 1 << 20 }, "addr=4")
        .device(Share::Doorbell { size: 4 << 20, vectors: 4 }, "addr=5")
        .talk(0, Reception::Polled)
        .talk(1, Reception::Interrupt)
        .talk(1, Reception::Polled)
}

fn far(scene: Scene) -> Scene {
    scene
        .option(&format!("mem64={FAR:#x}-0xffffffffff"))
        .device(Share::Doorbell { size: 1 << 20, vectors: 2 }, "addr=4")
        .claim(0, Claim::At(FAR))
        .talk(0, Reception::Interrupt)
        .talk(0, Reception::Polled)
}

fn large(scene: Scene) -> Scene {
    let plain = |size| Share::Plain { size };
    scene
        .device(plain(1 << 30), "addr=4")
        .device(Share::Doorbell { size: 4 << 30, vectors: 2 }, "addr=5")
        .device(plain(16 << 30), "addr=6")
        .talk(0, Reception::Polled)
        .talk(1, Reception::Interrupt)
        .talk(2, Reception::Polled)
}

/// Bridges of every kind. A microvm's have no numbers either; qboot on q35 gives them, in descending order of slots.
fn deep(scene: Scene) -> Scene {
    scene
        .with("pcie-root-port,id=root,slot=1,bus=pcie.0,addr=3")
        .with("x3130-upstream,id=up,bus=root")
        .with("xio3130-downstream,id=down1,bus=up,addr=0,chassis=1,slot=2")
        .with("xio3130-downstream,id=down2,bus=up,addr=1,chassis=1,slot=3")
        .with("pcie-pci-bridge,id=conventional,bus=down2")
        .with("pci-bridge,id=nested,bus=conventional,addr=2,chassis_nr=7")
        .device(Share::Doorbell { size: 2 << 20, vectors: 2 }, "bus=conventional,addr=1")
        .device(Share::Plain { size: 64 << 20 }, "bus=nested,addr=1")
        .talk(0, Reception::Interrupt)
        .talk(1, Reception::Polled)
}

fn extra_root(scene: Scene) -> Scene {
    scene
        .with("pxb-pcie,id=far,bus_nr=128")
        .with("pcie-root-port,id=behind,bus=far,slot=2")
        .device(Share::Plain { size: 1 << 20 }, "bus=pcie.0,addr=4")
        .device(Share::Doorbell { size: 4 << 20, vectors: 4 }, "bus=behind")
        .talk(0, Reception::Polled)
        .talk(1, Reception::Interrupt)
}
