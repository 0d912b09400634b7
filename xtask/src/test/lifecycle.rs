//! What virtual machines go through, and their mailboxes with them: saved and restored, reset, moved.

use super::liveness::continued;
use super::suite::Suite;
use crate::load::Word;
use crate::vm::{Accelerator, Image, Link, Loading, Operator, Place, Qmp, Session, Talk};
use anyhow::{Context, Result, bail, ensure};
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

pub fn add(suite: &mut Suite) {
    let mut case = |name: &str, work: fn(&mut Session, Accelerator) -> Result<()>| {
        suite.case(&format!("lifecycle: {name}"), move |rig| {
            let accelerator = rig.images()?;
            rig.session(|session| work(session, accelerator))
        });
    };
    case("the image's VM is saved with its memory and restored, no loss, no restart", saved);
    case("the image's VM moves at work, with its memory, to a new peer", moved);
    case("a VM that shares its memory is not moved, and goes on", not_moved);
    case("a snapshot is loaded: a peer from the future is found out, and the next one exchanges all", snapshot);
    case("the image's VM is reset under load: same id, same memory, new session, interrupts again", image_reset);
    case("a peer that joins late is served beside the first", late_joiner);
    case("the server ends and another begins: those who met go on, those who come are served", server_restarted);
    suite.case("lifecycle: the Linux VM is reset amid commands and comes back under the same id", |rig| {
        let (accelerator, linux) = (rig.images()?, rig.linux()?);
        rig.session(|session| linux_reset(session, accelerator, &linux))
    });
}

/// The image, ready for questions, in the machine of the one device.
fn echo(accelerator: Accelerator, options: &str) -> Image {
    Image { monitor: true, ..Image::new("echo", accelerator).options(options) }
}

/// `master=on`: QEMU saves the shared memory with the machine. Meanwhile the peer stands still.
fn saved(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let link = Link::plain(SIZE)?;
    let file = session.dir().join("machine");
    let mut image = echo(accelerator, "mode=polled").start(session, vec![link.attach(0)?.at("master=on")])?;
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
    let mut image = waiting(accelerator, "mode=polled").start(session, vec![link.attach(0)?.at("master=on")])?;
    let monitor = image.monitor()?;
    monitor.ask("migrate-incoming", json!({ "uri": format!("exec:cat {}", file.display()) }))?;
    monitor.migrated()?;
    load.process().thaw()?;
    load.progress(ANSWERS)?;
    continued(image, load, &up).map(drop)
}

/// `master=on`: QEMU moves the machine, while it works, and the shared memory with it to other memory, where a new peer waits.
fn moved(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let (link, there) = (Link::plain(SIZE)?, Link::plain(SIZE)?);
    let mut image = echo(accelerator, "mode=polled").start(session, vec![link.attach(0)?.at("master=on")])?;
    let first = Loading::default().start(session, &link)?;
    image.event("up ")?;
    first.progress(ANSWERS)?;

    let uri = format!("unix:{}", session.dir().join("moving").display());
    let mut target = waiting(accelerator, "mode=polled").start(session, vec![there.attach(0)?.at("master=on")])?;
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
    // QEMU tracks what its own guest writes. What the peer writes is copied at any time, or not: a ring so torn is found out, once.
    ensure!(end.number("restarts")? == 1 && end.number("violations")? <= 1, "{}", end.line());
    println!("{}\n{}", told.line(), end.line());
    Ok(())
}

/// `master=off`, QEMU's default: it says why it does not move the machine, and the machine goes on.
fn not_moved(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let link = Link::doorbell(session, SIZE, 2, 0)?;
    let mut image = echo(accelerator, "mode=interrupt").start(session, vec![link.attach(0)?])?;
    let load = Loading { quit: true, ..Loading::default() }.start(session, &link)?;
    let up = image.event("up ")?;
    let refused = image.monitor()?.ask("migrate", json!({ "uri": "exec:cat > /dev/null" }));
    let Err(refused) = refused else { bail!("a peer was moved without its link") };
    ensure!(refused.to_string().contains("peer mode"), "{refused}");
    load.progress(ANSWERS)?;
    continued(image, load, &up).map(drop)
}

/// A snapshot holds the memory too. Loaded, it takes a peer that lived on back in time, who says so and is not believed; the next is.
fn snapshot(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let link = Link::plain(SIZE)?;
    let mut image = echo(accelerator, "mode=polled").start(session, vec![link.attach(0)?.at("master=on")])?;
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
    println!("saved at {saved} answers\n{}\n{}", told.line(), end.line());
    Ok(())
}

/// The machine is reset amid messages: the same id, the memory as it was, and interrupts set up anew.
fn image_reset(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let link = Link::doorbell(session, SIZE, 2, 0)?;
    let mut image = echo(accelerator, "mode=interrupt").start(session, vec![link.attach(0)?])?;
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
    let end = image.finish()?;
    // Its counts begin with the reset.
    ensure!(end.number("restarts")? == 0 && end.number("violations")? == 0, "{}", end.line());
    ensure!(end.number("interrupts")? > 0, "no interrupt after a reset: {}", end.line());
    println!("{}\n{}", told.line(), end.line());
    Ok(())
}

/// The general-purpose machine is reset amid commands: Linux boots again, the same peer to the server, and a new session to the image.
fn linux_reset(session: &mut Session, accelerator: Accelerator, linux: &Place) -> Result<()> {
    let link = Link::doorbell(session, SIZE, 4, 0)?;
    let image = Image::new("control-loop", accelerator).options("mode=interrupt");
    let mut image = image.start(session, vec![link.attach(0)?])?;
    let mut operator = Operator::start(session, linux, &link, &["--commands", "1000000000"], Talk::Quiet)?;
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

/// A peer that comes when the others have long been at it, and goes again.
fn late_joiner(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let link = Link::doorbell(session, SIZE, 2, 0)?;
    let mut image = echo(accelerator, "mode=interrupt windows=2").start(session, vec![link.attach(0)?])?;
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
    println!("{}\n{}\n{}", early.line(), window.line(), end.line());
    Ok(())
}

/// The server ends, and another begins on the same memory: who has met goes on, and who comes is found by looking.
fn server_restarted(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let memory = session.shared_memory(SIZE)?;
    let link = Link::doorbell_on(session, &memory, SIZE, 2, 0)?;
    let options = "mode=interrupt windows=2";
    let mut image = echo(accelerator, options).start(session, vec![link.attach(0)?])?;
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
    println!("{}\n{}", early.line(), told.line());
    Ok(())
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

/// A machine that waits for another's state.
fn waiting(accelerator: Accelerator, options: &str) -> Image {
    let extra = ["-incoming", "defer"].map(str::to_owned).into();
    Image { extra, ..echo(accelerator, options) }
}

fn erase(link: &Link) -> Result<()> {
    let attachment = link.attach(0)?;
    let path = attachment.device.strip_prefix("file:").context("memory without a path")?;
    let memory = File::options().write(true).open(path)?;
    Ok(memory.write_all_at(&vec![0; usize::try_from(SIZE)?], 0)?)
}
