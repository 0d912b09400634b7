//! Either end stopped and continued: it is stale, and then up again in the same session, and nothing is lost.

use super::kills::Account;
use super::suite::Suite;
use crate::load::Word;
use crate::vm::{Accelerator, Fields, Image, Link, Load, Loading, RealTime, Session};
use anyhow::{Result, ensure};
use serde_json::json;

/// How often each end is stopped.
const STOPS: u64 = 3;
/// Answers that show that it goes on.
const ANSWERS: u64 = 500;

pub fn add(suite: &mut Suite) {
    suite.case(
        "liveness: the image's VM is stopped and continued, the peer sees it stale and up, no loss, no restart",
        |rig| {
            let accelerator = rig.images()?;
            rig.session(|session| stopped(session, accelerator, vm_stopped).map(drop))
        },
    );
    suite.case(
        "liveness: the peer is stopped and continued, the image sees it stale and up, no loss, no restart",
        |rig| {
            let accelerator = rig.images()?;
            rig.session(|session| stopped(session, accelerator, peer_stopped).map(drop))
        },
    );
}

pub fn stopped(
    session: &mut Session,
    accelerator: Accelerator,
    stop: impl Fn(&mut RealTime, &Load, u64) -> Result<()>,
) -> Result<Account> {
    let link = Link::doorbell(session, 1 << 20, 2, 0)?;
    // Both see the other stand still: whoever stands still himself finds the other's heartbeat moved on.
    let image = Image { monitor: true, ..Image::new("echo", accelerator).options("mode=interrupt stale_ms=500") };
    let mut image = image.start(session, vec![link.attach(0)?])?;
    let load = Loading { quit: true, ..Loading::default() }.start(session, &link)?;
    let up = image.event("up ")?;
    for number in 1..=STOPS {
        load.progress(ANSWERS)?;
        stop(&mut image, &load, number)?;
    }
    load.progress(ANSWERS)?;
    let (told, end) = continued(image, load, &up)?;
    println!("{}\n{}", told.line(), end.line());
    let (sent, received) = (told.number("sent")?, told.number("answered")?);
    Ok(Account { rounds: STOPS, sent, received, ..Account::default() })
}

/// Ends both, who were in one session all along and lost nothing, and gives their last lines.
pub fn continued(image: RealTime, load: Load, up: &Fields) -> Result<(Fields, Fields)> {
    let log = image.process().log().clone();
    let told = load.finish()?;
    ensure!(told.number("lost")? == 0 && told.number("restarts")? == 0, "{}", told.line());
    for line in log.all("echo: up ") {
        ensure!(line.text("session")? == up.text("session")?, "a new session: {}", line.line());
    }
    let end = image.finish()?;
    // `quit` is one more.
    ensure!(end.number("received")? == told.number("sent")? + 1, "{} / {}", end.line(), told.line());
    ensure!(end.number("restarts")? == 0 && end.number("lost")? == 0, "{}", end.line());
    ensure!(end.number("violations")? == 0, "{}", end.line());
    Ok((told, end))
}

/// By QEMU's own `stop` and `cont`.
pub fn vm_stopped(image: &mut RealTime, load: &Load, number: u64) -> Result<()> {
    image.monitor()?.ask("stop", json!({}))?;
    load.wait("stale", |counts| counts.get(Word::IsStale) == 1)?;
    ensure!(load.count(Word::Stale) >= number, "stale only {} times", load.count(Word::Stale));
    image.monitor()?.ask("cont", json!({}))?;
    load.wait("up again", |counts| counts.get(Word::IsStale) == 0)
}

/// By the signals for it.
pub fn peer_stopped(image: &mut RealTime, load: &Load, _number: u64) -> Result<()> {
    load.process().freeze()?;
    image.event("stale ")?;
    load.process().thaw()?;
    image.event("up ").map(drop)
}
