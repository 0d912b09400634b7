//! Doorbells are hints: many become one, and no message depends on how many there were.

use super::suite::Suite;
use crate::vm::{Accelerator, Image, Link, Session};
use anyhow::{Context, Result, bail, ensure};
use ivshmem::channel::{End, LinkState};
use ivshmem_peer::{DeviceName, Exchange, MAX_MESSAGE, Purpose, Sysfs};
use std::time::{Duration, Instant};

const DOORBELLS: u64 = 1000;
/// Fewer than the queue has slots, so that all can be sent while the image stands still.
const MESSAGES: u64 = 60;
/// When a silent image is given up.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn add(suite: &mut Suite) {
    suite.case("doorbell: 1000 doorbells become few interrupts and no message is lost", |rig| {
        let accelerator = rig.images()?;
        rig.session(|session| coalesced(session, accelerator))
    });
}

fn coalesced(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let link = Link::doorbell(session, 1 << 20, 2, 0)?;
    let mut image = Image::new("echo", accelerator).options("mode=interrupt").start(session, vec![link.attach(0)?])?;
    image.event("ready ")?;

    let name: DeviceName = link.attach(0)?.device.parse()?;
    let backend = ivshmem_peer::open(Some(&name), Purpose::Exchange, &Sysfs::default())?;
    let mut mailbox = ivshmem_peer::mailbox(&*backend, End::Second)?;
    let mut exchange = Exchange::attach(&mut mailbox, &*backend, End::Second);
    let begin = Instant::now();
    while !matches!(exchange.poll(), LinkState::Up { .. }) {
        ensure!(begin.elapsed() < PATIENCE, "the link does not come up");
        exchange.rest();
    }
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

fn receive(exchange: &mut Exchange<'_>) -> Result<Vec<u8>> {
    let begin = Instant::now();
    let mut buffer = [0; MAX_MESSAGE];
    loop {
        if !matches!(exchange.poll(), LinkState::Up { .. }) {
            bail!("the link went down: {:?}", exchange.poll());
        }
        if let Some(message) = exchange.recv(&mut buffer)? {
            return Ok(message.to_vec());
        }
        ensure!(begin.elapsed() < PATIENCE, "no answer");
    }
}
