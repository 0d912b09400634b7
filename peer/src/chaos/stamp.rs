//! Counters that jump: stamps, tags and kinds of slots, acknowledgements, wishes, the keys of rings, and the numbers of samples.

use super::life::Life;
use super::target::Words;
use super::{PATIENCE, Step, World};
use core::ops::ControlFlow;
use fastrand::Rng;
use ivshmem::channel::Kind;
use ivshmem::channel::wire::{self, Header, Key, Keyed};
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;

/// Steps of a life, at most.
const MOST: u32 = 2048;

pub(super) fn live<M: Memory, D: Doorbell + ?Sized>(
    world: &mut World<'_, M, D>,
    life: &mut Life<'_, M>,
) -> ControlFlow<()> {
    if !life.come_up(world, PATIENCE)? {
        return ControlFlow::Continue(());
    }
    let channels = world.target.channels.clone();
    let mut rng = world.rng.fork();
    world.memory.tamper(move |offset, word| {
        let Some(words) = channels.iter().find(|words| words.is_header(offset)) else { return word };
        if rng.u32(..4) == 0 { header(word, words, &mut rng) } else { word }
    });
    for _ in 0..world.rng.u32(1..=MOST) {
        if world.rng.u32(..8) == 0 {
            index(world);
        }
        life.talk(world);
        world.step(Step::Acted)?;
    }
    ControlFlow::Continue(())
}

/// A header that is not the one to come.
fn header(word: u64, words: &Words, rng: &mut Rng) -> u64 {
    let right = Header::from_word(word);
    let wrong = match rng.u32(..6) {
        0 => Header { stamp: right.stamp.wrapping_add(1), ..right },
        1 => Header { stamp: right.stamp.wrapping_sub(1), ..right },
        2 => Header { stamp: right.stamp.wrapping_add(words.slots), ..right },
        3 => Header { stamp: rng.u32(..), ..right },
        4 => Header { tag: right.tag.wrapping_add(rng.u8(1..)), ..right },
        _ => Header { kind: right.kind.wrapping_add(rng.u8(1..)), ..right },
    };
    wrong.to_word()
}

/// A word of a channel's line that steers the other end's half.
fn index<M: Memory, D: Doorbell + ?Sized>(world: &mut World<'_, M, D>) {
    let words = world.target.channel(&mut world.rng);
    let rng = &mut world.rng;
    let offset = words.line + if rng.bool() { wire::ACKNOWLEDGED } else { wire::WISH };
    let found = world.memory.load(offset);
    let word = if words.sends && words.kind != Kind::Sampling {
        let key = Key::from_bits(found as u32);
        match rng.u32(..3) {
            0 => u64::from(key.next_generation().bits()),
            1 => rng.u32(..).into(),
            _ => rng.u64(..),
        }
    } else {
        let Keyed { count, key } = Keyed::from_word(found);
        let wrong = match rng.u32(..5) {
            0 => Keyed { count: count.wrapping_add(rng.u32(1..=2 * words.slots)), key },
            1 => Keyed { count: count.wrapping_sub(rng.u32(1..=2 * words.slots)), key },
            2 => Keyed { count: rng.u32(..), key },
            3 => Keyed { count, key: key.next_generation() },
            _ => Keyed { count, key: Key::from_bits(rng.u32(..)) },
        };
        wrong.to_word()
    };
    world.memory.forge(offset, word);
}
