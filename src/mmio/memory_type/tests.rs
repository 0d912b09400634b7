//! Against the tables of the Intel SDM, vol. 3, chapter "Memory Cache Control".

use super::*;
use std::string::ToString;

const ENABLED_UC: u64 = 0xC00;
const ENABLED_WB: u64 = 0xC06;
const GIB: u64 = 1 << 30;

/// A range of `size` bytes, for a CPU with 40 address bits.
fn range(base: u64, size: u64, memory_type: u64) -> (u64, u64) {
    (base | memory_type, !(size - 1) & 0xFF_FFFF_F000 | 1 << 11)
}

fn mtrrs<const N: usize>(default_type: u64, ranges: [(u64, u64); N]) -> Mtrrs {
    Mtrrs { default_type, ranges: ranges.into_iter().collect() }
}

#[test]
fn effective_types_are_those_of_the_table() {
    let pats = [Uncacheable, UncachedMinus, WriteCombining, WriteThrough, WriteBack, WriteProtected];
    let table = [
        (Uncacheable, "UC UC WC UC UC UC"),
        (WriteCombining, "UC WC WC UC WC UC"),
        (WriteThrough, "UC UC WC WT WT WP"),
        (WriteBack, "UC UC WC WT WB WP"),
        (WriteProtected, "UC WC WC WT WP WP"),
    ];
    for (mtrr, row) in table {
        for (pat, expected) in pats.into_iter().zip(row.split(' ')) {
            assert_eq!(MemoryType::effective(mtrr, pat).to_string(), expected, "MTRR {mtrr}, PAT {pat}");
        }
    }
}

#[test]
fn the_page_attribute_table_at_reset_is_the_tables() {
    let types: std::vec::Vec<_> = (0..8).map(|entry| Pat::RESET.entry(entry).unwrap().to_string()).collect();
    assert_eq!(types, ["WB", "WT", "UC-", "UC", "WB", "WT", "UC-", "UC"]);
    assert_eq!(Pat::RESET.entry(8), Err(MemoryTypeError::Entry(8)));
    // What Linux sets: entry 1 is WC, 5 WP.
    let linux = Pat(0x0407_0506_0007_0106);
    assert_eq!((linux.entry(1), linux.entry(5)), (Ok(WriteCombining), Ok(WriteProtected)));
}

#[test]
fn encodings_2_3_and_those_above_7_are_reserved() {
    for value in [2, 3, 8, 0x86, 0xFF] {
        assert_eq!(Pat(value << 16).entry(2), Err(MemoryTypeError::Reserved(value as u8)));
        let found = mtrrs(ENABLED_UC, [range(GIB, GIB, value)]).of(GIB, GIB);
        assert_eq!(found, Err(MemoryTypeError::Reserved(value as u8)));
    }
    // UC- is a type of the page attribute table only.
    assert_eq!(mtrrs(0xC07, []).of(GIB, GIB), Err(MemoryTypeError::Reserved(7)));
}

#[test]
fn while_disabled_everything_is_uncached() {
    assert_eq!(mtrrs(0x006, [range(0, 4 * GIB, 6)]).of(GIB, 4096), Ok(Uncacheable));
}

#[test]
fn where_no_range_matches_the_default_counts() {
    for (default, expected) in [(ENABLED_UC, Uncacheable), (ENABLED_WB, WriteBack)] {
        assert_eq!(mtrrs(default, [range(0, GIB, 4)]).of(896 * GIB, 16 * GIB), Ok(expected));
    }
    let (base, mask) = range(GIB, GIB, 0);
    let invalid = mtrrs(ENABLED_WB, [(base, mask & !(1 << 11))]);
    assert_eq!(invalid.of(GIB, GIB), Ok(WriteBack), "a range that is not valid does not count");
}

#[test]
fn seabios_marks_the_hole_uncached_and_bar2_with_it() {
    // SeaBIOS: write-back by default, and one range from 0xc0000000 to 4 GiB uncached.
    let seabios = mtrrs(ENABLED_WB, [range(0xC000_0000, GIB, 0)]);
    let bar2 = |address, size| seabios.of(address, size).map(|mtrr| MemoryType::effective(mtrr, WriteBack));
    assert_eq!(bar2(0xFE00_0000, 1 << 20), Ok(Uncacheable));
    assert_eq!(bar2(4 * GIB, 4 * GIB), Ok(WriteBack), "above the hole");
    assert_eq!(bar2(0x8000_0000, GIB), Ok(WriteBack), "below it");
}

#[test]
fn a_range_of_which_a_part_differs_is_an_error() {
    let found = mtrrs(ENABLED_WB, [range(0xC000_0000, GIB, 0)]).of(0x8000_0000, 2 * GIB);
    assert_eq!(found, Err(MemoryTypeError::Mixed { part: Uncacheable, rest: WriteBack }));
    let same = mtrrs(ENABLED_WB, [range(0xC000_0000, GIB, 6)]);
    assert_eq!(same.of(0x8000_0000, 2 * GIB), Ok(WriteBack), "unless it is the same");
    // An uncached part of memory that is uncached as a whole by another range.
    let under = mtrrs(ENABLED_WB, [range(0xC000_0000, GIB, 0), range(0xC000_0000, 1 << 20, 6)]);
    assert_eq!(under.of(0xC000_0000, GIB), Ok(Uncacheable));
}

#[test]
fn where_ranges_overlap_uc_wins_and_wt_over_wb() {
    let both = |a, b| mtrrs(ENABLED_WB, [range(GIB, GIB, a), range(GIB, GIB, b)]).of(GIB, 4096);
    for (a, b, expected) in
        [(0, 6, Uncacheable), (0, 1, Uncacheable), (4, 6, WriteThrough), (6, 6, WriteBack), (1, 1, WriteCombining)]
    {
        assert_eq!((both(a, b), both(b, a)), (Ok(expected), Ok(expected)), "{a} and {b}");
    }
    for [a, b, c] in [[0, 1, 6], [1, 0, 6], [1, 6, 0]] {
        let three = [a, b, c].map(|memory_type| range(GIB, GIB, memory_type));
        assert_eq!(mtrrs(ENABLED_WB, three).of(GIB, 4096), Ok(Uncacheable), "over two that conflict, too");
    }
    assert_eq!(both(1, 6), Err(MemoryTypeError::Conflict(WriteCombining, WriteBack)));
    assert_eq!(both(5, 4), Err(MemoryTypeError::Conflict(WriteProtected, WriteThrough)));
}

#[test]
fn only_a_bar_above_the_first_mib_has_an_answer() {
    for (physical, length) in [(GIB, 0), (GIB, 3 << 20), (GIB + 4096, 8192), (0xA_0000, 4096), (0, GIB)] {
        assert_eq!(mtrrs(ENABLED_WB, []).of(physical, length), Err(MemoryTypeError::Range { physical, length }));
    }
    assert_eq!(mtrrs(ENABLED_WB, []).of(1 << 20, 16), Ok(WriteBack));
}

#[test]
fn each_error_says_the_value_or_the_types() {
    for (error, text) in [
        (MemoryTypeError::Reserved(3), "0x3 is no memory type"),
        (MemoryTypeError::Entry(8), "the page attribute table has no entry 8"),
        (MemoryTypeError::Conflict(WriteCombining, WriteBack), "range registers say WC and WB of the same memory"),
        (MemoryTypeError::Mixed { part: Uncacheable, rest: WriteBack }, "a part of the memory is UC, the rest WB"),
        (MemoryTypeError::Range { physical: 0x1000, length: 3 }, "3 bytes at 0x1000 are no BAR above 1 MiB"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
