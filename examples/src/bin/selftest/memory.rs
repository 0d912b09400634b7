//! Shared memory: words, copies, windows.

use crate::Check;
use crate::bench::Bench;
use crate::report::{OrFailed, Outcome, Unfinished};
use crate::{failed, same};
use ivshmem::memory::Memory;

pub const CHECKS: &[Check] = &[
    ("words_all_over_the_memory_keep_their_values", words),
    ("copies_of_every_length_come_back_and_pad_with_zeros", copies),
    ("a_window_is_its_part_of_the_memory", windows),
    ("outside_the_memory_nothing_is_read_or_written", outside),
];

/// The most words that are tested, so that 16 GiB take no longer than 1 MiB.
const WORDS: usize = 256;

fn words(bench: &mut Bench<'_>) -> Outcome {
    bench.first()?;
    for slot in &bench.slots {
        let step = (slot.memory.len() / WORDS).max(8);
        let value = |offset: usize| (offset as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for offset in (0..slot.memory.len()).step_by(step) {
            slot.memory.publish(offset, value(offset));
        }
        for offset in (0..slot.memory.len()).step_by(step) {
            same!(slot.memory.load(offset), value(offset), "{} word at {offset:#x}", slot.device.address());
        }
    }
    Ok(())
}

fn copies(bench: &mut Bench<'_>) -> Outcome {
    let at = bench.first()?;
    let memory = &bench.slots[at].memory;
    if memory.len() < 512 {
        return Err(Unfinished::Skipped("needs 512 bytes of device memory"));
    }
    let bytes: [u8; 256] = core::array::from_fn(|n| n as u8 ^ 0xA5);
    for length in 0..=bytes.len() {
        memory.copy_in(64, &[0xFF; 264]);
        memory.copy_in(64, &bytes[..length]);
        let mut back = [0xEE; 264];
        memory.copy_out(64, &mut back);
        let padded = length.next_multiple_of(8);
        let padding = back[length..padded].iter().all(|byte| *byte == 0);
        if back[..length] != bytes[..length] || !padding || back[padded..].iter().any(|byte| *byte != 0xFF) {
            return Err(failed!("a copy of {length} bytes"));
        }
    }
    Ok(())
}

fn windows(bench: &mut Bench<'_>) -> Outcome {
    let at = bench.first()?;
    let memory = &bench.slots[at].memory;
    let half = memory.len() / 2;
    let upper = memory.window(half, half).or_failed("the upper half")?;
    same!(upper.len(), half, "bytes in the upper half");
    upper.publish(0, 0x1234_5678);
    same!(memory.load(half), 0x1234_5678, "the window's first word");
    for (offset, length) in [(half, half + 8), (4, 8), (8, 4), (usize::MAX - 7, 16)] {
        same!(memory.window(offset, length).is_err(), true, "a window of {length} bytes at {offset:#x} is refused");
    }
    Ok(())
}

fn outside(bench: &mut Bench<'_>) -> Outcome {
    let at = bench.first()?;
    let memory = &bench.slots[at].memory;
    let half = memory.window(0, memory.len() / 2).or_failed("the lower half")?;
    let end = half.len();
    memory.publish(end, 0x77);
    half.publish(end, 0x99);
    same!(memory.load(end), 0x77, "the word after a window, after a store there");
    same!(half.load(end), 0, "a load after the end");
    Ok(())
}
