//! Doorbells without end, on every vector, beside honest messages that the storm must not delay for long.

use super::life::Life;
use super::{PATIENCE, Step, World};
use core::ops::ControlFlow;
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;

/// Doorbells of a life, at most.
const MOST: u32 = 1 << 16;
/// Doorbells between two messages.
const BURST: u32 = 64;

pub(super) fn live<M: Memory, D: Doorbell + ?Sized>(
    world: &mut World<'_, M, D>,
    life: &mut Life<'_, M>,
) -> ControlFlow<()> {
    if !life.come_up(world, PATIENCE)? {
        return ControlFlow::Continue(());
    }
    let vectors = world.plan.vectors.max(1);
    for number in 0..world.rng.u32(1..=MOST) {
        if number % BURST == 0 {
            life.talk(world);
        }
        let vector = world.rng.u16(..vectors);
        match life.peer_id() {
            Some(peer) => world.ring(peer, vector),
            None => world.counts.refused += 1,
        }
        world.step(Step::Acted)?;
    }
    ControlFlow::Continue(())
}
