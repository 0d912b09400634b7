use super::*;
use crate::fake::config::{ConfigSpace, Cycle, Function, Garbage};
use proptest::prelude::*;
use std::vec::Vec;

fn at() -> Address {
    "00:04.0".parse().unwrap()
}

fn walk(function: Function) -> Vec<Result<Capability, CapabilityError>> {
    capabilities(&ConfigSpace::new().with(at(), function), at()).collect()
}

/// A device with raw bytes: a pointer, and capabilities as (offset, id, next).
fn raw(pointer: u8, list: &[(u16, u8, u8)]) -> Function {
    let function = Function::new(1, 2).register(0x04, 0x0010_0000, 0).register(0x34, pointer.into(), 0);
    list.iter().fold(function, |function, (offset, id, next)| {
        function.register(*offset, u32::from_le_bytes([*id, *next, 0, 0]), 0)
    })
}

#[test]
fn yields_the_list_in_its_order() {
    let function = Function::new(1, 2).capability(0x60, 0x09, &[]).capability(0x40, 0x11, &[]);
    let expected = [Capability { id: 0x09, offset: 0x60 }, Capability { id: 0x11, offset: 0x40 }];
    assert_eq!(walk(function), expected.map(Ok));
}

#[test]
fn finds_msi_x_where_qemu_has_it_and_none_on_a_plain_device() {
    let space = ConfigSpace::new().with(at(), Function::ivshmem_doorbell(4096, 2));
    assert_eq!(find_capability(&space, at(), 0x11), Ok(Some(0x40)));
    space.plug(at(), Function::ivshmem_plain(4096));
    assert_eq!(find_capability(&space, at(), 0x11), Ok(None));
}

#[test]
fn looks_at_no_pointer_unless_status_says_that_there_is_a_list() {
    let function = raw(0x40, &[(0x40, 5, 0)]).register(0x04, 0, 0);
    assert_eq!(walk(function), []);
}

#[test]
fn the_two_lowest_bits_of_a_pointer_are_masked() {
    let function = raw(0x43, &[(0x40, 5, 0x82), (0x80, 6, 0x03)]);
    assert_eq!(walk(function), [Capability { id: 5, offset: 0x40 }, Capability { id: 6, offset: 0x80 }].map(Ok));
}

#[test]
fn a_pointer_into_the_header_is_an_error_with_its_place() {
    assert_eq!(walk(raw(0x3C, &[])), [Err(CapabilityError::BadPointer { at: 0x34, pointer: 0x3C })]);
    let second = [Ok(Capability { id: 5, offset: 0x40 }), Err(CapabilityError::BadPointer { at: 0x40, pointer: 4 })];
    assert_eq!(walk(raw(0x40, &[(0x40, 5, 4)])), second);
}

#[test]
fn a_loop_is_an_error_at_once() {
    let looped = walk(raw(0x40, &[(0x40, 5, 0x50), (0x50, 6, 0x40)]));
    assert_eq!(looped.len(), 3);
    assert_eq!(looped[2], Err(CapabilityError::Loop { offset: 0x40 }));
    let onto_itself = walk(raw(0xFC, &[(0xFC, 5, 0xFC)]));
    assert_eq!(onto_itself, [Ok(Capability { id: 5, offset: 0xFC }), Err(CapabilityError::Loop { offset: 0xFC })]);
}

#[test]
fn the_longest_list_has_48_entries() {
    let list: Vec<_> = (0..48).map(|n| (0x40 + 4 * n, n as u8, if n == 47 { 0 } else { 0x44 + 4 * n as u8 })).collect();
    let space = ConfigSpace::new().with(at(), raw(0x40, &list));
    assert_eq!(capabilities(&space, at()).filter(Result::is_ok).count(), 48);
    assert_eq!(space.take_cycles().len(), 51);
}

#[test]
fn an_absent_function_and_one_that_vanishes_are_errors() {
    assert_eq!(capabilities(&ConfigSpace::new(), at()).next(), Some(Err(CapabilityError::NoFunction)));
    for cycles in 0..4 {
        let space = ConfigSpace::new().with(at(), Function::ivshmem_doorbell(4096, 2));
        space.vanish_after(cycles);
        let found = find_capability(&space, at(), 0x11);
        assert!(
            matches!(found, Err(CapabilityError::NoFunction | CapabilityError::HeaderType(0x7F)))
                || found == Err(CapabilityError::BadPointer { at: 0x34, pointer: 0xFF }),
            "after {cycles} cycles: {found:?}"
        );
    }
}

#[test]
fn a_header_of_unknown_layout_has_no_list() {
    assert_eq!(walk(raw(0x40, &[]).header_type(2)), [Err(CapabilityError::HeaderType(2))]);
    assert_eq!(walk(raw(0x40, &[(0x40, 5, 0)]).header_type(1)), [Ok(Capability { id: 5, offset: 0x40 })]);
}

proptest! {
    #[test]
    fn garbage_ends_after_51_reads_with_entries_in_place(answers in proptest::collection::vec(any::<u32>(), 1..80)) {
        let garbage = Garbage::new(answers);
        let all: Vec<_> = capabilities(&garbage, at()).collect();
        prop_assert!(garbage.reads() <= 51 && garbage.writes() == 0);
        let mut seen = std::collections::BTreeSet::new();
        for (index, capability) in all.iter().enumerate() {
            match capability {
                Ok(Capability { offset, .. }) => {
                    prop_assert!((0x40..=0xFC).contains(offset) && offset.is_multiple_of(4));
                    prop_assert!(seen.insert(*offset), "{offset:#x} twice");
                }
                Err(_) => prop_assert_eq!(index, all.len() - 1, "an error ends the list"),
            }
        }
    }

    #[test]
    fn random_bytes_end_after_51_reads(words in proptest::collection::vec(any::<u32>(), 64)) {
        let function = (0..).step_by(4).zip(words).fold(Function::new(1, 2), |function, (offset, word)| {
            function.register(offset, if offset == 0x04 { word | 0x10_0000 } else { word }, 0)
        });
        let space = ConfigSpace::new().with(at(), function.header_type(0));
        let before = space.contents();
        let _ = find_capability(&space, at(), 0x11);
        let cycles = space.take_cycles();
        prop_assert!(cycles.len() <= 51);
        let reads = cycles.iter().filter(|cycle| matches!(cycle, Cycle::Read32 { .. })).count();
        prop_assert_eq!(reads, cycles.len());
        prop_assert_eq!(space.contents(), before);
    }
}

#[test]
fn each_error_says_where_the_list_is_broken() {
    use std::string::ToString;
    for (error, text) in [
        (CapabilityError::NoFunction, "no PCI function is there"),
        (CapabilityError::HeaderType(2), "PCI header layout 0x2 is neither 0 nor 1"),
        (
            CapabilityError::BadPointer { at: 0x34, pointer: 0x3C },
            "the capability pointer at 0x34 is 0x3c, inside the header",
        ),
        (CapabilityError::Loop { offset: 0x40 }, "the capability list comes back to 0x40"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
