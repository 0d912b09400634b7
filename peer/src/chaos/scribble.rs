//! Words anywhere: random ones, and those that come near to what would be right.

use super::life::Life;
use super::{Mode, PATIENCE, Step, World};
use core::ops::ControlFlow;
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;

/// Words scribbled in a life, at most: then everything is put right by attaching anew, and the other end can be hurt afresh.
const MOST: u32 = 256;
/// Looks for an answer of an end that may be unable to give one.
const BRIEF: u32 = 20;

pub(super) fn live<M: Memory, D: Doorbell + ?Sized>(
    world: &mut World<'_, M, D>,
    life: &mut Life<'_, M>,
) -> ControlFlow<()> {
    // Where the other end's own words are scribbled over, they stay so until it attaches anew: it may never answer again.
    let everywhere = world.plan.mode == Mode::Scribble { everywhere: true };
    if !life.come_up(world, if everywhere { BRIEF } else { PATIENCE })? && !everywhere {
        return ControlFlow::Continue(());
    }
    for _ in 0..world.rng.u32(1..=MOST) {
        let offset = world.target.any(&mut world.rng);
        let found = world.memory.load(offset);
        let word = match world.rng.u32(..6) {
            0 => 0,
            1 => u64::MAX,
            2 => found ^ 1 << world.rng.u32(..64),
            3 => found.wrapping_add(1),
            4 => world.memory.load(world.target.any(&mut world.rng)),
            _ => world.rng.u64(..),
        };
        world.memory.forge(offset, word);
        life.talk(world);
        world.step(Step::Acted)?;
    }
    ControlFlow::Continue(())
}
