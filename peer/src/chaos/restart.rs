//! An honest peer that dies at one of its stores, amid whatever it is doing, and comes back.

use super::life::Life;
use super::{PATIENCE, Step, World};
use core::ops::ControlFlow;
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;

/// Stores of a life that dies while it attaches, comes up or sends its first messages, at most.
const EARLY: u64 = 200;
/// Stores of any other, at most.
const LATE: u64 = 4000;

/// Before it attaches: decides at which store it is to die.
pub(super) fn condemn<M: Memory, D: Doorbell + ?Sized>(world: &mut World<'_, M, D>) {
    let most = if world.rng.bool() { EARLY } else { LATE };
    world.memory.die_after(world.rng.u64(..most));
}

pub(super) fn live<M: Memory, D: Doorbell + ?Sized>(
    world: &mut World<'_, M, D>,
    life: &mut Life<'_, M>,
) -> ControlFlow<()> {
    let mut unanswered = 0;
    let mut was_up = false;
    while !world.memory.is_dead() && unanswered < PATIENCE {
        let up = life.poll(world);
        world.counts.ups += u64::from(up && !was_up);
        was_up = up;
        if up {
            life.talk(world);
            world.step(Step::Acted)?;
        } else {
            unanswered += 1;
            world.step(Step::Waiting)?;
        }
    }
    ControlFlow::Continue(())
}
