//! Where on the buses the device is.

use super::Case;
use super::scene::{Scene, Share};
use super::talk::Reception::{Interrupt, Polled};
use crate::vm::Machine;

const GROUP: &str = "topology";

/// Every way to configuration space that a machine has. Where no firmware numbers buses and places BARs, the driver does.
const Q35: [(Machine, &str); 2] = [(Machine::Q35, "ecam"), (Machine::Q35, "port-io")];
const EXPRESS: [(Machine, &str); 5] = [
    (Machine::Q35, "ecam"),
    (Machine::Q35, "port-io"),
    (Machine::Q35Qboot, "ecam"),
    (Machine::Q35Qboot, "port-io"),
    MICROVM[0],
];
const MICROVM: [(Machine, &str); 1] = [(Machine::Microvm, "ecam:0xe0000000")];
const PC: [(Machine, &str); 1] = [(Machine::Pc, "port-io")];

const PLAIN: Share = Share::Plain { size: 1 << 20 };
const DOORBELL: Share = Share::Doorbell { size: 2 << 20, vectors: 4 };

/// Where, on which machines, and how such a machine is made of a bare one.
type Place = (&'static str, &'static [(Machine, &'static str)], fn(Scene) -> Scene);

const PLACES: &[Place] = &[
    ("slots 1 and 1f behind a conventional bridge", &EXPRESS, |bare| conventional(bare, "pcie.0")),
    ("slots 1 and 1f behind a conventional bridge", &PC, |bare| conventional(bare, "pci.0")),
    ("five conventional bridges one behind the other", &EXPRESS, |bare| nested(bare, "pcie.0")),
    ("five conventional bridges one behind the other", &PC, |bare| nested(bare, "pci.0")),
    ("i82801b11 bridge, and a conventional one behind it", &EXPRESS, |bare| i82801b11(bare, "pcie.0")),
    ("root ports, three in one slot", &EXPRESS, root_ports),
    ("functions 0, 3 and 7 behind a root port", &EXPRESS, functions_behind_a_port),
    ("slots 0 and 1 behind a root port", &EXPRESS, slots_behind_a_port),
    ("switch, and a switch behind its downstream port", &EXPRESS, switches),
    ("pcie-pci-bridge on the root bus and behind a root port", &EXPRESS, pcie_pci_bridge),
    ("extra root buses: pxb-pcie with bus numbers from 128 and 240", &EXPRESS, pxb_pcie),
    ("extra root buses: pxb with bus numbers from 128 and 240", &PC, pxb),
    ("functions 0, 3 and 7 of one slot, 1 and 7 of the next", &EXPRESS, |bare| functions(bare, "pcie.0")),
    ("functions 0, 3 and 7 of one slot, 1 and 7 of the next", &PC, |bare| functions(bare, "pci.0")),
    ("the root bus' last slot and its last function", &Q35, |bare| {
        bare.device(DOORBELL, "bus=pcie.0,addr=1e")
            .device(PLAIN, "bus=pcie.0,addr=1f.7")
            .talk(0, Interrupt)
            .talk(1, Polled)
    }),
    ("the root bus' last slot", &MICROVM, |bare| last_slot(bare, "pcie.0")),
    ("the root bus' last slot", &PC, |bare| last_slot(bare, "pci.0")),
    ("20 devices", &EXPRESS, |bare| twenty(bare, "pcie.0")),
    ("20 devices", &PC, |bare| twenty(bare, "pci.0")),
    ("among eight others of vendor 1af4", &EXPRESS, |bare| decoys(bare, "pcie.0")),
    ("among eight others of vendor 1af4", &PC, |bare| decoys(bare, "pci.0")),
    ("plain beside doorbell", &EXPRESS, |bare| kinds(bare, "pcie.0")),
    ("plain beside doorbell", &PC, |bare| kinds(bare, "pci.0")),
    ("two doorbells of one server in one VM", &EXPRESS, |bare| two_of_one(bare, "pcie.0")),
    ("two doorbells of one server in one VM", &PC, |bare| two_of_one(bare, "pci.0")),
    ("doorbells of two servers in one VM", &EXPRESS, |bare| two_servers(bare, "pcie.0")),
    ("doorbells of two servers in one VM", &PC, |bare| two_servers(bare, "pci.0")),
];

pub fn cases() -> Vec<Case> {
    let on = |(place, machines, make): &Place| {
        let scene =
            |(machine, config): &(Machine, &'static str)| make(Scene::new(*machine, Some(config))).case(GROUP, place);
        machines.iter().map(scene).collect::<Vec<_>>()
    };
    PLACES.iter().flat_map(on).collect()
}

fn conventional(bare: Scene, root: &str) -> Scene {
    bare.with(&format!("pci-bridge,id=bridge,bus={root},addr=5,chassis_nr=1"))
        .device(PLAIN, "bus=bridge,addr=1")
        .device(DOORBELL, "bus=bridge,addr=1f")
        .talk(0, Polled)
        .talk(1, Interrupt)
}

fn nested(bare: Scene, root: &str) -> Scene {
    let mut scene = bare.with(&format!("pci-bridge,id=bridge1,bus={root},addr=5,chassis_nr=1"));
    for number in 2..=5 {
        let behind = number - 1;
        scene = scene.with(&format!("pci-bridge,id=bridge{number},bus=bridge{behind},addr=3,chassis_nr={number}"));
    }
    scene
        .device(DOORBELL, "bus=bridge1,addr=2")
        .device(PLAIN, "bus=bridge3,addr=4")
        .device(DOORBELL, "bus=bridge5,addr=1f")
        .talk(0, Interrupt)
        .talk(1, Polled)
        .talk(2, Interrupt)
}

fn i82801b11(bare: Scene, root: &str) -> Scene {
    bare.with(&format!("i82801b11-bridge,id=dmi,bus={root},addr=1e"))
        .with("pci-bridge,id=behind,bus=dmi,addr=1,chassis_nr=1")
        .device(PLAIN, "bus=dmi,addr=3")
        .device(DOORBELL, "bus=behind,addr=4")
        .talk(0, Polled)
        .talk(1, Interrupt)
}

fn root_ports(bare: Scene) -> Scene {
    bare.with("pcie-root-port,id=port1,bus=pcie.0,addr=4.0,multifunction=on,slot=1,chassis=1")
        .with("pcie-root-port,id=port2,bus=pcie.0,addr=4.3,slot=2,chassis=2")
        .with("ioh3420,id=port3,bus=pcie.0,addr=4.7,slot=3,chassis=3")
        .device(DOORBELL, "bus=port1")
        .device(PLAIN, "bus=port2")
        .device(DOORBELL, "bus=port3")
        .talk(0, Interrupt)
        .talk(1, Polled)
        .talk(2, Interrupt)
}

fn functions_behind_a_port(bare: Scene) -> Scene {
    bare.with("pcie-root-port,id=root,bus=pcie.0,addr=4,slot=1,chassis=1")
        .device(DOORBELL, "bus=root,addr=0.0,multifunction=on")
        .device(PLAIN, "bus=root,addr=0.3")
        .device(DOORBELL, "bus=root,addr=0.7")
        .talk(0, Interrupt)
        .talk(1, Polled)
        .talk(2, Interrupt)
}

/// Not slot 1 alone: a port with nothing in slot 0 has no power, and whatever is behind it does not answer.
fn slots_behind_a_port(bare: Scene) -> Scene {
    bare.with("pcie-root-port,id=root,bus=pcie.0,addr=4,slot=1,chassis=1")
        .device(PLAIN, "bus=root,addr=0")
        .device(DOORBELL, "bus=root,addr=1")
        .talk(0, Polled)
        .talk(1, Interrupt)
}

fn switches(bare: Scene) -> Scene {
    bare.with("pcie-root-port,id=root,bus=pcie.0,addr=4,slot=1,chassis=1")
        .with("x3130-upstream,id=upstream,bus=root")
        .with("xio3130-downstream,id=down1,bus=upstream,addr=0,slot=2,chassis=2")
        .with("xio3130-downstream,id=down2,bus=upstream,addr=1,slot=3,chassis=3")
        .with("xio3130-downstream,id=down3,bus=upstream,addr=1f,slot=4,chassis=4")
        .with("x3130-upstream,id=next,bus=down2")
        .with("xio3130-downstream,id=far,bus=next,addr=9,slot=5,chassis=5")
        .device(PLAIN, "bus=down1")
        .device(DOORBELL, "bus=far")
        .device(DOORBELL, "bus=down3")
        .talk(0, Polled)
        .talk(1, Interrupt)
        .talk(2, Interrupt)
}

fn pcie_pci_bridge(bare: Scene) -> Scene {
    bare.with("pcie-pci-bridge,id=integrated,bus=pcie.0,addr=4")
        .with("pcie-root-port,id=root,bus=pcie.0,addr=5,slot=1,chassis=1")
        .with("pcie-pci-bridge,id=behind,bus=root")
        .device(DOORBELL, "bus=integrated,addr=1f")
        .device(PLAIN, "bus=behind,addr=1")
        .device(DOORBELL, "bus=behind,addr=1f")
        .talk(0, Interrupt)
        .talk(1, Polled)
        .talk(2, Interrupt)
}

fn pxb_pcie(bare: Scene) -> Scene {
    bare.with("pxb-pcie,id=far,bus=pcie.0,bus_nr=128")
        .with("pcie-root-port,id=port1,bus=far,addr=1,slot=1,chassis=1")
        .with("pxb-pcie,id=farther,bus=pcie.0,bus_nr=240")
        .with("pcie-root-port,id=port2,bus=farther,addr=0,slot=2,chassis=2")
        .with("x3130-upstream,id=upstream,bus=port2")
        .with("xio3130-downstream,id=down,bus=upstream,slot=3,chassis=3")
        .device(PLAIN, "bus=pcie.0,addr=8")
        .device(DOORBELL, "bus=port1")
        .device(DOORBELL, "bus=down")
        .talk(0, Polled)
        .talk(1, Interrupt)
        .talk(2, Interrupt)
}

fn pxb(bare: Scene) -> Scene {
    bare.with("pxb,id=far,bus=pci.0,bus_nr=128")
        .with("pxb,id=farther,bus=pci.0,bus_nr=240")
        .device(PLAIN, "bus=pci.0,addr=8")
        .device(DOORBELL, "bus=far,addr=3")
        .device(DOORBELL, "bus=farther,addr=1f")
        .talk(0, Polled)
        .talk(1, Interrupt)
        .talk(2, Interrupt)
}

fn functions(bare: Scene, root: &str) -> Scene {
    bare.with(&format!("virtio-rng-pci,bus={root},addr=9.0,multifunction=on"))
        .device(PLAIN, &format!("bus={root},addr=8.0,multifunction=on"))
        .device(DOORBELL, &format!("bus={root},addr=8.3"))
        .device(DOORBELL, &format!("bus={root},addr=8.7"))
        .device(PLAIN, &format!("bus={root},addr=9.1"))
        .device(DOORBELL, &format!("bus={root},addr=9.7"))
        .talk(0, Polled)
        .talk(1, Interrupt)
        .talk(2, Interrupt)
        .talk(3, Polled)
        .talk(4, Interrupt)
}

fn last_slot(bare: Scene, root: &str) -> Scene {
    bare.device(PLAIN, &format!("bus={root},addr=1e"))
        .device(DOORBELL, &format!("bus={root},addr=1f"))
        .talk(0, Polled)
        .talk(1, Interrupt)
}

/// Four slots full of functions, plain and doorbell by turns, but for the last two slots' odd ones.
fn twenty(bare: Scene, root: &str) -> Scene {
    let mut scene = bare;
    for (slot, functions) in [(0xa, 8), (0xb, 8), (0x1c, 4)] {
        for function in 0..functions {
            let share = if function % 2 == 0 { PLAIN } else { DOORBELL };
            let multi = if function == 0 { ",multifunction=on" } else { "" };
            scene = scene.device(share, &format!("bus={root},addr={slot:x}.{function}{multi}"));
        }
    }
    scene.talk(0, Polled).talk(9, Interrupt).talk(19, Interrupt)
}

/// Virtio devices have ivshmem's vendor, and some its class.
fn decoys(bare: Scene, root: &str) -> Scene {
    let mut scene = bare;
    let decoys = ["rng", "balloon", "serial", "net", "scsi", "keyboard", "mouse", "tablet"];
    for (slot, decoy) in (5..).step_by(2).zip(decoys) {
        // Without what it would load from the disk for the firmware.
        let rom = if decoy == "net" { ",romfile=" } else { "" };
        scene = scene.with(&format!("virtio-{decoy}-pci,bus={root},addr={slot:x}{rom}"));
    }
    scene
        .device(PLAIN, &format!("bus={root},addr=6"))
        .device(DOORBELL, &format!("bus={root},addr=e"))
        .talk(0, Polled)
        .talk(1, Interrupt)
}

fn kinds(bare: Scene, root: &str) -> Scene {
    bare.device(PLAIN, &format!("bus={root},addr=6"))
        .device(DOORBELL, &format!("bus={root},addr=7"))
        .talk(0, Polled)
        .talk(1, Interrupt)
        .talk(1, Polled)
}

fn two_of_one(bare: Scene, root: &str) -> Scene {
    bare.device(DOORBELL, &format!("bus={root},addr=6"))
        .partner(0, &format!("bus={root},addr=7"))
        .talk(0, Interrupt)
        .talk(1, Interrupt)
        .talk(0, Polled)
        .ring_each_other()
}

fn two_servers(bare: Scene, root: &str) -> Scene {
    let other = Share::Doorbell { size: 1 << 20, vectors: 2 };
    bare.device(DOORBELL, &format!("bus={root},addr=6"))
        .device(other, &format!("bus={root},addr=7"))
        .talk(0, Interrupt)
        .talk(1, Interrupt)
        .talk(1, Polled)
}
