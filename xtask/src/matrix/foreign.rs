//! Configuration space through the traits of `pci_types` and `virtio-drivers`: what they find is what QEMU has, and what is opened over them
//! is the device.

use super::found::{Found, Function, number};
use super::scene::finish;
use super::{Bench, Case, Shown};
use crate::vm::{Attachment, Image, Link, Machine, Qmp, Session};
use anyhow::{Context, Result, ensure};

const GROUP: &str = "foreign";
const CRATES: [&str; 2] = ["pci_types", "virtio-drivers"];

pub fn cases() -> Vec<Case> {
    [(Machine::Q35, "ecam", "ECAM"), (Machine::Pc, "port-io", "port I/O")]
        .into_iter()
        .map(|(machine, config, how)| {
            let place = "all that there is, found and opened over pci_types and virtio-drivers";
            Case::new(GROUP, place, format!("{} by {how}", machine.name()), move |bench, session| {
                play(bench, session, machine, config)
            })
        })
        .collect()
}

/// A plain and a doorbell device behind bridges, and one on the root bus.
fn play(bench: &Bench, session: &mut Session, machine: Machine, config: &str) -> Result<Shown> {
    let (plain, server) = (Link::plain(1 << 20)?, Link::doorbell_at(session, "server.sock", 4 << 20, 3, 100)?);
    let (bridges, places): (&[&str], _) = match machine {
        Machine::Pc => (
            &["pci-bridge,id=near,chassis_nr=1", "pxb,id=far,bus_nr=128"],
            ["bus=pci.0,addr=6.3", "bus=near,addr=2", "bus=far,addr=3"],
        ),
        _ => (
            &[
                "pcie-root-port,id=near,slot=1",
                "pxb-pcie,id=extra,bus_nr=128",
                "pcie-root-port,id=far,bus=extra,slot=2",
            ],
            ["bus=pcie.0,addr=6.3", "bus=near", "bus=far"],
        ),
    };
    let attachments = || -> Result<Vec<Attachment>> {
        let [first, second, third] = places.map(str::to_owned);
        Ok(vec![
            plain.attach(0)?.at(&format!("id=ivshmem0,{first}")),
            server.attach(1)?.at(&format!("id=ivshmem1,{second}")),
            server.attach(2)?.at(&format!("id=ivshmem2,{third}")),
        ])
    };
    // Function 0 says that there are more of them in its slot.
    let mut extra: Vec<String> = vec!["-device".into(), "virtio-rng-pci,addr=6.0,multifunction=on".into()];
    extra.extend(bridges.iter().flat_map(|bridge| ["-device".to_owned(), (*bridge).to_owned()]));

    // QEMU is asked while an image waits for somebody; `enumerate` waits for nobody.
    let image = |name| Image { machine, extra: extra.clone(), ..bench.image(name) };
    let mut waiting = Image { monitor: true, ..image("echo") }.start(session, attachments()?)?;
    waiting.event("ready ")?;
    let monitor = waiting.monitor()?;
    let (mut expected, found) = (expected(monitor)?, Found::all(monitor)?);
    waiting.kill()?;
    ensure!(found.len() == places.len(), "QEMU has {found:?}");

    let before = server.joined().len();
    let image = image("enumerate").options(format!("config={config}"));
    let lines = finish(image.start(session, attachments()?)?)?;
    let mut ids = server.joined().into_iter().skip(before);
    for found in &found {
        let id = found.vectors.map(|_| ids.next().context("no id")).transpose()?;
        expected.extend(CRATES.map(|name| opened(found, id, name)));
    }
    let functions = expected.iter().filter(|line| line.starts_with("enumerate: function ")).count();
    expected.insert(0, format!("enumerate: begin config={config}"));
    expected.push(format!("enumerate: end functions={functions} devices={}", found.len()));
    ensure!(lines == expected, "enumerate found\n{lines:#?}\nQEMU says\n{expected:#?}");
    Ok(Shown::new(&CRATES))
}

fn opened(found: &Found, id: Option<u16>, name: &str) -> String {
    let Found { address, bar0, bar2, size, .. } = found;
    let (id, interrupts) = (id.map_or("-".to_owned(), |id| id.to_string()), if id.is_some() { "yes" } else { "no" });
    let (kind, bar0, bar2) = (found.kind(), bar0.unwrap_or(0), bar2.unwrap_or(0));
    format!(
        "enumerate: ivshmem {address} by={name} kind={kind} id={id} bar0={bar0:#x} bar2={bar2:#x} size={size} \
         interrupts={interrupts}"
    )
}

/// The lines of all functions that QEMU has, in ascending order of addresses.
fn expected(qmp: &mut Qmp) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for function in Function::all(qmp)? {
        let Function { address, id: (vendor, device), .. } = function;
        let (class, kind) = (function.class()?, if function.is_bridge() { "bridge" } else { "endpoint" });
        lines.push(format!("enumerate: function {address} id={vendor:04x}:{device:04x} class={class:04x} kind={kind}"));
        for region in function.regions()?.iter().filter(|region| region["type"] == "memory") {
            let (bar, size) = (number(&region["bar"])?, number(&region["size"])?);
            // Number 6 is an expansion ROM, which is no BAR.
            if bar < 6 && !function.is_bridge() {
                let base = number(&region["address"])?;
                lines.push(format!("enumerate: memory {address} bar={bar} base={base:#x} size={size}"));
            }
        }
    }
    Ok(lines)
}
