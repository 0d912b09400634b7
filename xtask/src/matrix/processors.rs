//! Which CPU takes the interrupts, and its local APIC's mode: one that is not the image's, and x2APIC, which QEMU has from 9 on.

use super::{Bench, Case, Reception, Shown, talk};
use crate::setup::{self, Release};
use crate::vm::{Link, Machine, Session};
use anyhow::{Result, ensure};

const GROUP: &str = "processors";

/// The newer QEMU, the machine, `apic=`, and the local APIC id of the CPU that takes interrupts.
type Site = (Option<Release>, Machine, bool, Option<u32>);

const SITES: [Site; 7] = [
    (None, Machine::Q35, false, Some(3)),
    (None, Machine::Microvm, false, Some(1)),
    (Some(Release::Ten), Machine::Q35, false, None),
    (Some(Release::Ten), Machine::Q35, true, None),
    (Some(Release::Ten), Machine::Pc, true, Some(3)),
    (Some(Release::Ten), Machine::Microvm, true, Some(2)),
    (Some(Release::Ten), Machine::Q35, false, Some(2)),
];

pub fn cases() -> Vec<Case> {
    let cases = SITES.into_iter().map(|site| {
        let (release, machine, x2apic, cpu) = site;
        let cpu = cpu.map_or_else(|| "the image's CPU".to_owned(), |cpu| format!("CPU {cpu} of 4"));
        let place = format!("{} interrupts {cpu}", if x2apic { "x2APIC" } else { "xAPIC" });
        let qemu = if release.is_some() { ", QEMU 10" } else { "" };
        Case::new(GROUP, place, format!("{}{qemu}", machine.name()), move |bench, session| {
            interrupts(bench, session, site)
        })
    });
    cases.collect()
}

fn interrupts(bench: &Bench, session: &mut Session, (release, machine, x2apic, cpu): Site) -> Result<Shown> {
    let apic = if x2apic { " apic=x2apic" } else { "" };
    let irq_cpu = cpu.map_or_else(String::new, |cpu| format!(" irq_cpu={cpu}"));
    let mut image = bench.image("echo").options(format!("mode=interrupt{apic}{irq_cpu}"));
    (image.machine, image.processors, image.monitor) = (machine, 4, true);
    if let Some(release) = release {
        image.hypervisor = setup::release(release)?;
    }
    let link = Link::doorbell(session, 1 << 20, 2, 0)?;
    let mut image = image.start(session, vec![link.attach(0)?])?;
    image.event("ready ")?;
    if x2apic || cpu.is_some() {
        let said = image.event("interrupts ")?;
        let mode = if x2apic { "x2apic" } else { "xapic" };
        let expected = format!("echo: interrupts apic={mode} cpu={} own=0", cpu.unwrap_or(0));
        ensure!(said.line() == expected, "`{}` instead of `{expected}`", said.line());
    }
    let log = image.process().log().clone();
    talk(image, &link.attach(1)?, Reception::Interrupt)?;
    if cpu.is_some() {
        // Its own count: not what was asked for, but who was there.
        let (_, taken) = log.wait_line(0, "echo: interrupts taken=")?;
        ensure!(taken.number("taken")? > 0, "{}", taken.line());
    }
    Ok(Shown::new(&["interrupt"]))
}
