//! Lengths that lie: above the longest message, or changed after they were published.

use super::life::Life;
use super::{PATIENCE, Step, World};
use core::ops::ControlFlow;
use ivshmem::channel::wire::Header;
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;
use std::cell::Cell;
use std::rc::Rc;

/// Steps of a life, at most.
const MOST: u32 = 2048;
/// How often a length changes after it was published.
const FLIPS: u32 = 4;

pub(super) fn live<M: Memory, D: Doorbell + ?Sized>(
    world: &mut World<'_, M, D>,
    life: &mut Life<'_, M>,
) -> ControlFlow<()> {
    if !life.come_up(world, PATIENCE)? {
        return ControlFlow::Continue(());
    }
    let channels = world.target.channels.clone();
    let mut rng = world.rng.fork();
    let last = Rc::new(Cell::new(None));
    let published = Rc::clone(&last);
    world.memory.tamper(move |offset, word| {
        let Some(words) = channels.iter().find(|words| words.is_header(offset)) else { return word };
        let honest = Header::from_word(word);
        // A ring's slots are cleared with 0, which is no message.
        if word == 0 {
            return word;
        }
        published.set(Some((offset, words.max_len, honest)));
        match (rng.u32(..4), words.max_len.checked_add(1)) {
            (0, Some(above)) => Header { length: rng.u16(above..), ..honest }.to_word(),
            _ => word,
        }
    });
    for _ in 0..world.rng.u32(1..=MOST) {
        life.talk(world);
        if let Some((offset, max_len, honest)) = last.take()
            && world.rng.u32(..4) == 0
        {
            for _ in 0..FLIPS {
                let length = if world.rng.bool() { world.rng.u16(..=max_len) } else { world.rng.u16(..) };
                world.memory.forge(offset, Header { length, ..honest }.to_word());
            }
        }
        world.step(Step::Acted)?;
    }
    ControlFlow::Continue(())
}
