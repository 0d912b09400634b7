//! No sign of life: the heartbeat stands still, perhaps amid a message, and then goes on or never does.

use super::life::Life;
use super::{PATIENCE, Step, World};
use core::ops::ControlFlow;
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;

/// Honest steps before a freeze, at most.
const MOST: u32 = 256;
/// Steps that a freeze lasts.
const LASTS: core::ops::RangeInclusive<u32> = 50..=100;
/// Freezes of a life, at most.
const FREEZES: u32 = 4;

pub(super) fn live<M: Memory, D: Doorbell + ?Sized>(
    world: &mut World<'_, M, D>,
    life: &mut Life<'_, M>,
) -> ControlFlow<()> {
    if !life.come_up(world, PATIENCE)? {
        return ControlFlow::Continue(());
    }
    for _ in 0..world.rng.u32(1..=FREEZES) {
        for _ in 0..world.rng.u32(1..=MOST) {
            life.talk(world);
            world.step(Step::Acted)?;
        }
        let amid_message = world.rng.bool();
        if amid_message {
            // The heartbeat, and a word or two of a message, which is 3 long.
            world.memory.die_after(world.rng.u64(1..4));
            life.talk(world);
        }
        for _ in 0..world.rng.u32(LASTS) {
            world.step(Step::Frozen)?;
        }
        if amid_message {
            // What this end takes for sent is not there: it can only begin anew.
            return ControlFlow::Continue(());
        }
    }
    ControlFlow::Continue(())
}
