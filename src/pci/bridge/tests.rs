use super::*;
use crate::fake::config::{ConfigSpace, Cycle, Function};
use std::vec::Vec;

fn at() -> Address {
    "00:04.0".parse().unwrap()
}

fn space(function: Function) -> ConfigSpace {
    ConfigSpace::new().with(at(), function)
}

fn bridge() -> Function {
    Function::new(0x1B36, 0xC).bridge(0, 1, 5)
}

fn writes(space: &ConfigSpace) -> Vec<(u16, u32)> {
    let written = |cycle| match cycle {
        Cycle::Write32 { offset, value, .. } => Some((offset, value)),
        Cycle::Write16 { .. } => panic!("{cycle:?}"),
        Cycle::Read32 { .. } => None,
    };
    space.take_cycles().into_iter().filter_map(written).collect()
}

#[test]
fn only_a_header_of_type_1_is_a_bridge() {
    assert!(Bridge::at(&space(bridge().multi_function()), at()).is_some());
    for other in [Function::new(1, 2), bridge().header_type(2), bridge().header_type(0)] {
        assert!(Bridge::at(&space(other), at()).is_none());
    }
    assert!(Bridge::at(&ConfigSpace::new(), at()).is_none(), "nothing is there");
}

#[test]
fn reading_writes_nothing() {
    let function = bridge().memory_window(0xFE00_0000, 0xFE1F_FFFF).prefetchable_window(0xE0_0000_0000, 0xE3_FFFF_FFFF);
    let space = space(function);
    let bridge = Bridge::at(&space, at()).unwrap();
    assert_eq!((bridge.address(), bridge.numbers()), (at(), BusNumbers { primary: 0, secondary: 1, subordinate: 5 }));
    assert_eq!(bridge.memory(), Some(Window { base: 0xFE00_0000, limit: 0xFE1F_FFFF }));
    assert_eq!(bridge.prefetchable(), Some(Window { base: 0xE0_0000_0000, limit: 0xE3_FFFF_FFFF }));
    assert_eq!(bridge.prefetchable_width(), Some(Width::Bits64));
    assert_eq!(writes(&space), []);
}

#[test]
fn a_window_of_1_mib_has_equal_base_and_limit() {
    let space = space(bridge().memory_window(0xFE00_0000, 0xFE0F_FFFF));
    let window = Bridge::at(&space, at()).unwrap().memory().unwrap();
    assert_eq!(window, Window { base: 0xFE00_0000, limit: 0xFE0F_FFFF });
}

#[test]
fn a_closed_window_and_one_at_address_0_are_none() {
    let closed = space(bridge());
    let at_0 = space(bridge().memory_window(0, 0xF_FFFF).prefetchable_window(0, 0xF_FFFF));
    let crossed = space(bridge().memory_window(0xFE10_0000, 0xFE00_0000).prefetchable_window(2 << 32, 0xFFFF_FFFF));
    for space in [closed, at_0, crossed] {
        let bridge = Bridge::at(&space, at()).unwrap();
        assert_eq!((bridge.memory(), bridge.prefetchable()), (None, None));
    }
}

#[test]
fn the_width_of_a_prefetchable_window_is_found_out_without_a_trace() {
    for (function, width) in [
        (bridge(), Some(Width::Bits64)),
        (bridge().narrow_prefetchable_window(), Some(Width::Bits32)),
        (bridge().no_prefetchable_window(), None),
        // A reserved type.
        (bridge().register(0x24, 0x0002_0002, 0xFFF0_FFF0), None),
    ] {
        let space = space(function);
        let before = space.contents();
        assert_eq!(Bridge::at(&space, at()).unwrap().prefetchable_width(), width);
        assert_eq!(space.contents(), before);
        assert!(space.take_cycles().len() <= 6);
    }
}

#[test]
fn numbering_keeps_the_latency_timer() {
    let space = space(bridge().register(0x18, 0x4000_0000, 0x00FF_FFFF));
    let numbers = BusNumbers { primary: 2, secondary: 3, subordinate: 9 };
    let bridge = Bridge::at(&space, at()).unwrap();
    assert_eq!(bridge.set_numbers(numbers), Ok(()));
    assert_eq!((bridge.numbers(), writes(&space)), (numbers, std::vec![(0x18, 0x4009_0302)]));
}

#[test]
fn the_memory_window_opens_with_one_write() {
    let space = space(bridge());
    let window = Window { base: 0xC010_0000, limit: 0xC02F_FFFF };
    assert_eq!(Bridge::at(&space, at()).unwrap().set_memory(window), Ok(()));
    assert_eq!(writes(&space), [(0x20, 0xC020_C010)]);
    assert_eq!(Bridge::at(&space, at()).unwrap().memory(), Some(window));
}

#[test]
fn the_prefetchable_window_is_closed_until_the_last_write_opens_it() {
    let window = Window { base: 0xE0_0000_0000, limit: 0xE3_FFFF_FFFF };
    let space = space(bridge());
    assert_eq!(Bridge::at(&space, at()).unwrap().set_prefetchable(window), Ok(()));
    let cycles = writes(&space);
    assert_eq!(cycles.last(), Some(&(0x28, 0xE0)));
    // The same writes again, and a look after each.
    let again = self::space(bridge());
    let bridge = Bridge::at(&again, at()).unwrap();
    for (n, (offset, value)) in cycles.iter().enumerate() {
        assert_eq!(bridge.prefetchable(), None, "before write {n}");
        again.write32(at(), *offset, *value);
    }
    assert_eq!(bridge.prefetchable(), Some(window));
}

#[test]
fn a_narrow_prefetchable_window_has_no_upper_halves() {
    let space = space(bridge().narrow_prefetchable_window());
    let bridge = Bridge::at(&space, at()).unwrap();
    let window = Window { base: 0xC000_0000, limit: 0xC00F_FFFF };
    assert_eq!(bridge.set_prefetchable(window), Ok(()));
    assert_eq!(bridge.prefetchable(), Some(window));
    let high = Window { base: 0xC000_0000, limit: 0x1_000F_FFFF };
    assert_eq!(bridge.set_prefetchable(high), Err(BridgeError::Unfit(high)));
}

#[test]
fn what_is_no_window_is_refused_and_nothing_written() {
    let space = space(bridge());
    let before = space.contents();
    let bridge = Bridge::at(&space, at()).unwrap();
    for (base, limit) in [
        (0, 0xF_FFFF),
        (0xC000_0000, 0xBFFF_FFFF),
        (0xC008_0000, 0xC00F_FFFF),
        (0xC000_0000, 0xC007_FFFF),
        (0xC000_0000, 0xC010_0000),
    ] {
        let window = Window { base, limit };
        assert_eq!(bridge.set_memory(window), Err(BridgeError::Unfit(window)));
        assert_eq!(bridge.set_prefetchable(window), Err(BridgeError::Unfit(window)));
    }
    let high = Window { base: 1 << 32, limit: (1 << 32) + 0xF_FFFF };
    assert_eq!(bridge.set_memory(high), Err(BridgeError::Unfit(high)));
    assert_eq!(space.contents(), before);
}

#[test]
fn what_a_bridge_does_not_take_is_an_error_with_what_it_took() {
    let stubborn = bridge().register(0x18, 0, 0).register(0x20, 0x0000_FFF0, 0).no_prefetchable_window();
    let space = space(stubborn);
    let bridge = Bridge::at(&space, at()).unwrap();
    let numbers = BusNumbers { primary: 0, secondary: 1, subordinate: 1 };
    let not_taken = |offset, written, found| Err(BridgeError::NotTaken { offset, written, found });
    assert_eq!(bridge.set_numbers(numbers), not_taken(0x18, 0x0001_0100, 0));
    let window = Window { base: 0xC000_0000, limit: 0xC00F_FFFF };
    assert_eq!(bridge.set_memory(window), not_taken(0x20, 0xC000_C000, 0xFFF0));
    assert_eq!(bridge.set_prefetchable(window), Err(BridgeError::NoPrefetchable));
    let half = space.with(at(), self::bridge().register(0x24, 0x0001_FFF1, 0));
    let bridge = Bridge::at(&half, at()).unwrap();
    let found = bridge.set_prefetchable(window);
    assert_eq!(found, Err(BridgeError::WindowNotTaken { written: window, found: None }));
}

#[test]
fn windows_contain_and_overlap_by_their_last_address() {
    let window = |base, limit| Window { base, limit };
    let outer = window(0x1000, 0x1FFF);
    assert!(outer.contains(outer) && outer.contains(window(0x1FFF, 0x1FFF)));
    assert!(!outer.contains(window(0xFFF, 0x1000)) && !outer.contains(window(0x1FFF, 0x2000)));
    assert!(!outer.contains(window(0x1800, 0x17FF)), "no address at all");
    assert!(outer.overlaps(window(0x1FFF, 0x3000)) && outer.overlaps(window(0, u64::MAX)));
    assert!(!outer.overlaps(window(0x2000, 0x3000)) && !outer.overlaps(window(0, 0xFFF)));
}
