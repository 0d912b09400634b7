//! The driver inside a kernel of its own: an ArceOS image takes an operator's commands, sleeping for doorbells, and polled.

use super::rig::Rig;
use super::suite::{Suite, Verdict};
use crate::arceos;
use crate::exchange::{Exchange, Guest};
use crate::vm::{Image, Machine, Mode, Operator, Place, Session, Talk};
use anyhow::{Context, Result, ensure};
use serde_json::json;

/// Looks at a processor that only a busy loop keeps from being found halted.
const LOOKS: u32 = 1000;

pub fn add(suite: &mut Suite) {
    suite.case("format: the ArceOS image", |_| arceos::format().run());
    suite.verdict("lint: the ArceOS image for the bare-metal target", |rig| {
        let toolchain = rig.toolchain()?;
        if !toolchain.has_clippy() {
            return Ok(Verdict::Skipped("Debian's Rust has no clippy".to_owned()));
        }
        arceos::lint(&toolchain).map(|()| Verdict::Passed)
    });
    suite.case("arceos: Linux by VFIO, interrupts, on q35", |rig| {
        let (accelerator, linux) = (rig.arceos()?, rig.linux()?);
        run(rig, Exchange { guest: Guest::Arceos, ..Exchange::new(Mode::Doorbell, accelerator, linux) })
    });
    suite.case("arceos: a host process, polled, on pc", |rig| {
        let (accelerator, host) = (rig.arceos()?, rig.host()?);
        let exchange = Exchange::new(Mode::Plain, accelerator, host);
        run(rig, Exchange { guest: Guest::Arceos, machine: Machine::Pc, commands: 1000, ..exchange })
    });
    suite.case("arceos: while no doorbell rings its processor is halted, and one wakes its task", |rig| {
        let image = Image { monitor: true, ..Image::new(arceos::NAME, rig.arceos()?) };
        let host = rig.host()?;
        rig.session(|session| asleep(session, &image, &host))
    });
}

fn run(rig: &Rig, exchange: Exchange) -> Result<()> {
    let report = rig.session(|session| exchange.run(session))?;
    println!("{}", report.text()?);
    Ok(())
}

fn asleep(session: &mut Session, image: &Image, host: &Place) -> Result<()> {
    let exchange = Exchange::new(Mode::Doorbell, image.accelerator, host.clone());
    let link = exchange.link(session)?;
    let mut image = image.start(session, vec![link.attach(0)?])?;
    image.event("ready ")?;
    let mut operator = Operator::start(session, host, &link, &[], Talk::Typed)?;
    operator.event("up ")?;
    image.event("up ")?;
    operator.say("ping first", "pong first")?;
    let monitor = image.monitor()?;
    let mut halted = || -> Result<bool> {
        let registers = monitor.ask("human-monitor-command", json!({ "command-line": "info registers" }))?;
        Ok(registers.as_str().context("no text")?.contains("HLT=1"))
    };
    let mut looks = 1;
    while !halted()? {
        ensure!(looks < LOOKS, "never halted in {LOOKS} looks, between commands that nobody gives");
        looks += 1;
    }
    operator.say("ping second", "pong second")?;
    operator.say("quit", "ok quit")?;
    operator.finish()?;
    let end = image.finish()?;
    ensure!(end.number("commands")? == 3 && end.number("responses")? == 3, "{}", end.line());
    ensure!(end.number("interrupts")? > 0 && end.number("sleeps")? > 0, "{}", end.line());
    println!("halted at look {looks}; {}", end.line());
    Ok(())
}
