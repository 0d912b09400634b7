//! How large the memory is, and how high the firmware or the driver puts it. It is sparse: only what is touched takes memory of the host.

use super::Case;
use super::scene::{Claim, Scene, Share};
use super::talk::Reception::{Interrupt, Polled};
use crate::vm::Machine;

const GROUP: &str = "memory";

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bytes and how they are called. A mailbox with the channels of `echo` takes more than 32 KiB.
const SIZES: [(u64, &str); 12] = [
    (4 * KIB, "4 KiB"),
    (8 * KIB, "8 KiB"),
    (64 * KIB, "64 KiB"),
    (MIB, "1 MiB"),
    (2 * MIB, "2 MiB"),
    (64 * MIB, "64 MiB"),
    (256 * MIB, "256 MiB"),
    (512 * MIB, "512 MiB"),
    (GIB, "1 GiB"),
    (2 * GIB, "2 GiB"),
    (4 * GIB, "4 GiB"),
    (16 * GIB, "16 GiB"),
];

/// With the ways to configuration space and the root bus' names; on the last two it is the driver that places the memory.
const MACHINES: [(Machine, &str, &str); 4] = [
    (Machine::Q35, "ecam", "pcie.0"),
    (Machine::Pc, "port-io", "pci.0"),
    (Machine::Q35Qboot, "ecam", "pcie.0"),
    (Machine::Microvm, "ecam:0xe0000000", "pcie.0"),
];

pub fn cases() -> Vec<Case> {
    let bare = |machine, config| Scene::new(machine, Some(config));
    let mut cases = Vec::new();
    for (machine, config, root) in MACHINES {
        cases.push(sub_page(bare(machine, config), root).case(GROUP, "16 bytes to 2 KiB"));
    }
    for (size, name) in SIZES {
        for (machine, config, root) in MACHINES {
            cases.push(of_size(bare(machine, config), root, size).case(GROUP, name));
        }
    }
    for (machine, config, root) in MACHINES {
        cases.push(several(bare(machine, config), root).case(GROUP, "1, 2, 4 and 16 GiB at once"));
    }
    for (machine, config, root) in MACHINES {
        cases.push(above_ram(bare(machine, config), root).case(GROUP, "above 6 GiB of RAM"));
    }
    cases.push(above_4_gib(bare(Machine::Q35, "ecam")).case(GROUP, "1 MiB above 4 GiB"));
    cases
}

/// Less than a page is refused, and what is beside it is not.
fn sub_page(bare: Scene, root: &str) -> Scene {
    let mut scene = bare;
    for (slot, shift) in (5..).zip(4..12) {
        scene = scene.device(Share::Plain { size: 1 << shift }, &format!("bus={root},addr={slot:x}"));
    }
    scene.device(Share::Plain { size: MIB }, &format!("bus={root},addr=10")).until(10).talk(8, Polled)
}

fn of_size(bare: Scene, root: &str, size: u64) -> Scene {
    let scene = bare
        .device(Share::Plain { size }, &format!("bus={root},addr=5"))
        .device(Share::Doorbell { size, vectors: 2 }, &format!("bus={root},addr=6"));
    if size < 64 * KIB {
        return scene.device(Share::Plain { size: MIB }, &format!("bus={root},addr=7")).talk(2, Polled);
    }
    scene.talk(0, Polled).talk(1, Interrupt)
}

fn several(bare: Scene, root: &str) -> Scene {
    bare.device(Share::Plain { size: 2 * GIB }, &format!("bus={root},addr=5"))
        .device(Share::Doorbell { size: GIB, vectors: 2 }, &format!("bus={root},addr=6"))
        .device(Share::Plain { size: 16 * GIB }, &format!("bus={root},addr=7"))
        .device(Share::Doorbell { size: 4 * GIB, vectors: 2 }, &format!("bus={root},addr=8"))
        .talk(0, Polled)
        .talk(1, Interrupt)
        .talk(2, Polled)
        .talk(3, Interrupt)
}

fn above_ram(bare: Scene, root: &str) -> Scene {
    let mut scene = bare
        .device(Share::Doorbell { size: 4 * GIB, vectors: 2 }, &format!("bus={root},addr=5"))
        .device(Share::Plain { size: 16 * GIB }, &format!("bus={root},addr=6"))
        .claim(0, Claim::AboveRam)
        .claim(1, Claim::AboveRam);
    scene.mebibytes = 6144;
    scene.talk(0, Interrupt).talk(1, Polled)
}

/// A port that asks the firmware for more than there is below 4 GiB.
fn above_4_gib(bare: Scene) -> Scene {
    bare.with("pcie-root-port,id=high,bus=pcie.0,addr=5,pref64-reserve=32G")
        .device(Share::Doorbell { size: MIB, vectors: 2 }, "bus=high")
        .claim(0, Claim::Above4GiB)
        .talk(0, Interrupt)
        .talk(0, Polled)
}
