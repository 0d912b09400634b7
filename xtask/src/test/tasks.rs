//! The `tasks` image and this process in the peer's place: an executor's tasks, each on its own channel and vector.

mod peer;

use super::suite::Suite;
use crate::vm::{Accelerator, Fields, Image, Link, RealTime, Session};
use anyhow::{Context, Result, anyhow, ensure};
use ivshmem::memory::Memory;
use ivshmem_peer::{Backend, DeviceName, Purpose, Sysfs};
use peer::{PAIRS, Peer};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Commands on each pair.
const COMMANDS: u64 = 250;
/// Whose tasks sleep, and how long, in milliseconds of the image's clock.
const SLEEPERS: [usize; 2] = [0, 3];
const SLEEP_MS: u64 = 200;
/// Rounds of commands on the other pairs while one is flooded, in each of two manners.
const ROUNDS: u64 = 100;

pub fn add(suite: &mut Suite) {
    suite.case("tasks: an executor's tasks await commands, send samples and sleep, woken by doorbells", |rig| {
        let accelerator = rig.images()?;
        rig.session(|session| awaited(session, accelerator, true))
    });
    suite.case("tasks: the same without a doorbell, woken by the tick, through a restart of the peer", |rig| {
        let accelerator = rig.images()?;
        rig.session(|session| awaited(session, accelerator, false))
    });
    suite.case(
        "isolation: a flooded, a blocked and a violated channel keep no other from delivering everything",
        |rig| {
            let accelerator = rig.images()?;
            rig.session(|session| isolated(session, accelerator))
        },
    );
}

/// The image, and the device by which this process reaches it.
fn start(
    session: &mut Session,
    accelerator: Accelerator,
    doorbell: bool,
) -> Result<(RealTime, Box<dyn Backend>, Link)> {
    let link = if doorbell { Link::doorbell(session, 1 << 20, 8, 0)? } else { Link::plain(1 << 20)? };
    // With a doorbell nothing else wakes a task for a command: a wake-up that is lost is a test that does not end well.
    let image = Image::new("tasks", accelerator).options(if doorbell { "look_ms=0" } else { "" });
    let mut image = image.start(session, vec![link.attach(0)?])?;
    let ready = image.event("ready ")?;
    let mode = if doorbell { "interrupt" } else { "polled" };
    ensure!(ready.text("mode")? == mode, "{}", ready.line());
    let ours = link.attach(1)?;
    let name: DeviceName = ours.device.parse()?;
    let backend = ivshmem_peer::open(Some(&name), Purpose::Exchange, &Sysfs::default())?;
    Ok((image, backend, link))
}

fn awaited(session: &mut Session, accelerator: Accelerator, doorbell: bool) -> Result<()> {
    // The link holds the server, or the memory's name.
    let (mut image, backend, _link) = start(session, accelerator, doorbell)?;
    let mut mailbox = peer::mailbox(&*backend)?;
    let restarts = u64::from(!doorbell);
    if !doorbell {
        let mut first = Peer::attach(&mut mailbox, &*backend)?;
        first.come_up()?;
        image.event("up ")?;
        first.exchange(0, b"of an earlier life")?;
    }
    let mut peer = Peer::attach(&mut mailbox, &*backend)?;
    peer.come_up()?;
    let up = image.event("up ")?;

    for number in 0..COMMANDS {
        for pair in 0..PAIRS {
            peer.send(pair, text(pair, number).as_bytes())?;
        }
        for pair in 0..PAIRS {
            let response = peer.receive(pair)?;
            ensure!(response == text(pair, number).as_bytes(), "{} came back as {response:?}", text(pair, number));
        }
    }

    // Two tasks are asked at the same moment to sleep, and do so at the same time.
    image.process().freeze()?;
    for pair in SLEEPERS {
        peer.send(pair, format!("sleep {SLEEP_MS}").as_bytes())?;
    }
    image.process().thaw()?;
    let one = slept(&peer.receive(SLEEPERS[0])?)?;
    let other = slept(&peer.receive(SLEEPERS[1])?)?;
    ensure!(one.end - one.start >= SLEEP_MS * 1000 && other.end - other.start >= SLEEP_MS * 1000, "{one:?} {other:?}");
    ensure!(one.start < other.end && other.start < one.end, "one after the other: {one:?} {other:?}");

    let mut samples = vec![peer.changed_sample()?];
    for _ in 0..3 {
        samples.push(peer.changed_sample()?);
    }
    ensure!(samples.is_sorted_by(|a, b| a.number < b.number && a.micros < b.micros), "{samples:?}");
    // The first one may have been written before the last command came.
    ensure!(samples[1..].iter().all(|sample| sample.commands == peer.sent() + restarts), "{samples:?}");

    peer.exchange(0, b"quit")?;
    let sample_rings = peer.sample_interrupts();
    let (totals, end) = finish(image)?;
    check_counts(&totals, &peer, [restarts, 0, 0, 0])?;
    ensure!(end.number("restarts")? == restarts, "{}", end.line());
    ensure!(end.number("samples")? >= samples[3].number, "{}", end.line());
    for counts in &totals {
        let (interrupts, doorbells) = (counts.number("interrupts")?, counts.number("doorbells")?);
        // Nobody waits on a pair in this process's order who is not rung sometimes; without a device nobody is.
        ensure!((interrupts > 0) == doorbell, "{}", counts.line());
        ensure!(doorbell || doorbells == 0, "{}", counts.line());
        ensure!(counts.number("sleeps")? > 0 && counts.number("dropped")? == 0, "{}", counts.line());
        println!("{}", counts.line());
    }
    ensure!((sample_rings > 0) == doorbell, "{sample_rings} doorbells for samples");
    println!("{}\n{}\nasleep at {one:?} and {other:?} us", up.line(), end.line());
    Ok(())
}

/// From when to when a task slept, in microseconds of the image's clock.
fn slept(response: &[u8]) -> Result<Range<u64>> {
    let text = str::from_utf8(response)?;
    let times = text.strip_prefix("slept ").and_then(|times| times.split_once(' '));
    let (from, to) = times.with_context(|| format!("no sleep: {text}"))?;
    Ok(from.parse()?..to.parse()?)
}

fn isolated(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let (mut image, backend, _link) = start(session, accelerator, true)?;
    let mut mailbox = peer::mailbox(&*backend)?;
    let mut peer = Peer::attach(&mut mailbox, &*backend)?;
    peer.come_up()?;
    image.event("up ")?;

    // As many messages and doorbells as go into pair 0; first its responses are received, then they pile up.
    let image_id = peer.peer_id()?;
    let calm = AtomicBool::new(false);
    let (flooded, rings) = std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let mut rings = 0u64;
            while !calm.load(Ordering::Relaxed) {
                backend.ring(image_id, 0)?;
                rings += 1;
            }
            anyhow::Ok(rings)
        });
        let flooded = flood(&mut peer);
        calm.store(true, Ordering::Relaxed);
        let rings = storm.join().map_err(|_| anyhow!("the storm panicked"))?;
        anyhow::Ok((flooded?, rings?))
    })?;

    // What no honest peer writes, where the next messages of pair 0 are due.
    scribble(&*backend)?;
    backend.ring(image_id, 0)?;
    for round in 0..ROUNDS {
        others(&mut peer, 2 * ROUNDS + round)?;
    }
    let error = image.event("error ")?;
    ensure!(error.line().contains("slot header"), "{}", error.line());
    peer.await_resync(0)?;
    peer.exchange(0, b"well again")?;

    peer.exchange(1, b"quit")?;
    let (totals, _) = finish(image)?;
    check_counts(&totals, &peer, [0; PAIRS])?;
    for (pair, counts) in totals.iter().enumerate() {
        ensure!(counts.number("violations")? == u64::from(pair == 0), "{}", counts.line());
        println!("{}", counts.line());
    }
    println!("{flooded} messages and {rings} doorbells flooded pair 0");
    Ok(())
}

/// Fills pair 0 in every round, and gives how many messages that took.
fn flood(peer: &mut Peer<'_>) -> Result<u64> {
    let (mut under_way, mut number) = (VecDeque::new(), 0u64);
    for round in 0..2 * ROUNDS {
        while peer.try_send(0, &number.to_le_bytes())? {
            under_way.push_back(number);
            number += 1;
        }
        if round < ROUNDS {
            drain(peer, &mut under_way)?;
        }
        others(peer, round)?;
    }
    while let Some(expected) = under_way.pop_front() {
        let response = peer.receive(0)?;
        ensure!(response == expected.to_le_bytes(), "{response:?} instead of {expected}");
    }
    Ok(number)
}

/// Receives what there is on pair 0 and compares.
fn drain(peer: &mut Peer<'_>, under_way: &mut VecDeque<u64>) -> Result<()> {
    while let Some(response) = peer.try_receive(0)? {
        let expected = under_way.pop_front().context("more responses than commands")?;
        ensure!(response == expected.to_le_bytes(), "{response:?} instead of {expected}");
    }
    Ok(())
}

fn others(peer: &mut Peer<'_>, round: u64) -> Result<()> {
    (1..PAIRS).try_for_each(|pair| peer.exchange(pair, text(pair, round).as_bytes()))
}

/// Overwrites the headers of pair 0's commands.
fn scribble(backend: &dyn Backend) -> Result<()> {
    let lines = peer::lines(backend, 0).context("no channel 0")?;
    for slot in 0..peer::SLOTS {
        backend.memory().publish(lines.slots_at + slot * peer::STRIDE, 0xbad0_bad0_bad0_bad0);
    }
    Ok(())
}

fn text(pair: usize, number: u64) -> String {
    format!("pair {pair} command {number}")
}

/// The image's counts for each pair, and its last line.
fn finish(image: RealTime) -> Result<(Vec<Fields>, Fields)> {
    let log = image.process().log().clone();
    let end = image.finish()?;
    let totals = log.all("tasks: pair ");
    ensure!(totals.len() == PAIRS, "{} pairs", totals.len());
    Ok((totals, end))
}

/// Both ends have counted the same on every pair; `before` is what an earlier life of this end sent.
fn check_counts(totals: &[Fields], peer: &Peer<'_>, before: [u64; PAIRS]) -> Result<()> {
    for (pair, (counts, before)) in totals.iter().zip(before).enumerate() {
        let (sent, received) = peer.counts(pair);
        let (commands, responses) = (counts.number("commands")?, counts.number("responses")?);
        ensure!(
            (commands, responses) == (sent + before, received + before) && sent == received,
            "{sent} commands, {received} responses / {}",
            counts.line()
        );
    }
    Ok(())
}
