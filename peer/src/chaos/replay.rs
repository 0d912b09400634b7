//! What was written in an earlier, honest session, written once more over the present one.

use super::life::Life;
use super::{PATIENCE, Step, World};
use core::ops::ControlFlow;
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;

/// Honest steps before the record is taken, at most.
const MOST: u32 = 256;
/// Words replayed in a step.
const CHUNK: usize = 32;

/// The first life of two is honest and recorded; what it left is replayed in the second.
pub(super) fn live<M: Memory, D: Doorbell + ?Sized>(
    world: &mut World<'_, M, D>,
    life: &mut Life<'_, M>,
    record: &mut Vec<(usize, u64)>,
) -> ControlFlow<()> {
    if !life.come_up(world, PATIENCE)? {
        return ControlFlow::Continue(());
    }
    for _ in 0..world.rng.u32(1..=MOST) {
        life.talk(world);
        world.step(Step::Acted)?;
    }
    if record.is_empty() {
        record.extend(world.target.words().map(|offset| (offset, world.memory.load(offset))));
        return ControlFlow::Continue(());
    }
    // Beginning anywhere: the link's words, by which the other end takes it for the old session, come last or first.
    let begin = world.rng.usize(..record.len());
    record.rotate_left(begin);
    for chunk in record.chunks(CHUNK) {
        for (offset, word) in chunk {
            world.memory.forge(*offset, *word);
        }
        life.talk(world);
        world.step(Step::Acted)?;
    }
    record.clear();
    ControlFlow::Continue(())
}
