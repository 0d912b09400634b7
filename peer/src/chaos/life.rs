//! The honest part of a hostile peer's life: it attaches, polls, sends and receives, so that there is something to break.

use super::half::{self, Half};
use super::hostile::Hostile;
use super::{Chaos, Step, World};
use core::ops::ControlFlow;
use ivshmem::channel::{Channels, Link};
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;

/// From one attachment to the next.
pub(super) struct Life<'l, M> {
    link: Link<'l, &'l Hostile<'l, M>>,
    /// Each with how many messages it has sent.
    halves: Vec<(Half<'l, M>, u64)>,
    /// Which life of the peer it is, from 1: its messages say so.
    number: u64,
    buffer: Vec<u8>,
}

impl<'l, M: Memory> Life<'l, M> {
    pub(super) fn new(
        plan: &Chaos<'_>,
        link: Link<'l, &'l Hostile<'l, M>>,
        mut channels: Channels<'l, &'l Hostile<'l, M>>,
        number: u64,
    ) -> Self {
        let halves = half::take(plan.channels, plan.end, &mut channels);
        let longest = plan.channels.iter().map(|channel| channel.max_len()).max().unwrap_or(0);
        let halves = halves.into_iter().map(|half| (half, 0)).collect();
        Self { link, halves, number, buffer: vec![0; usize::from(longest)] }
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

    /// Looks at the link, sends one message, sample or request on each channel that has room, and takes, and answers, what there is.
    ///
    /// A message is `chaos <life> <number>`, counted from 0 on each channel in each life, and cut to the channel's longest.
    pub(super) fn talk<D: Doorbell + ?Sized>(&mut self, world: &mut World<'_, M, D>) {
        self.poll(world);
        let now = world.counts.steps;
        for (half, sent) in &mut self.halves {
            let Some(notice) = half.send(&format!("chaos {} {sent}", self.number), now) else { continue };
            *sent += 1;
            world.sent(notice);
        }
        for (half, _) in &mut self.halves {
            let received = half.take(&mut self.buffer, now, |notice| world.sent(notice));
            world.counts.received += received;
        }
    }
}
