//! Two-VM scenarios in which an end is killed in the middle and another one takes its place.
//!
//! The operator checks every response, so a stale one, left over from an earlier session, would be counted as wrong.

use super::rig::Rig;
use super::suite::Suite;
use crate::exchange::Exchange;
use crate::vm::{Accelerator, Fields, Image, Link, Mode, Operator, Place, Session, Talk};
use anyhow::{Result, ensure};
use serde_json::json;

/// More than can be done before the kill.
const ENDLESS: &str = "1000000000";
/// After the restart.
const COMMANDS: u64 = 50;

pub fn add(suite: &mut Suite) {
    suite.case("restart: Linux is killed amid commands and comes back under a new id, interrupts", |rig| {
        let place = rig.linux()?;
        operator_killed(rig, Mode::Doorbell, &place)
    });
    suite.case("restart: the operator is killed amid commands and comes back, polled", |rig| {
        let place = rig.host()?;
        operator_killed(rig, Mode::Plain, &place)
    });
    suite.case("restart: the image is killed amid commands and comes back under a new id, Linux stays", |rig| {
        rig.host()?;
        let place = rig.linux()?;
        image_killed(rig, Mode::Doorbell, &place)
    });
    suite.case("restart: the image is killed amid commands and comes back, polled", |rig| {
        let place = rig.host()?;
        image_killed(rig, Mode::Plain, &place)
    });
    suite.case("restart: the Linux VM is reset amid commands and comes back under the same id", |rig| {
        let (accelerator, linux) = (rig.images()?, rig.linux()?);
        rig.session(|session| linux_reset(session, accelerator, &linux))
    });
    for mode in [Mode::Doorbell, Mode::Plain] {
        suite.case(
            &format!("restart: both ends count the same over kills of both between commands, {mode}"),
            move |rig| {
                let place = rig.host()?;
                counted(rig, mode, &place)
            },
        );
    }
}

fn exchange(rig: &Rig, mode: Mode, place: &Place) -> Result<Exchange> {
    Ok(Exchange::new(mode, rig.images()?, place.clone()))
}

fn operator_killed(rig: &Rig, mode: Mode, place: &Place) -> Result<()> {
    let exchange = exchange(rig, mode, place)?;
    rig.session(|session| {
        let link = exchange.link(session)?;
        let mut image = exchange.image().start(session, vec![link.attach(0)?])?;
        let mut first = Operator::start(session, place, &link, &["--commands", ENDLESS], Talk::Quiet)?;
        let before = image.event("up ")?;
        first.amid()?;
        first.kill()?;

        let script = ["--commands", &COMMANDS.to_string(), "--quit"];
        let second = Operator::start(session, place, &link, &script, Talk::Quiet)?;
        image.event("restarted ")?;
        let after = image.event("up ")?;
        let told = second.finish()?;
        let end = image.finish()?;
        check(&told)?;
        ensure!(told.number("commands")? == COMMANDS + 1, "{}", told.line());
        ensure!(end.number("restarts")? == 1, "{}", end.line());
        ensure!(end.number("commands")? > COMMANDS + 1, "nothing happened before the kill: {}", end.line());
        let unanswered = end.number("commands")?.checked_sub(end.number("responses")?);
        ensure!(unanswered.is_some_and(|count| count <= 1), "{}", end.line());
        ensure!(before.text("session")? != after.text("session")?, "one session before and after: {}", after.line());
        if mode == Mode::Doorbell {
            ensure!(before.number("peer")? != after.number("peer")?, "the server gave an id twice: {}", after.line());
        }
        Ok(())
    })
}

fn image_killed(rig: &Rig, mode: Mode, place: &Place) -> Result<()> {
    let exchange = exchange(rig, mode, place)?;
    rig.session(|session| {
        let link = exchange.link(session)?;
        let first = exchange.image().start(session, vec![link.attach(0)?])?;
        let mut operator = Operator::start(session, place, &link, &["--commands", ENDLESS], Talk::Quiet)?;
        let before = operator.event("up ")?;
        operator.amid()?;
        first.kill()?;

        let mut second = exchange.image().start(session, vec![link.attach(0)?])?;
        second.event("up ")?;
        let after = operator.event("restarted ")?;
        operator.amid()?;
        operator.amid()?;
        let wrong = operator.process().log().all("operator: wrong ");
        ensure!(wrong.is_empty(), "{wrong:?}");
        operator.kill()?;

        // Somebody has to end the image for its counts.
        let script = ["--commands", &COMMANDS.to_string(), "--quit"];
        let told = Operator::start(session, &Place::Host, &link, &script, Talk::Quiet)?.finish()?;
        let end = second.finish()?;
        check(&told)?;
        ensure!(end.number("commands")? > COMMANDS + 1, "nothing happened after the restart: {}", end.line());
        ensure!(end.number("restarts")? == 1, "{}", end.line());
        if mode == Mode::Doorbell {
            ensure!(before.number("peer")? != after.number("peer")?, "the server gave an id twice: {}", after.line());
        }
        Ok(())
    })
}

/// The general-purpose machine is reset amid commands: Linux boots again, the same peer to the server, and a new session to the image.
fn linux_reset(session: &mut Session, accelerator: Accelerator, linux: &Place) -> Result<()> {
    let link = Link::doorbell(session, 1 << 20, 4, 0)?;
    let image = Image::new("control-loop", accelerator).options("mode=interrupt");
    let mut image = image.start(session, vec![link.attach(0)?])?;
    let mut operator = Operator::start(session, linux, &link, &["--commands", ENDLESS], Talk::Quiet)?;
    let before = image.event("up ")?;
    operator.amid()?;
    let monitor = operator.monitor()?;
    monitor.ask("set-action", json!({ "reboot": "reset" }))?;
    monitor.ask("system_reset", json!({}))?;
    let restarted = image.event("restarted ")?;
    let after = image.event("up ")?;
    ensure!(before.text("session")? != after.text("session")?, "{}", after.line());
    ensure!(before.text("peer")? == after.text("peer")?, "{} / {}", before.line(), after.line());
    operator.event("up ")?;
    operator.event("up ")?;
    operator.amid()?;
    operator.amid()?;
    let wrong = operator.process().log().all("operator: wrong ");
    ensure!(wrong.is_empty(), "{wrong:?}");
    operator.kill()?;
    println!("{}\n{}", restarted.line(), after.line());
    image.kill()
}

/// Commands one by one, and kills only between them, so that every count is known exactly.
fn counted(rig: &Rig, mode: Mode, place: &Place) -> Result<()> {
    let exchange = exchange(rig, mode, place)?;
    rig.session(|session| {
        let link = exchange.link(session)?;
        let first_image = exchange.image().start(session, vec![link.attach(0)?])?;
        let mut first = typing(session, place, &link)?;
        first.event("up ")?;
        pings(&mut first, "first", 3)?;
        first_image.kill()?;

        let mut image = exchange.image().start(session, vec![link.attach(0)?])?;
        first.event("restarted ")?;
        pings(&mut first, "second", 4)?;
        first.kill()?;

        let mut second = typing(session, place, &link)?;
        second.event("up ")?;
        pings(&mut second, "third", 5)?;
        second.say("quit", "ok quit")?;
        let told = second.finish()?;
        image.event("restarted ")?;
        let end = image.finish()?;
        check(&told)?;
        ensure!(told.number("commands")? == 6 && told.number("restarts")? == 0, "{}", told.line());
        ensure!(end.number("commands")? == 4 + 6 && end.number("responses")? == 4 + 6, "{}", end.line());
        ensure!(end.number("restarts")? == 1, "{}", end.line());
        Ok(())
    })
}

fn typing(session: &mut Session, place: &Place, link: &Link) -> Result<Operator> {
    Operator::start(session, place, link, &[], Talk::Typed)
}

fn pings(operator: &mut Operator, word: &str, count: u32) -> Result<()> {
    for number in 0..count {
        operator.say(&format!("ping {word} {number}"), &format!("pong {word} {number}"))?;
    }
    Ok(())
}

/// Every command was answered, and rightly.
fn check(told: &Fields) -> Result<()> {
    ensure!(told.number("wrong")? == 0, "{}", told.line());
    ensure!(told.number("commands")? == told.number("responses")?, "{}", told.line());
    Ok(())
}
