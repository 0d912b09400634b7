//! The honest part of a hostile peer's life: it attaches, polls, sends and receives, so that there is something to break.

use super::hostile::Hostile;
use super::{Chaos, Step, World};
use core::ops::ControlFlow;
use ivshmem::channel::{Channels, Link, Receiver, Sender};
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;

/// Messages taken from a channel in one look at it.
const BATCH: u32 = 4;

/// From one attachment to the next.
pub(super) struct Life<'l, M> {
    link: Link<'l, &'l Hostile<'l, M>>,
    senders: Vec<Outgoing<'l, M>>,
    receivers: Vec<Receiver<'l, &'l Hostile<'l, M>>>,
    /// Which life of the peer it is, from 1: its messages say so.
    number: u64,
    buffer: Vec<u8>,
}

struct Outgoing<'l, M> {
    sender: Sender<'l, &'l Hostile<'l, M>>,
    sent: u64,
}

impl<'l, M: Memory> Life<'l, M> {
    /// Takes every queuing half; other kinds are scribbled on and replayed only.
    pub(super) fn new(
        plan: &Chaos<'_>,
        link: Link<'l, &'l Hostile<'l, M>>,
        mut channels: Channels<'l, &'l Hostile<'l, M>>,
        number: u64,
    ) -> Self {
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for (index, channel) in plan.channels.iter().enumerate() {
            match channel.from() == plan.end {
                true => senders.extend(channels.sender(index).map(|sender| Outgoing { sender, sent: 0 })),
                false => receivers.extend(channels.receiver(index)),
            }
        }
        let longest = plan.channels.iter().map(|channel| channel.max_len()).max().unwrap_or(0);
        Self { link, senders, receivers, number, buffer: vec![0; usize::from(longest)] }
    }

    /// The other end's id, if it has published one.
    pub(super) fn peer_id(&self) -> Option<u16> {
        self.link.peer_id()
    }

    /// Looks at the link and says whether it is up.
    pub(super) fn poll<D: Doorbell + ?Sized>(&mut self, world: &World<'_, M, D>) -> bool {
        self.link.poll(world.counts.steps).is_up()
    }

    /// Waits until the link is up; `Continue(false)` if nobody answers within so many looks.
    pub(super) fn come_up<D: Doorbell + ?Sized>(
        &mut self,
        world: &mut World<'_, M, D>,
        looks: u32,
    ) -> ControlFlow<(), bool> {
        for _ in 0..looks {
            if self.poll(world) {
                world.counts.ups += 1;
                return ControlFlow::Continue(true);
            }
            world.step(Step::Waiting)?;
        }
        ControlFlow::Continue(false)
    }

    /// Looks at the link, sends one message on each channel that has room, and takes what there is to receive.
    ///
    /// A message is `chaos <life> <number>`, counted from 0 on each channel in each life, and cut to the channel's longest.
    pub(super) fn talk<D: Doorbell + ?Sized>(&mut self, world: &mut World<'_, M, D>) {
        self.poll(world);
        for Outgoing { sender, sent } in &mut self.senders {
            let mut text = format!("chaos {} {sent}", self.number);
            text.truncate(sender.max_len().into());
            // Whatever is in the way, a full channel or the other end's answer to what this one did, is no news here.
            let Ok(notice) = sender.try_send(text.as_bytes()) else { continue };
            *sent += 1;
            world.counts.sent += 1;
            if let Some(doorbell) = world.doorbell {
                match notice.ring(doorbell) {
                    Ok(rang) => world.counts.rings += u64::from(rang),
                    Err(_) => world.counts.refused += 1,
                }
            }
        }
        for receiver in &mut self.receivers {
            for _ in 0..BATCH {
                match receiver.try_recv(&mut self.buffer) {
                    Ok(Some(_)) => world.counts.received += 1,
                    _ => break,
                }
            }
        }
    }
}
