use super::*;
use crate::fake::config::{ConfigSpace, Cycle, Function, Garbage};
use proptest::prelude::*;
use std::vec::Vec;

mod sizing;

fn at() -> Address {
    "00:04.0".parse().unwrap()
}

fn space(function: Function) -> ConfigSpace {
    ConfigSpace::new().with(at(), function)
}

fn decode(function: Function, index: u8) -> Result<Bar, BarError> {
    let space = space(function);
    let before = space.contents();
    let bar = bar(&space, at(), index);
    let cycles = space.take_cycles();
    assert!(cycles.len() <= 7 && cycles.iter().all(|cycle| matches!(cycle, Cycle::Read32 { .. })), "{cycles:?}");
    assert_eq!(space.contents(), before);
    bar
}

#[test]
fn decodes_32_and_64_bit_memory() {
    let function = Function::new(1, 2)
        .memory32(0, 0xFEBF_1000, 256)
        .memory64(2, 0xE0_0000_0000, 1 << 20, true)
        .memory64(4, 0x1_0000_0000, 1 << 32, false);
    let expected = |index, address, width, prefetchable| Ok(Bar { index, address, width, prefetchable });
    assert_eq!(decode(function.clone(), 0), expected(0, 0xFEBF_1000, Width::Bits32, false));
    assert_eq!(decode(function.clone(), 2), expected(2, 0xE0_0000_0000, Width::Bits64, true));
    assert_eq!(decode(function.clone(), 4), expected(4, 0x1_0000_0000, Width::Bits64, false));
    assert_eq!(decode(function.clone(), 3), Err(BarError::UpperHalf { index: 3 }));
    assert_eq!(decode(function, 5), Err(BarError::UpperHalf { index: 5 }));
}

#[test]
fn an_upper_half_that_looks_like_a_64_bit_register_takes_up_no_further_one() {
    // 16 GiB, where SeaBIOS puts them.
    let function = Function::new(1, 2).memory64(2, 0x4_0000_0000, 1 << 34, true).memory32(4, 0xFE00_0000, 4096);
    assert_eq!(decode(function.clone(), 4).map(|bar| bar.address), Ok(0xFE00_0000));
    assert_eq!(decode(function, 3), Err(BarError::UpperHalf { index: 3 }));
}

#[test]
fn an_unassigned_bar_is_an_error_even_with_memory_decode_on() {
    let hot_plugged = Function::ivshmem_plain(1 << 20).command(3);
    assert_eq!(decode(hot_plugged.clone(), 0), Err(BarError::Unassigned { index: 0, value: 0 }));
    assert_eq!(decode(hot_plugged, 2), Err(BarError::Unassigned { index: 2, value: 0xC }));
}

#[test]
fn io_and_reserved_types_are_errors_with_the_register() {
    let function = Function::new(1, 2).io(0, 0xC000, 32).register(0x14, 0xFE00_0002, 0).register(0x18, 0xFE00_000E, 0);
    assert_eq!(decode(function.clone(), 0), Err(BarError::Io { index: 0, value: 0xC001 }));
    assert_eq!(decode(function.clone(), 1), Err(BarError::ReservedType { index: 1, value: 0xFE00_0002 }));
    assert_eq!(decode(function, 2), Err(BarError::ReservedType { index: 2, value: 0xFE00_000E }));
}

#[test]
fn a_64_bit_bar_in_the_last_register_has_no_upper_half() {
    let device = Function::new(1, 2).register(0x24, 0xFE00_0004, 0);
    assert_eq!(decode(device, 5), Err(BarError::NoUpperHalf { index: 5, value: 0xFE00_0004 }));
    let bridge = Function::new(1, 2).bridge(0, 1, 1).register(0x14, 0xFE00_0004, 0);
    assert_eq!(decode(bridge, 1), Err(BarError::NoUpperHalf { index: 1, value: 0xFE00_0004 }));
}

#[test]
fn a_header_has_as_many_registers_as_its_layout_says() {
    assert_eq!(decode(Function::new(1, 2), 6), Err(BarError::Index { index: 6, count: 6 }));
    assert_eq!(decode(Function::new(1, 2), 255), Err(BarError::Index { index: 255, count: 6 }));
    assert_eq!(decode(Function::new(1, 2).bridge(0, 1, 1), 2), Err(BarError::Index { index: 2, count: 2 }));
    assert_eq!(decode(Function::new(1, 2).header_type(2), 0), Err(BarError::HeaderType(2)));
    assert_eq!(bar(&ConfigSpace::new(), at(), 0), Err(BarError::NoFunction));
}

#[test]
fn two_bars_at_one_address_overlap_whatever_their_sizes() {
    let function = Function::new(1, 2).memory32(0, 0xFE00_0000, 256).memory64(2, 0xFE00_0000, 1 << 20, true);
    let error =
        |index, other| BarError::Overlap { index, address: 0xFE00_0000, size: 1, other, other_address: 0xFE00_0000 };
    assert_eq!(decode(function.clone(), 0), Err(error(0, 2)));
    assert_eq!(decode(function, 2), Err(error(2, 0)));
}

#[test]
fn an_io_bar_and_an_unassigned_one_overlap_nothing() {
    let function = Function::new(1, 2).memory32(0, 0xC000, 16).io(1, 0xC000, 16).memory32(2, 0, 4096);
    assert!(decode(function, 0).is_ok());
}

#[test]
fn ranges_that_share_a_byte_are_not_disjoint() {
    let range = |index, address, size| BarRange { index, address, size };
    let bar0 = range(0, 0x1000, 0x100);
    for (address, size) in [(0x1100, 0x100), (0xF00, 0x100), (0x1080, 0), (u64::MAX - 0xFF, 0x100)] {
        assert_eq!(bar0.disjoint(range(2, address, size)), Ok(()), "{address:#x}");
        assert_eq!(range(2, address, size).disjoint(bar0), Ok(()), "{address:#x}");
    }
    for (address, size) in [(0x10FF, 1), (0xF00, 0x101), (0x1000, 0x100), (0, u64::MAX), (0x1080, u64::MAX)] {
        let other = range(2, address, size);
        let overlap = BarError::Overlap { index: 0, address: 0x1000, size: 0x100, other: 2, other_address: address };
        assert_eq!(bar0.disjoint(other), Err(overlap), "{address:#x}");
        assert!(other.disjoint(bar0).is_err());
    }
}

proptest! {
    #[test]
    fn random_registers_decode_to_an_assigned_bar_or_an_error(words in proptest::collection::vec(any::<u32>(), 6), index: u8, layout in 0..3_u8) {
        let function = (0x10..).step_by(4).zip(words).fold(Function::new(1, 2), |function, (offset, word)| function.register(offset, word, 0));
        if let Ok(bar) = decode(function.header_type(layout), index) {
            prop_assert!(bar.address != 0 && bar.address & 0xF == 0 && bar.index == index);
            prop_assert!(bar.address <= bar.width.last_address());
        }
    }
}
