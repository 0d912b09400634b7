//! What `probe` itself promises: any way to configuration space, no device, a way that is missing, memory touched and restored.

use super::scene::{Scene, Share, finish};
use super::talk::Reception;
use super::{Bench, Case, Shown};
use crate::vm::{Link, Machine, Session};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;

const GROUP: &str = "probe";

/// The exit status of QEMU when the image ended as a failure: 0x11 through isa-debug-exit.
const FAILURE: i32 = 35;

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [Machine::Q35, Machine::Pc]
        .into_iter()
        .flat_map(|machine| [None, Some("auto"), Some("ecam"), Some("port-io")].map(|config| (machine, config)))
        .filter(|case| *case != (Machine::Pc, Some("ecam")))
        .map(|(machine, config)| {
            let option = config.map_or_else(|| "no option".to_owned(), |config| format!("config={config}"));
            everywhere(machine, config).case(GROUP, &format!("devices in all kinds of places, with {option}"))
        })
        .collect();
    cases.push(Case::new(GROUP, "no device at all", "q35", no_device));
    cases.push(Case::new(GROUP, "the mechanism asked for is missing", "pc", no_mechanism));
    cases.push(Case::new(GROUP, "memory's ends are touched and restored, but not with touch=no", "q35", touch));
    cases
}

/// Functions in all kinds of places: the root bus, a second function, a bridge, an extra root bus; a server has two of them.
fn everywhere(machine: Machine, config: Option<&'static str>) -> Scene {
    let (small, large) = (Share::Plain { size: 1 << 20 }, Share::Plain { size: 256 << 20 });
    let server = Share::Doorbell { size: 4 << 20, vectors: 3 };
    let scene = Scene::new(machine, config);
    let scene = match machine {
        Machine::Q35 => scene
            .with("pcie-root-port,id=near,slot=1")
            .with("pxb-pcie,id=far,bus_nr=128")
            .with("pcie-root-port,id=behind,bus=far,slot=2")
            .device(small, "bus=pcie.0,addr=6.0,multifunction=on")
            .device(server, "bus=pcie.0,addr=6.3")
            .device(large, "bus=near")
            .partner(1, "bus=behind"),
        Machine::Pc => scene
            .with("pci-bridge,id=near,chassis_nr=1")
            .with("pxb,id=far,bus_nr=128")
            .device(small, "bus=pci.0,addr=6.0,multifunction=on")
            .device(server, "bus=pci.0,addr=6.3")
            .device(large, "bus=near,addr=2")
            .partner(1, "bus=far,addr=3"),
        // Without firmware neither bus numbers nor BARs are there: see `machines`.
        Machine::Q35Qboot | Machine::Microvm | Machine::MicrovmQboot => unreachable!("no case of this group"),
    };
    scene.talk(0, Reception::Polled).talk(3, Reception::Interrupt)
}

fn no_device(bench: &Bench, session: &mut Session) -> Result<Shown> {
    let lines = finish(bench.image("probe").start(session, Vec::new())?)?;
    ensure!(lines.len() == 2 && lines[1] == "probe: end devices=0 errors=0", "{lines:#?}");
    Ok(Shown::new(&["nothing found"]))
}

fn no_mechanism(bench: &Bench, session: &mut Session) -> Result<Shown> {
    let mut image = bench.image("probe").options("config=ecam");
    image.machine = Machine::Pc;
    let mut image = image.start(session, Vec::new())?;
    image.event("error ")?;
    let status = image.process().wait()?;
    ensure!(status.code() == Some(FAILURE), "{status} instead of {FAILURE}");
    Ok(Shown::new(&["refused"]))
}

/// Memory that keeps what it held, and memory that keeps nothing because its hypervisor made it read-only.
fn touch(bench: &Bench, session: &mut Session) -> Result<Shown> {
    const SIZE: u64 = 1 << 20;
    const ENDS: [(u64, &[u8; 8]); 2] = [(0, b"ABCDEFGH"), (SIZE - 8, b"stuvwxyz")];
    let plain = Link::plain(SIZE)?;
    let held = plain.attach(0)?;
    let path = held.device.strip_prefix("file:").context("memory without a path")?;
    let memory = File::options().read(true).write(true).open(path)?;
    ENDS.iter().try_for_each(|(offset, bytes)| memory.write_all_at(*bytes, *offset))?;
    let image = bench.image("probe");
    for (read_only, options, error) in [
        (false, "", None),
        (
            true,
            "",
            Some("NotKept at offset 0x0 of the memory 0xb7b8b9babbbcbdbe was written and 0x4847464544434241 read back"),
        ),
        (true, "touch=no", None),
    ] {
        let mut attachment = plain.attach(1)?.at("bus=pcie.0,addr=3.0");
        if read_only {
            *attachment.args.get_mut(1).context("a device without memory")? += ",readonly=on";
        }
        let lines = finish(image.clone().options(options).start(session, vec![attachment])?)?;
        let errors = lines.iter().filter_map(|line| line.strip_prefix("probe: error 0000:00:03.0 "));
        ensure!(errors.eq(error), "read_only={read_only} {options}: {lines:#?}");
        let end = format!("probe: end devices=1 errors={}", u32::from(error.is_some()));
        ensure!(lines.last() == Some(&end), "{lines:#?}");
        for (offset, bytes) in ENDS {
            let mut now = [0; 8];
            memory.read_exact_at(&mut now, offset)?;
            ensure!(now == *bytes, "{offset:#x} holds {now:x?} after probe, not {bytes:x?}");
        }
    }
    Ok(Shown::new(&["restored"]))
}
