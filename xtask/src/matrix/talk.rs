//! Messages between an `echo` image and this process, as the other end of its mailbox.

use crate::vm::{Attachment, RealTime};
use anyhow::{Context, Result, ensure};
use ivshmem::channel::End;
use ivshmem_peer::{DeviceName, Exchange, MAX_MESSAGE, Purpose, Sysfs};
use serde_json::json;
use std::fmt;
use std::time::{Duration, Instant};

/// When a silent image is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Lengths of messages: of none, around each power of two, and of the most.
const LENGTHS: [usize; 15] = [0, 1, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 127, 247, MAX_MESSAGE];

/// How the image learns of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    Polled,
    Interrupt,
}

impl Reception {
    pub fn name(self) -> &'static str {
        match self {
            Self::Polled => "polled",
            Self::Interrupt => "interrupt",
        }
    }
}

impl fmt::Display for Reception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sends messages of many lengths to an image that is ready and has a monitor, compares what comes back, and has it end.
/// `ours` is an attachment of our own to the memory of the image's device.
pub fn talk(mut image: RealTime, ours: &Attachment, reception: Reception) -> Result<()> {
    let name: DeviceName = ours.device.parse()?;
    let backend = ivshmem_peer::open(Some(&name), Purpose::Exchange, &Sysfs::default())?;
    let mut mailbox = ivshmem_peer::mailbox(&*backend, End::Second)?;
    let mut exchange = Exchange::attach(&mut mailbox, &*backend, End::Second);
    come_up(&mut exchange)?;
    // The server has told QEMU of us, and QEMU takes it in before it answers: from here on the image can ring us.
    handled(&mut image)?;
    for length in LENGTHS {
        let message: Vec<u8> = (0..length).map(|index| (index * 7 + length) as u8).collect();
        exchange.try_send(&message)?;
        let answer = receive(&mut exchange)?;
        ensure!(answer == message, "{length} bytes came back as {answer:?}");
    }
    if reception == Reception::Interrupt {
        // The image may have found all of them by looking; this one is no message, and raises the interrupt before `quit` is sent.
        backend.ring(exchange.peer_id().context("the image published no id")?, 0)?;
        handled(&mut image)?;
    }
    exchange.try_send(b"quit")?;
    receive(&mut exchange)?;
    exchange.close();

    let end = image.finish()?;
    let count = LENGTHS.len() as u64 + 1;
    ensure!((end.number("received")?, end.number("sent")?) == (count, count), "not {count} messages: {}", end.line());
    ensure!((end.number("lost")?, end.number("violations")?) == (0, 0), "{}", end.line());
    match reception {
        Reception::Polled => ensure!(end.number("interrupts")? == 0, "interrupts while polling: {}", end.line()),
        Reception::Interrupt => ensure!(end.number("interrupts")? > 0, "a doorbell but no interrupt: {}", end.line()),
    }
    // QEMU has ended, so that what it rang has arrived.
    let heard = exchange.stats().interrupts;
    ensure!(end.number("doorbells")? == 0 || heard > 0, "the image rang and nothing was heard: {}", end.line());
    Ok(())
}

/// Returns when QEMU has handled what was there for it before. It answers in the loop in which it takes doorbells and a server's
/// news, so that after the second answer it has been through all of that once.
pub fn handled(image: &mut RealTime) -> Result<()> {
    for _ in 0..2 {
        image.monitor()?.ask("query-status", json!({}))?;
    }
    Ok(())
}

/// Waits until the other end is there.
pub fn come_up(exchange: &mut Exchange<'_>) -> Result<()> {
    let begin = Instant::now();
    while !exchange.poll().is_up() {
        ensure!(begin.elapsed() < PATIENCE, "the link does not come up");
        exchange.rest();
    }
    Ok(())
}

/// Waits for the next message.
pub fn receive(exchange: &mut Exchange<'_>) -> Result<Vec<u8>> {
    let begin = Instant::now();
    let mut buffer = [0; MAX_MESSAGE];
    loop {
        // What an image that closed has sent before is still to be had.
        let state = exchange.poll();
        if let Some(message) = exchange.recv(&mut buffer)? {
            return Ok(message.to_vec());
        }
        ensure!(state.is_up(), "the link went down: {state:?}");
        ensure!(begin.elapsed() < PATIENCE, "no answer");
    }
}
