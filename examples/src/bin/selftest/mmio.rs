//! Mapping: ranges, caching, pages of every size.

use crate::Check;
use crate::bench::Bench;
use crate::report::{OrFailed, Outcome};
use crate::{failed, same};
use core::ptr::NonNull;
use ivshmem::mmio::{Caching, MapError, Mapper};

pub const CHECKS: &[Check] = &[
    ("an_impossible_range_is_refused", impossible),
    ("an_unaligned_range_maps_to_its_own_bytes", unaligned),
    ("two_mappings_of_one_range_show_the_same_bytes", twice),
    ("896_gib_can_be_mapped_and_read", far),
];

/// Where OVMF puts BAR2 of any size.
const FAR: u64 = 896 << 30;

/// Maps memory of a device for reading and writing words.
fn map(bench: &mut Bench<'_>, physical: u64, length: u64, caching: Caching) -> Result<NonNull<u8>, MapError> {
    // SAFETY: the callers map device memory, or addresses at which there is nothing at all.
    unsafe { bench.mapper.map(physical, length, caching) }
}

fn read(at: NonNull<u8>) -> u64 {
    // SAFETY: the callers pass pointers to 8 mapped bytes, aligned to 8, in no Rust allocation.
    unsafe { at.cast::<u64>().read_volatile() }
}

fn write(at: NonNull<u8>, value: u64) {
    // SAFETY: as above.
    unsafe { at.cast::<u64>().write_volatile(value) }
}

fn impossible(bench: &mut Bench<'_>) -> Outcome {
    for (physical, length) in [(0x1000, 0), (u64::MAX - 0xFFF, 0x2000), (1 << 52, 0x1000)] {
        let result = map(bench, physical, length, Caching::Uncached);
        same!(result, Err(MapError::InvalidRange { physical, length }), "{length} bytes at {physical:#x}");
    }
    Ok(())
}

fn unaligned(bench: &mut Bench<'_>) -> Outcome {
    let at = bench.first()?;
    let (bar2, size) = (bench.slots[at].device.bar2(), bench.slots[at].device.size());
    if size < 0x2000 {
        return Err(crate::report::Unfinished::Skipped("needs 8 KiB of device memory"));
    }
    let whole = map(bench, bar2, size, Caching::WriteBack).or_failed("the whole memory")?;
    // Eight bytes on each side of a page boundary.
    let part = map(bench, bar2 + 0xFF8, 16, Caching::WriteBack).or_failed("16 bytes in the middle")?;
    for (offset, value) in [(0, 0x1111_2222_3333_4444), (8, 0x5555_6666_7777_8888)] {
        // SAFETY: 16 bytes are mapped there.
        write(unsafe { part.byte_add(offset) }, value);
        // SAFETY: 8 KiB are mapped there at least.
        same!(read(unsafe { whole.byte_add(0xFF8 + offset) }), value, "byte {:#x}", 0xFF8 + offset);
    }
    Ok(())
}

fn twice(bench: &mut Bench<'_>) -> Outcome {
    let at = bench.first()?;
    let (bar2, size) = (bench.slots[at].device.bar2(), bench.slots[at].device.size());
    let one = map(bench, bar2, size, Caching::WriteBack).or_failed("once")?;
    let other = map(bench, bar2, size, Caching::WriteBack).or_failed("twice")?;
    if one == other {
        return Err(failed!("both at {one:?}"));
    }
    let last = size as usize - 8;
    for offset in [0, last] {
        for value in [0xA5A5_5A5A_0F0F_F0F0u64, !0xA5A5_5A5A_0F0F_F0F0] {
            // SAFETY: the offset is at least 8 bytes before the end of what is mapped.
            write(unsafe { one.byte_add(offset) }, value);
            // SAFETY: as above.
            same!(read(unsafe { other.byte_add(offset) }), value, "byte {offset:#x}");
        }
    }
    Ok(())
}

fn far(bench: &mut Bench<'_>) -> Outcome {
    // Nothing is there: what it reads does not matter, only that it does not fault.
    for (physical, length) in [(FAR, 0x1000), (FAR + 0x1000, 16 << 30)] {
        let pointer = map(bench, physical, length, Caching::Uncached).or_failed("mapping 896 GiB")?;
        read(pointer);
        // SAFETY: `length` bytes are mapped there.
        read(unsafe { pointer.byte_add(length as usize - 8) });
    }
    Ok(())
}
