//! The images on their own: their self-test, and their size.

use super::suite::{Suite, Verdict};
use crate::build;
use crate::matrix::{Reception, talk};
use crate::vm::{Accelerator, Image, Link, Machine, Session};
use anyhow::{Result, ensure};
use clap::ValueEnum;

/// Bytes of `echo`'s text: driver, mailbox and image together.
const ECHO_LIMIT: u64 = 64 << 10;

pub fn add(suite: &mut Suite) {
    suite.case("image: echo's text with driver and mailbox is under 64 KiB, on PCs with firmware", |rig| {
        let accelerator = rig.images()?;
        build::small(&rig.toolchain()?)?;
        build::check_size(build::SMALL, ECHO_LIMIT)?;
        let echo = Image::new("echo", accelerator);
        let small = Image { file: build::SMALL, monitor: true, ..echo.options("mode=interrupt") };
        rig.session(|session| {
            let link = Link::doorbell(session, 1 << 20, 2, 0)?;
            let mut image = small.start(session, vec![link.attach(0)?])?;
            image.event("ready ")?;
            talk(image, &link.attach(1)?, Reception::Interrupt)
        })
    });
    for machine in Machine::value_variants().iter().copied() {
        let name = machine.name();
        suite.verdict(&format!("image: selftest on {name}"), move |rig| {
            let accelerator = rig.images()?;
            rig.session(|session| selftest(session, accelerator, machine))
        });
    }
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
