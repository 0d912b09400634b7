//! The echo image and this process in the operator's place: what is sent comes back, however few doorbells arrive.

use super::suite::Suite;
use crate::matrix::{come_up, receive};
use crate::vm::{Accelerator, Image, Link, Session};
use anyhow::{Context, Result, ensure};
use ivshmem::channel::End;
use ivshmem_peer::{DeviceName, Exchange, MAX_MESSAGE, Purpose, Sysfs};
use serde_json::json;

const DOORBELLS: u64 = 1000;
/// Fewer than the queue has slots, so that all can be sent while the image stands still.
const MESSAGES: u64 = 60;

pub fn add(suite: &mut Suite) {
    suite.case("echo: every length comes back unchanged, polled, from the device that a selector names", |rig| {
        let accelerator = rig.images()?;
        SECOND.iter().try_for_each(|selector| rig.session(|session| polled(session, accelerator, selector)))
    });
    suite.case("doorbell: 1000 doorbells become few interrupts and no message is lost", |rig| {
        let accelerator = rig.images()?;
        rig.session(|session| coalesced(session, accelerator))
    });
}

/// The second device, in every way a command line can name it.
const SECOND: [&str; 3] = ["1", "size:2097152", "0000:00:02.0"];

/// Messages of every length, through the one device of two that the selector names.
fn polled(session: &mut Session, accelerator: Accelerator, selector: &str) -> Result<()> {
    let (other, link) = (Link::plain(1 << 20)?, Link::plain(2 << 20)?);
    let attachments = vec![other.attach(0)?.at("addr=1"), link.attach(1)?.at("addr=2")];
    let options = format!("mode=polled device={selector}");
    let mut image = Image::new("echo", accelerator).options(options).start(session, attachments)?;
    let ready = image.event("ready ")?;
    ensure!(ready.number("size")? == 2 << 20, "{selector} named another device: {}", ready.line());

    // Kept: its descriptor is the memory's name.
    let ours = link.attach(1)?;
    let name: DeviceName = ours.device.parse()?;
    let backend = ivshmem_peer::open(Some(&name), Purpose::Exchange, &Sysfs::default())?;
    let mut mailbox = ivshmem_peer::mailbox(&*backend, End::Second)?;
    let mut exchange = Exchange::attach(&mut mailbox, &*backend, End::Second);
    come_up(&mut exchange)?;
    let mut messages = 0;
    for length in 0..=MAX_MESSAGE {
        let message: Vec<u8> = (0..length).map(|index| (index * 7 + length) as u8).collect();
        exchange.try_send(&message)?;
        let answer = receive(&mut exchange)?;
        ensure!(answer == message, "{length} bytes came back as {answer:?}");
        messages += 1;
    }
    exchange.try_send(b"quit")?;
    receive(&mut exchange)?;
    exchange.close();
    let end = image.finish()?;
    let counts = (end.number("received")?, end.number("sent")?, end.number("interrupts")?, end.number("doorbells")?);
    ensure!(counts == (messages + 1, messages + 1, 0, 0), "{}", end.line());
    println!("{selector}: {}", end.line());
    Ok(())
}

fn coalesced(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let link = Link::doorbell(session, 1 << 20, 2, 0)?;
    let image = Image { monitor: true, ..Image::new("echo", accelerator).options("mode=interrupt") };
    let mut image = image.start(session, vec![link.attach(0)?])?;
    image.event("ready ")?;

    let name: DeviceName = link.attach(0)?.device.parse()?;
    let backend = ivshmem_peer::open(Some(&name), Purpose::Exchange, &Sysfs::default())?;
    let mut mailbox = ivshmem_peer::mailbox(&*backend, End::Second)?;
    let mut exchange = Exchange::attach(&mut mailbox, &*backend, End::Second);
    come_up(&mut exchange)?;
    let peer = exchange.peer_id().context("the image published no id")?;
    image.event("up ")?;

    // While the image's processors stand still every doorbell adds to the same eventfd.
    image.process().freeze()?;
    for number in 0..MESSAGES {
        exchange.try_send(text(number).as_bytes())?;
    }
    for _ in 0..DOORBELLS {
        backend.ring(peer, 0)?;
    }
    image.process().thaw()?;
    for number in 0..MESSAGES {
        let answer = receive(&mut exchange)?;
        ensure!(
            answer == text(number).as_bytes(),
            "message {number} came back as {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    // The image may have found all of them by looking. QEMU answers this in the same loop in which it takes doorbells, so
    // after the second answer the interrupt has been raised.
    for _ in 0..2 {
        image.monitor()?.ask("query-status", json!({}))?;
    }
    exchange.try_send(b"quit")?;
    receive(&mut exchange)?;
    exchange.close();

    let end = image.finish()?;
    ensure!(end.number("received")? == MESSAGES + 1 && end.number("lost")? == 0, "{}", end.line());
    let interrupts = end.number("interrupts")?;
    ensure!((1..DOORBELLS / 10).contains(&interrupts), "{DOORBELLS} doorbells made {interrupts} interrupts");
    println!("{}", end.line());
    Ok(())
}

fn text(number: u64) -> String {
    format!("message {number}")
}
