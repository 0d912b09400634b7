//! Whatever the topology: nothing that is assigned moves, nothing overlaps, and what is placed is reached.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A machine grown from bytes: up to 8 bridges, nested at random, and up to 12 devices with 32- and 64-bit BARs.
#[derive(Clone, Debug)]
struct Plan {
    bridges: Vec<(u8, u8)>,
    devices: Vec<(u8, [u8; 3])>,
    /// Which are assigned first, as by firmware.
    first: BTreeSet<usize>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let bridges = proptest::collection::vec((any::<u8>(), 0..4_u8), 0..8);
    let devices = proptest::collection::vec((any::<u8>(), any::<[u8; 3]>()), 1..12);
    (bridges, devices, proptest::collection::btree_set(0..12_usize, 0..12)).prop_map(|(bridges, devices, first)| Plan {
        bridges,
        devices,
        first,
    })
}

fn device([low, wide, other]: [u8; 3]) -> Function {
    let function = Function::new(1, 2).memory32(0, 0, 16 << (low % 18));
    let function = function.memory64(2, 0, 16 << (wide % 30), wide & 0x80 == 0);
    if other & 1 == 0 { function.io(1, 0, 32) } else { function.memory32(1, 0, 4096 << (other % 8)) }
}

/// The machine, its bridges and its devices.
fn build(plan: &Plan, device: impl Fn([u8; 3]) -> Function) -> (Topology, Vec<usize>, Vec<usize>) {
    let mut topology = Topology::new();
    let mut bridges: Vec<usize> = Vec::new();
    let parent = |bridges: &Vec<usize>, choice: u8| match usize::from(choice) % (bridges.len() + 1) {
        0 => None,
        n => Some(bridges[n - 1]),
    };
    let mut slot = 0_u8;
    let mut place = || {
        slot += 1;
        (slot, 0)
    };
    for (choice, kind) in &plan.bridges {
        let function = match kind {
            0 => port().no_prefetchable_window(),
            1 => port().narrow_prefetchable_window(),
            _ => port(),
        };
        let bridge = topology.add(parent(&bridges, *choice), place(), function);
        bridges.push(bridge);
    }
    let devices = plan
        .devices
        .iter()
        .map(|(choice, bars)| topology.add(parent(&bridges, *choice), place(), device(*bars)))
        .collect();
    number_buses(&topology, ALL).unwrap();
    (topology, bridges, devices)
}

/// Every memory BAR that has an address.
fn assigned(topology: &Topology, nodes: usize) -> Vec<(usize, (u8, u64, u64))> {
    let bars = |node| topology.bars(node).into_iter().map(move |bar| (node, bar));
    (0..nodes).flat_map(bars).filter(|(_, bar)| bar.1 != 0).collect()
}

/// The bytes that placing the BARs of `node` may change: its BARs, and of bridges BARs, windows and Command.
fn may_change(offset: usize, bridge: bool, target: bool) -> bool {
    match (bridge, target) {
        (true, _) => matches!(offset, 0x04..0x06 | 0x10..0x18 | 0x20..0x30),
        (false, true) => matches!(offset, 0x10..0x28),
        (false, false) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_placed_is_reached_alone_and_nothing_else_changes(plan in plan()) {
        let (topology, bridges, devices) = build(&plan, device);
        let count = bridges.len() + devices.len();
        let (first, second): (Vec<_>, Vec<_>) = (0..devices.len()).partition(|n| plan.first.contains(n));
        let mut placed = Vec::new();
        for node in first.into_iter().chain(second).map(|n| devices[n]) {
            let (before, had) = (topology.contents(), assigned(&topology, count));
            let address = topology.address(node).unwrap();
            match assign(&topology, address, &microvm()) {
                Ok(_) => {
                    decode(&topology, node);
                    placed.push(node);
                }
                Err(error) => {
                    prop_assert!(matches!(error, AssignError::NoRoom { .. } | AssignError::NoWindow { .. }), "{error}");
                    prop_assert_eq!(topology.contents(), before, "{} changed something", error);
                    continue;
                }
            }
            let has = assigned(&topology, count);
            prop_assert!(had.iter().all(|bar| has.contains(bar)), "something moved");
            for (n, (old, new)) in before.iter().zip(topology.contents()).enumerate() {
                for (offset, (old, new)) in old.iter().zip(new).enumerate() {
                    let may = may_change(offset, bridges.contains(&n), n == node) || n == node && offset == 4;
                    prop_assert!(*old == new || may, "node {n}, offset {offset:#x}");
                }
            }
        }
        // After all, everything that was placed is reached, and by nobody else.
        for node in &placed {
            for (bar, address, size) in topology.bars(*node) {
                prop_assert!(address != 0 && address.is_multiple_of(size));
                for offset in [0, size / 2, size - 1] {
                    prop_assert_eq!(topology.claims(address + offset), [Claim { node: *node, bar, offset }]);
                }
            }
        }
        let mut ranges: Vec<_> = assigned(&topology, count).into_iter().map(|(_, (_, base, size))| (base, size)).collect();
        ranges.sort_unstable();
        prop_assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{ranges:x?}");
    }

    #[test]
    fn every_ivshmem_device_gets_a_place_behind_whatever_bridges_if_the_largest_is_first(plan in plan()) {
        let (topology, _, mut devices) = build(&plan, |[size, vectors, _]| {
            let size = 4096 << (size % 11);
            if vectors == 0 { Function::ivshmem_plain(size) } else { Function::ivshmem_doorbell(size, vectors.into()) }
        });
        devices.sort_by_key(|node| core::cmp::Reverse(topology.bars(*node).iter().map(|bar| bar.2).max()));
        for node in &devices {
            let assigned = assign(&topology, topology.address(*node).unwrap(), &microvm());
            prop_assert!(assigned.is_ok(), "{assigned:?}");
            decode(&topology, *node);
        }
        devices.iter().for_each(|node| assert_reached(&topology, *node));
    }

    #[test]
    fn random_headers_are_assigned_or_refused_within_bounds(words in proptest::collection::vec(any::<u32>(), 48), masks in proptest::collection::vec(any::<u32>(), 48), layouts in any::<[u8; 3]>()) {
        let at = |n: usize| Address::new(0, u8::from(n > 1), n as u8, 0).unwrap();
        let mut space = ConfigSpace::with_buses(std::vec![Buses { segment: 0, first: 0, last: 1 }]);
        for (n, layout) in layouts.iter().enumerate() {
            let registers = (0x10..0x40).step_by(4).zip(&words[n * 12..]).zip(&masks[n * 12..]);
            let function = registers.fold(Function::new(1, 2).header_type(layout % 2), |function, ((offset, word), mask)| {
                function.register(offset, *word, *mask)
            });
            space = space.with(at(n), function);
        }
        let before = space.contents();
        let result = assign(&space, at(2), &microvm());
        if result.is_err() {
            prop_assert_eq!(space.contents(), before, "{:?}", result);
        }
        prop_assert!(space.take_cycles().len() < 20_000);
    }
}
