//! Configuration space that lies to who places BARs in it.

use super::pci::Anything;
use crate::fake::config::{ConfigSpace, Function};
use crate::fake::input::Input;
use crate::pci::{Address, Buses, Window, Windows, assign as place, bar, functions, number_buses};
use std::collections::BTreeMap;
use std::vec::Vec;

const BUSES: Buses = Buses { segment: 0, first: 0, last: 3 };
const BARS: core::ops::Range<usize> = 0x10..0x28;
/// Of numbering: every bus at most twice, and what its bridges are asked. Of placing: as many as its bounds allow with so few functions.
const MOST: [usize; 2] = [2 * 4 * 32 * 8 * 4 + 256 * 10, 5_000_000];

fn windows(input: &Input<'_>) -> Windows {
    let window = |bits: u32| Window { base: input.u64() & !0 >> bits, limit: input.u64() & !0 >> bits };
    match input.byte() % 4 {
        0 => Windows { mem32: Some(window(32)), mem64: Some(window(0)) },
        1 => Windows::default(),
        _ => Windows {
            mem32: Some(Window { base: 0xC000_0000, limit: 0xDFFF_FFFF }),
            mem64: Some(Window { base: 0xC0_0000_0000, limit: 0xFF_FFFF_FFFF }),
        },
    }
}

/// Numbering buses and placing BARs, whatever is behind configuration space.
pub fn assign(bytes: &[u8]) {
    let input = Input::new(bytes);
    let windows = windows(&input);
    let target = at(&input);
    if input.byte().is_multiple_of(2) {
        let space = ConfigSpace::with_buses([BUSES].into()).with(target, Function::ivshmem_doorbell(1 << 20, 8));
        for (most, placing) in MOST.into_iter().zip([false, true]) {
            let anything = Anything::of(&input, &space);
            if placing {
                let _ = place(&anything, target, &windows);
            } else {
                let _ = number_buses(&anything, BUSES);
            }
            assert!(anything.reads() <= most, "{} reads", anything.reads());
        }
        return;
    }
    // Registers that keep what is written to their writable bits.
    let mut space = ConfigSpace::with_buses([BUSES].into());
    for address in core::iter::once(target).chain((0..input.byte() % 8).map(|_| at(&input))) {
        space = space.with(address, function(&input, address));
    }
    numbered(&space);
    if input.byte().is_multiple_of(4) {
        space.vanish_after(input.u16().into());
        let _ = place(&space, target, &windows);
    } else {
        placed(&space, target, &windows);
    }
    assert!(space.take_cycles().len() <= MOST[1]);
}

fn at(input: &Input<'_>) -> Address {
    let [bus, device, function] = [input.byte() & 3, input.byte() & 3, input.byte() & 1];
    Address::new(0, bus, device, function).unwrap()
}

fn function(input: &Input<'_>, address: Address) -> Function {
    let kind = input.byte();
    let writable = || match input.byte() % 4 {
        0 => input.u32(),
        1 => 0,
        _ => u32::MAX << (4 + input.byte() % 28),
    };
    let value = || match input.byte() % 4 {
        0 => input.u32(),
        1 => 0xC,
        2 => 0xC000_0000 | u32::from(input.u16()) << 12,
        _ => 0,
    };
    let function = Function::new(0x1AF4, 0x1110).command(input.u16());
    let function = if kind & 4 == 0 { function } else { function.multi_function() };
    if kind & 1 == 0 {
        return (0x10..0x40).step_by(4).fold(function, |function, at| function.register(at, value(), writable()));
    }
    let secondary = if kind & 2 == 0 { 0 } else { input.byte() & 3 };
    let bridge = function.bridge(address.bus(), secondary, secondary.max(input.byte() & 3));
    let bridge = match kind >> 4 & 3 {
        0 => bridge.narrow_prefetchable_window(),
        1 => bridge.no_prefetchable_window(),
        2 => bridge.register(0x20, input.u32(), input.u32()).register(0x24, input.u32(), input.u32()),
        _ => bridge,
    };
    [0x10, 0x14, 0x38].into_iter().fold(bridge, |bridge, at| bridge.register(at, value(), writable()))
}

/// Numbers the buses, and panics if anything but bridges' bus numbers changes, or one that was there.
fn numbered(space: &ConfigSpace) {
    let before = space.contents();
    let result = number_buses(space, BUSES);
    for (address, offset, old, new) in changes(&before, &space.contents()) {
        let unnumbered = before[&address][0xE] & 0x7F == 1 && before[&address][0x19] == 0;
        assert!(
            unnumbered && (0x18..0x1B).contains(&offset),
            "{address}: {offset:#x}: {old:#x} to {new:#x}, {result:?}"
        );
    }
    assert!(space.take_cycles().len() <= MOST[0]);
}

/// Places what is unassigned, and panics if anything that has an address moves, or anything at all changes on an error.
fn placed(space: &ConfigSpace, target: Address, windows: &Windows) {
    let before = space.contents();
    let assigned: Vec<_> = functions(space)
        .flat_map(|function| {
            (0..6).filter_map(move |index| Some((function.address, index, bar(space, function.address, index).ok()?)))
        })
        .collect();
    let result = place(space, target, windows);
    let after = space.contents();
    if result.is_err() {
        assert_eq!(after, before, "after {result:?}");
    }
    for (address, index, before) in assigned {
        assert_eq!(bar(space, address, index).map(|bar| bar.address), Ok(before.address), "{address}: BAR{index}");
    }
    for (address, offset, old, new) in changes(&before, &after) {
        let bridge = before[&address][0xE] & 0x7F == 1;
        let may = match offset {
            0x04 | 0x05 | 0x20..0x30 if bridge => true,
            _ => BARS.contains(&offset) && (bridge || address == target),
        };
        assert!(may, "{address}: {offset:#x}: {old:#x} became {new:#x}");
    }
    for bar in result.iter().flat_map(|assigned| assigned.bars()) {
        let last = bar.address.checked_add(bar.size - 1).expect("a BAR that wraps");
        assert!(bar.address != 0 && bar.address.is_multiple_of(bar.size) && last >= bar.address, "{bar:?}");
    }
}

type Contents = BTreeMap<Address, Vec<u8>>;

/// The bytes that are others now.
fn changes<'c>(before: &'c Contents, after: &'c Contents) -> impl Iterator<Item = (Address, usize, u8, u8)> + 'c {
    before.iter().flat_map(move |(address, old)| {
        let bytes = old.iter().zip(&after[address]).enumerate().filter(|(_, (old, new))| old != new);
        bytes.map(move |(offset, (old, new))| (*address, offset, *old, *new))
    })
}
