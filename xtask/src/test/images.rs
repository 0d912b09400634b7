//! The images on their own: their self-test, what they find compared with what QEMU says is there, and their size.

use super::suite::{Suite, Verdict};
use crate::build;
use crate::vm::{Accelerator, Attachment, Fields, Image, Link, Machine, Session};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// Bytes of `echo`'s text: driver, mailbox and image together.
const ECHO_LIMIT: u64 = 64 << 10;

pub fn add(suite: &mut Suite) {
    suite.case("image: echo's text with driver and mailbox is under 64 KiB", |rig| {
        rig.images()?;
        build::check_size("echo", ECHO_LIMIT)
    });
    for machine in [Machine::Q35, Machine::Pc] {
        let name = machine.name();
        suite.verdict(&format!("image: selftest on {name}"), move |rig| {
            let accelerator = rig.images()?;
            rig.session(|session| selftest(session, accelerator, machine))
        });
        for (config, extra) in [("auto", ""), ("port-io", "config=port-io")] {
            suite.case(&format!("image: probe by {config} on {name} finds what QEMU says is there"), move |rig| {
                let accelerator = rig.images()?;
                rig.session(|session| probe(session, accelerator, machine, extra))
            });
        }
    }
    suite.case("image: probe succeeds where there is no device", |rig| {
        let accelerator = rig.images()?;
        rig.session(|session| {
            let end = Image::new("probe", accelerator).start(session, Vec::new())?.finish()?;
            ensure!(end.number("devices")? == 0 && end.number("errors")? == 0, "{}", end.line());
            Ok(())
        })
    });
}

/// Two peers of one server, so that each can ring the other, and a plain device.
fn selftest(session: &mut Session, accelerator: Accelerator, machine: Machine) -> Result<Verdict> {
    let (link, plain) = (Link::doorbell(session, 1 << 20, 16, 0)?, Link::plain(1 << 20)?);
    let mut image = Image::new("selftest", accelerator);
    image.machine = machine;
    let image = image.start(session, vec![link.attach(0)?, link.attach(1)?, plain.attach(2)?])?;
    let log = image.process().log().clone();
    // A check that failed also shows in the image's exit status; its name says more.
    let outcome = image.finish();
    let failed: Vec<String> = log.all("selftest: FAILED ").iter().map(|line| line.line().to_owned()).collect();
    let end = if failed.is_empty() { outcome? } else { log.wait_line(0, "selftest: end ")?.1 };
    let (passed, skipped) = (end.number("passed")?, log.all("selftest: skipped "));
    ensure!(end.number("failed")? == failed.len() as u64 && passed > 0, "{}", end.line());
    skipped.iter().for_each(|line| println!("{}", line.line()));
    // A q35 has everything that a check may need.
    ensure!(machine != Machine::Q35 || skipped.is_empty(), "skipped where nothing is missing: {skipped:?}");
    Ok(Verdict::Counted { passed, failed, ignored: skipped.len() as u64 })
}

/// One ivshmem function, as `probe` and QEMU both can tell it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Bus, device, function.
    address: (u64, u64, u64),
    vectors: u64,
    bar0: u64,
    bar2: u64,
    size: u64,
    subsystem: (u64, u64),
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

fn probe(session: &mut Session, accelerator: Accelerator, machine: Machine, options: &str) -> Result<()> {
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
    let image = image.start(session, attachments)?;
    let log = image.process().log().clone();
    let end = image.finish()?;
    let begin = log.wait_line(0, "probe: begin ")?.1;
    let config = if machine == Machine::Q35 && options.is_empty() { "ecam" } else { "port-io" };
    ensure!(begin.text("config")? == config, "not by {config}: {}", begin.line());
    let found: Vec<Found> = log.all("probe: ivshmem ").iter().map(parse).collect::<Result<_>>()?;
    ensure!(found.is_sorted(), "not in ascending order: {found:?}");
    // QEMU does not tell how many vectors a function has; the command line does.
    for (found, expected) in found.iter().zip(&mut expected) {
        expected.vectors = if found.size == 4 << 20 { 3 } else { 0 };
    }
    ensure!(found == expected, "probe found\n{found:#x?}\nQEMU says\n{expected:#x?}");
    ensure!(end.number("devices")? == 4 && end.number("errors")? == 0, "{}", end.line());
    Ok(())
}

fn parse(line: &Fields) -> Result<Found> {
    let word = line.line().split_whitespace().nth(2).context("no address")?;
    let hex = |text: &str| {
        u64::from_str_radix(text.trim_start_matches("0x"), 16).with_context(|| format!("{text} in `{}`", line.line()))
    };
    let parts: Vec<&str> = word.split([':', '.']).collect();
    let &[_, bus, device, function] = parts.as_slice() else { bail!("`{word}` is not an address") };
    let (vendor, subsystem) = line.text("subsystem")?.split_once(':').context("no colon in subsystem=")?;
    Ok(Found {
        address: (hex(bus)?, hex(device)?, hex(function)?),
        vectors: line.number("vectors")?,
        bar0: hex(line.text("bar0")?)?,
        bar2: hex(line.text("bar2")?)?,
        size: line.number("size")?,
        subsystem: (hex(vendor)?, hex(subsystem)?),
    })
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
                vectors: 0,
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
