//! `probe`: what it finds compared, line by line, with what QEMU says is there.

use super::suite::Suite;
use crate::vm::{Accelerator, Attachment, Image, Link, Machine, Session};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The exit status of QEMU when the image ended as a failure: 0x11 through isa-debug-exit.
const FAILURE: i32 = 35;

pub fn add(suite: &mut Suite) {
    for (machine, options, config) in [
        (Machine::Q35, "", "ecam"),
        (Machine::Q35, "config=ecam", "ecam"),
        (Machine::Q35, "config=port-io", "port-io"),
        (Machine::Pc, "config=auto", "port-io"),
        (Machine::Pc, "config=port-io", "port-io"),
    ] {
        let (name, how) = (machine.name(), if options.is_empty() { "no option" } else { options });
        suite.case(&format!("image: probe on {name} with {how} says what QEMU says is there"), move |rig| {
            let accelerator = rig.images()?;
            rig.session(|session| everything(session, accelerator, machine, options, config))
        });
    }
    suite.case("image: probe succeeds where there is no device", |rig| {
        let accelerator = rig.images()?;
        rig.session(|session| {
            let lines = lines(session, &Image::new("probe", accelerator), Vec::new())?;
            ensure!(lines.len() == 2 && lines[1] == "probe: end devices=0 errors=0", "{lines:#?}");
            Ok(())
        })
    });
    suite.case("image: probe fails where the mechanism asked for is missing", |rig| {
        let accelerator = rig.images()?;
        rig.session(|session| {
            let mut image = Image::new("probe", accelerator).options("config=ecam");
            image.machine = Machine::Pc;
            let mut image = image.start(session, Vec::new())?;
            image.event("error ")?;
            let status = image.process().wait()?;
            ensure!(status.code() == Some(FAILURE), "{status} instead of {FAILURE}");
            Ok(())
        })
    });
    suite.case("image: probe touches memory's ends and restores them, but not with touch=no", |rig| {
        let accelerator = rig.images()?;
        rig.session(|session| touch(session, accelerator))
    });
}

/// Runs the image to its success and gives its lines.
fn lines(session: &mut Session, image: &Image, attachments: Vec<Attachment>) -> Result<Vec<String>> {
    let image = image.start(session, attachments)?;
    let log = image.process().log().clone();
    image.finish()?;
    Ok(log.all("probe: ").iter().map(|line| line.line().to_owned()).collect())
}

/// One ivshmem function, as QEMU tells it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Bus, device, function.
    address: (u64, u64, u64),
    bar0: u64,
    bar2: u64,
    size: u64,
    subsystem: (u64, u64),
}

impl Found {
    /// The whole line that `probe` has to print. QEMU does not tell a function's vectors and its id.
    fn line(&self, doorbell: Option<(u64, &str)>) -> String {
        let Self { address: (bus, device, function), bar0, bar2, size, subsystem: (vendor, subsystem) } = self;
        let (kind, vectors, id) = doorbell.map_or(("plain", 0, "-"), |(vectors, id)| ("doorbell", vectors, id));
        format!(
            "probe: ivshmem 0000:{bus:02x}:{device:02x}.{function:x} rev=1 kind={kind} id={id} vectors={vectors} \
             bar0={bar0:#x} bar2={bar2:#x} size={size} subsystem={vendor:04x}:{subsystem:04x}"
        )
    }
}

/// A machine with functions in all kinds of places: the root bus, a bridge, a second function, an extra root bus.
fn devices(server: &Link, machine: Machine) -> Result<(Vec<String>, Vec<Attachment>)> {
    let (small, large) = (Link::plain(1 << 20)?, Link::plain(256 << 20)?);
    let (bridges, places): (&[&str], [&str; 4]) = match machine {
        Machine::Q35 => (
            &["pcie-root-port,id=near,slot=1", "pxb-pcie,id=far,bus_nr=128", "pcie-root-port,id=behind,bus=far,slot=2"],
            ["bus=pcie.0,addr=6.0,multifunction=on", "bus=pcie.0,addr=6.3", "bus=near", "bus=behind"],
        ),
        Machine::Pc => (
            &["pci-bridge,id=near,chassis_nr=1", "pxb,id=far,bus_nr=128"],
            ["bus=pci.0,addr=6.0,multifunction=on", "bus=pci.0,addr=6.3", "bus=near,addr=2", "bus=far,addr=3"],
        ),
    };
    let extra = bridges.iter().flat_map(|bridge| ["-device".to_owned(), (*bridge).to_owned()]).collect();
    let devices = [small.attach(0)?, server.attach(1)?, large.attach(2)?, server.attach(3)?];
    let placed = devices.into_iter().zip(places).map(|(device, place)| device.at(place)).collect();
    Ok((extra, placed))
}

fn everything(
    session: &mut Session,
    accelerator: Accelerator,
    machine: Machine,
    options: &str,
    config: &str,
) -> Result<()> {
    let server = Link::doorbell(session, 4 << 20, 3, 0)?;
    let mut image = Image::new("probe", accelerator).options(options);
    let (extra, attachments) = devices(&server, machine)?;
    (image.machine, image.extra) = (machine, extra);
    // QEMU is asked while an image that does not end waits on the very same machine.
    let waiting = Image { name: "echo", options: "mode=polled".to_owned(), monitor: true, ..image.clone() };
    let mut witness = waiting.start(session, attachments)?;
    witness.event("ready ")?;
    let buses = witness.monitor()?.ask("query-pci", json!({}))?;
    witness.kill()?;
    let mut expected = Vec::new();
    collect(&buses, &mut expected)?;
    expected.sort();
    ensure!(expected.len() == 4, "QEMU itself knows {} ivshmem functions: {expected:?}", expected.len());

    let (_, attachments) = devices(&server, machine)?;
    let lines = lines(session, &image, attachments)?;
    let [begin, found @ .., end] = lines.as_slice() else { bail!("too few lines: {lines:#?}") };
    let base = begin.strip_prefix(&format!("probe: begin config={config} base="));
    let base = base.with_context(|| format!("not by {config}: {begin}"))?;
    let is_hex = base.strip_prefix("0x").is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok_and(|at| at != 0));
    ensure!(if config == "ecam" { is_hex } else { base == "-" }, "{begin}");
    // The server gives its two guests ids as they come.
    let id = |line: &String| line.split_once(" id=").and_then(|(_, rest)| rest.split(' ').next().map(str::to_owned));
    let ids: Vec<String> = found.iter().filter_map(id).filter(|id| id.parse::<u16>().is_ok()).collect();
    let [one, other] = ids.as_slice() else { bail!("not two ids: {found:#?}") };
    ensure!(one != other, "two functions of one id: {found:#?}");
    let mut ids = ids.iter();
    let doorbell = |found: &Found| (found.size == 4 << 20).then(|| ids.next().map(|id| (3, id.as_str()))).flatten();
    let doorbells: Vec<_> = expected.iter().map(doorbell).collect();
    let expected: Vec<String> = expected.iter().zip(doorbells).map(|(found, bell)| found.line(bell)).collect();
    ensure!(found == expected, "probe found\n{found:#?}\nQEMU says\n{expected:#?}");
    ensure!(end == "probe: end devices=4 errors=0", "{end}");
    Ok(())
}

/// Memory that keeps what it held, and memory that keeps nothing because its hypervisor made it read-only.
fn touch(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    const SIZE: u64 = 1 << 20;
    const ENDS: [(u64, &[u8; 8]); 2] = [(0, b"ABCDEFGH"), (SIZE - 8, b"stuvwxyz")];
    let plain = Link::plain(SIZE)?;
    let held = plain.attach(0)?;
    let path = held.device.strip_prefix("file:").context("memory without a path")?;
    let memory = File::options().read(true).write(true).open(path)?;
    ENDS.iter().try_for_each(|(offset, bytes)| memory.write_all_at(*bytes, *offset))?;
    let image = Image::new("probe", accelerator);
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
        let lines = lines(session, &image.clone().options(options), vec![attachment])?;
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
    Ok(())
}

/// Picks the ivshmem functions out of what `query-pci` answers.
fn collect(buses: &Value, found: &mut Vec<Found>) -> Result<()> {
    for bus in buses.as_array().context("query-pci returned no list")? {
        for device in bus["devices"].as_array().context("a bus without devices")? {
            if let Some(behind) = device["pci_bridge"].get("devices") {
                collect(&json!([{ "devices": behind }]), found)?;
            }
            let id = &device["id"];
            if (number(&id["vendor"])?, number(&id["device"])?) != (0x1af4, 0x1110) {
                continue;
            }
            let regions = device["regions"].as_array().context("a function without regions")?;
            let region =
                |bar: u64| regions.iter().find(|region| region["bar"] == bar).with_context(|| format!("no BAR{bar}"));
            found.push(Found {
                address: (number(&device["bus"])?, number(&device["slot"])?, number(&device["function"])?),
                bar0: number(&region(0)?["address"])?,
                bar2: number(&region(2)?["address"])?,
                size: number(&region(2)?["size"])?,
                subsystem: (number(&id["subsystem-vendor"])?, number(&id["subsystem"])?),
            });
        }
    }
    Ok(())
}

fn number(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("{value} is no number"))
}
