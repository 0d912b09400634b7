//! What virtual machines go through, and their mailboxes with them: saved and restored, reset, moved.

use super::{Case, Shown};
use crate::load::Word;
use crate::test::liveness::continued;
use crate::vm::{Image, Link, Loading, Machine, Qmp, Session};
use anyhow::{Context, Result, bail, ensure};
use ivshmem::channel::COMMAND_RESPONSE;
use ivshmem_peer::{Purpose, Sysfs};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Answers that show that it goes on.
const ANSWERS: u64 = 500;
const SIZE: u64 = 1 << 20;
/// Where the image's second mailbox begins.
const SECOND_WINDOW: usize = 64 << 10;

/// How often the image's machine is reset.
const RESETS: u64 = 3;
const GROUP: &str = "lifecycle";
const BOTH: [Machine; 2] = [Machine::Q35, Machine::Pc];

pub fn cases() -> Vec<Case> {
    let cases: [(&str, &[Machine], Work); 7] = [
        ("saved with its memory and restored, no loss, no restart", &BOTH, saved),
        ("moved at work, with its memory, to a new peer", &BOTH[..1], moved),
        ("not moved while it shares its memory, and goes on", &BOTH[..1], not_moved),
        ("a snapshot loaded: a peer from the future is found out, the next exchanges all", &BOTH[..1], snapshot),
        ("reset under load: same id, same memory, new session, interrupts again", &BOTH, reset),
        ("a peer joins late and is served beside the first", &BOTH[..1], late_joiner),
        ("the server ends and another begins: who met goes on, who comes is served", &BOTH[..1], server_restarted),
    ];
    cases
        .into_iter()
        .flat_map(|(place, machines, work)| {
            machines.iter().map(move |machine| {
                Case::new(GROUP, place, machine.name(), move |bench, session| {
                    work(session, &Image { machine: *machine, monitor: true, ..bench.image("echo") })
                })
            })
        })
        .collect()
}

/// Gets the image, ready for questions.
type Work = fn(&mut Session, &Image) -> Result<Shown>;

/// `master=on`: QEMU saves the shared memory with the machine. Meanwhile the peer stands still.
fn saved(session: &mut Session, echo: &Image) -> Result<Shown> {
    let link = Link::plain(SIZE)?;
    let file = session.dir().join("machine");
    let mut image = echo.clone().options("mode=polled").start(session, vec![link.attach(0)?.at("master=on")])?;
    let load = Loading { quit: true, ..Loading::default() }.start(session, &link)?;
    let up = image.event("up ")?;
    load.progress(ANSWERS)?;
    load.process().freeze()?;
    let monitor = image.monitor()?;
    monitor.ask("migrate", json!({ "uri": format!("exec:cat > {}", file.display()) }))?;
    monitor.migrated()?;
    image.kill()?;

    // What comes back comes out of the file.
    erase(&link)?;
    let mut image = waiting(echo).start(session, vec![link.attach(0)?.at("master=on")])?;
    let monitor = image.monitor()?;
    monitor.ask("migrate-incoming", json!({ "uri": format!("exec:cat {}", file.display()) }))?;
    monitor.migrated()?;
    load.process().thaw()?;
    load.progress(ANSWERS)?;
    continued(image, load, &up)?;
    Ok(Shown::new(&["same session"]))
}

/// `master=on`: QEMU moves the machine, while it works, and the shared memory with it to other memory, where a new peer waits.
fn moved(session: &mut Session, echo: &Image) -> Result<Shown> {
    let (link, there) = (Link::plain(SIZE)?, Link::plain(SIZE)?);
    let mut image = echo.clone().options("mode=polled").start(session, vec![link.attach(0)?.at("master=on")])?;
    let first = Loading::default().start(session, &link)?;
    image.event("up ")?;
    first.progress(ANSWERS)?;

    let uri = format!("unix:{}", session.dir().join("moving").display());
    let mut target = waiting(echo).start(session, vec![there.attach(0)?.at("master=on")])?;
    target.monitor()?.ask("migrate-incoming", json!({ "uri": uri }))?;
    image.monitor()?.ask("migrate", json!({ "uri": uri }))?;
    image.monitor()?.migrated()?;
    target.monitor()?.migrated()?;
    let taken = first.kill()?;
    image.kill()?;

    let second = Loading { round: 1, messages: Some(ANSWERS), quit: true, ..Loading::default() };
    let told = second.start(session, &there)?.join()?;
    ensure!(told.number("answered")? == ANSWERS && told.number("lost")? == 0, "{}", told.line());
    let restarted = target.event("restarted ")?;
    let end = target.finish()?;
    // What the first peer sent after the last page was copied stayed behind; of its answers at most the ring's slots.
    let (sent, answered) = (taken.get(Word::Sent), taken.get(Word::Answered));
    ensure!(restarted.number("received")? <= sent, "{} of {sent}", restarted.line());
    ensure!(restarted.number("sent")? >= answered, "{}, but {answered} answers came", restarted.line());
    // `quit` is one more.
    ensure!(end.number("received")? == restarted.number("received")? + ANSWERS + 1, "{}", end.line());
    // QEMU tracks what its own guest writes. What the peer writes is copied at any time, or not: what is so torn is found out, each ring and the link once.
    ensure!(end.number("restarts")? == 1 && end.number("violations")? <= 3, "{}", end.line());
    Ok(Shown::new(&["new session"]))
}

/// `master=off`, QEMU's default: it says why it does not move the machine, and the machine goes on.
fn not_moved(session: &mut Session, echo: &Image) -> Result<Shown> {
    let link = Link::doorbell(session, SIZE, 2, 0)?;
    let mut image = echo.clone().options("mode=interrupt").start(session, vec![link.attach(0)?])?;
    let load = Loading { quit: true, ..Loading::default() }.start(session, &link)?;
    let up = image.event("up ")?;
    let refused = image.monitor()?.ask("migrate", json!({ "uri": "exec:cat > /dev/null" }));
    let Err(refused) = refused else { bail!("a peer was moved without its link") };
    ensure!(refused.to_string().contains("peer mode"), "{refused}");
    load.progress(ANSWERS)?;
    continued(image, load, &up)?;
    Ok(Shown::new(&["refused"]))
}

/// A snapshot holds the memory too. Loaded, it takes a peer that lived on back in time, who says so and is not believed; the next is.
fn snapshot(session: &mut Session, echo: &Image) -> Result<Shown> {
    let link = Link::plain(SIZE)?;
    let mut image = echo.clone().options("mode=polled").start(session, vec![link.attach(0)?.at("master=on")])?;
    disk(image.monitor()?, &session.dir().join("snapshots"))?;
    let load = Loading::default().start(session, &link)?;
    let up = image.event("up ")?;
    load.progress(ANSWERS)?;
    load.process().freeze()?;
    image.monitor()?.job("snapshot-save", snapshot_of("once"))?;
    let saved = load.count(Word::Answered);
    load.process().thaw()?;
    load.progress(ANSWERS)?;
    load.process().freeze()?;
    image.monitor()?.job("snapshot-load", snapshot_of("once"))?;
    load.process().thaw()?;
    load.process().wait()?;
    let errors = load.process().story().logs.last().context("a process has a log of errors")?;
    // Whichever end finds out first begins anew; the other one may see that instead.
    let said = errors.tail(1);
    let found =
        said.iter().any(|line| line.contains("violated the protocol") || line.contains("restarted the channel"));
    ensure!(found, "a peer from the future noticed nothing: {said:?}");

    let second = Loading { round: 1, messages: Some(ANSWERS), quit: true, ..Loading::default() };
    let told = second.start(session, &link)?.join()?;
    ensure!(told.number("answered")? == ANSWERS && told.number("lost")? == 0, "{}", told.line());
    let after = image.event("up ")?;
    ensure!(after.text("session")? != up.text("session")?, "{} / {}", up.line(), after.line());
    let end = image.finish()?;
    // What came between the two is forgotten: it was more than can be under way, and no message of it is counted any more.
    let since = end.number("received")?.checked_sub(saved).with_context(|| format!("{saved}, {}", end.line()))?;
    ensure!((ANSWERS..2 * ANSWERS).contains(&since), "{saved} saved, then {since} received: {}", end.line());
    Ok(Shown::new(&["violation found, new session"]))
}

/// The machine is reset amid messages: the same id, the memory as it was, and interrupts set up anew.
fn reset(session: &mut Session, echo: &Image) -> Result<Shown> {
    let link = Link::doorbell(session, SIZE, 2, 0)?;
    let mut image = echo.clone().options("mode=interrupt").start(session, vec![link.attach(0)?])?;
    image.monitor()?.ask("set-action", json!({ "reboot": "reset" }))?;
    let mut load = Loading { quit: true, ..Loading::default() }.start(session, &link)?;
    let (mut ready, mut up) = (image.event("ready ")?, image.event("up ")?);
    for number in 1..=RESETS {
        load.progress(ANSWERS)?;
        image.monitor()?.ask("system_reset", json!({}))?;
        let (ready_again, up_again) = (image.event("ready ")?, image.event("up ")?);
        ensure!(ready_again.line() == ready.line(), "{} / {}", ready.line(), ready_again.line());
        ensure!(up_again.text("session")? != up.text("session")?, "{}", up_again.line());
        ensure!(up_again.text("peer")? == up.text("peer")?, "{}", up_again.line());
        load.event("restarted ")?;
        ensure!(load.count(Word::Restarts) == number, "{} restarts", load.count(Word::Restarts));
        (ready, up) = (ready_again, up_again);
    }
    load.progress(ANSWERS)?;
    let told = load.finish()?;
    // With each reset at most what is under way either way, and one in hand.
    let under_way: u32 = COMMAND_RESPONSE.iter().map(|channel| channel.slots()).sum();
    ensure!(told.number("lost")? <= RESETS * (u64::from(under_way) + 1), "{}", told.line());
    let end = image.finish()?;
    // Its counts begin with the reset.
    ensure!(end.number("restarts")? == 0 && end.number("violations")? == 0, "{}", end.line());
    ensure!(end.number("interrupts")? > 0, "no interrupt after a reset: {}", end.line());
    Ok(Shown::new(&["same id, new session"]))
}

/// A peer that comes when the others have long been at it, and goes again.
fn late_joiner(session: &mut Session, echo: &Image) -> Result<Shown> {
    let link = Link::doorbell(session, SIZE, 2, 0)?;
    let mut image = echo.clone().options("mode=interrupt windows=2").start(session, vec![link.attach(0)?])?;
    let load = Loading { quit: true, ..Loading::default() }.start(session, &link)?;
    let up = image.event("up ")?;
    load.progress(ANSWERS)?;
    let late = Loading { offset: SECOND_WINDOW, round: 1, messages: Some(ANSWERS), ..Loading::default() };
    let told = late.start(session, &link)?.join()?;
    ensure!(told.number("answered")? == ANSWERS && told.number("lost")? == 0, "{}", told.line());
    let second = image.event("up ")?;
    ensure!(second.text("peer")? != up.text("peer")?, "{} / {}", up.line(), second.line());
    load.progress(ANSWERS)?;
    let early = load.finish()?;
    let log = image.process().log().clone();
    let end = image.finish()?;
    let window = log.all("echo: second ").pop().context("no line of the second window")?;
    ensure!(window.number("received")? == ANSWERS && window.number("lost")? == 0, "{}", window.line());
    ensure!(end.number("received")? == early.number("sent")? + 1, "{} / {}", end.line(), early.line());
    ensure!(early.number("lost")? == 0 && early.number("restarts")? == 0, "{}", early.line());
    ensure!(end.number("restarts")? == 0 && end.number("violations")? == 0, "{}", end.line());
    Ok(Shown::new(&["served"]))
}

/// The server ends, and another begins on the same memory: who has met goes on, and who comes is found by looking.
fn server_restarted(session: &mut Session, echo: &Image) -> Result<Shown> {
    let memory = session.shared_memory(SIZE)?;
    let link = Link::doorbell_on(session, &memory, SIZE, 2, 0)?;
    let mut image = echo.clone().options("mode=interrupt windows=2").start(session, vec![link.attach(0)?])?;
    let load = Loading::default().start(session, &link)?;
    image.event("up ")?;
    load.progress(ANSWERS)?;
    let gone = link.attach(0)?;
    drop(link);
    load.progress(ANSWERS)?;
    let refused = ivshmem_peer::open(Some(&gone.device.parse()?), Purpose::Exchange, &Sysfs::default());
    ensure!(refused.is_err(), "a server that has ended lets in a peer");

    // Ids that nobody had: to those who have met the first server a former id means its former owner.
    let link = Link::doorbell_on(session, &memory, SIZE, 2, 100)?;
    let late = Loading { offset: SECOND_WINDOW, round: 1, messages: Some(ANSWERS), ..Loading::default() };
    let told = late.start(session, &link)?.join()?;
    ensure!(told.number("answered")? == ANSWERS && told.number("lost")? == 0, "{}", told.line());
    load.progress(ANSWERS)?;
    let early = load.finish()?;
    ensure!(early.number("lost")? == 0 && early.number("restarts")? == 0, "{}", early.line());
    image.kill()?;
    Ok(Shown::new(&["served"]))
}

/// Gives the machine a place for snapshots, as QEMU's own tools would make it.
fn disk(monitor: &mut Qmp, path: &Path) -> Result<()> {
    let file = json!({ "driver": "file", "filename": path });
    let mut new = file.clone();
    new["size"] = json!(0);
    monitor.job("blockdev-create", json!({ "options": new }))?;
    let mut node = file;
    node["node-name"] = json!("file");
    monitor.ask("blockdev-add", node)?;
    monitor.job("blockdev-create", json!({ "options": { "driver": "qcow2", "file": "file", "size": SIZE } }))?;
    monitor.ask("blockdev-add", json!({ "driver": "qcow2", "node-name": "snapshots", "file": "file" }))?;
    Ok(())
}

fn snapshot_of(tag: &str) -> Value {
    json!({ "tag": tag, "vmstate": "snapshots", "devices": ["snapshots"] })
}

/// The same machine, as it waits for another's state.
fn waiting(echo: &Image) -> Image {
    let extra = ["-incoming", "defer"].map(str::to_owned).into();
    Image { extra, ..echo.clone().options("mode=polled") }
}

fn erase(link: &Link) -> Result<()> {
    let attachment = link.attach(0)?;
    let path = attachment.device.strip_prefix("file:").context("memory without a path")?;
    let memory = File::options().write(true).open(path)?;
    Ok(memory.write_all_at(&vec![0; usize::try_from(SIZE)?], 0)?)
}
