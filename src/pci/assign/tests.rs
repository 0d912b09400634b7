//! On routed models: whether what was placed is reached, and nothing else changed.

use super::*;
use crate::fake::config::{ConfigSpace, Function};
use crate::fake::topology::{Claim, Topology};
use crate::pci::{BarError, BridgeError, Buses, bar};
use std::vec::Vec;

mod hostile;
mod property;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const ALL: Buses = Buses { segment: 0, first: 0, last: 255 };

/// QEMU's microvm.
fn microvm() -> Windows {
    Windows {
        mem32: Some(Window { base: 0xC000_0000, limit: 0xDFFF_FFFF }),
        mem64: Some(Window { base: 0xC0_0000_0000, limit: 0xFF_FFFF_FFFF }),
    }
}

fn port() -> Function {
    // With a BAR of its own, as QEMU's.
    Function::new(0x1B36, 0xC).bridge(0, 0, 0).memory32(0, 0, 4096)
}

/// A device behind as many bridges, numbered.
fn nested(depth: usize, device: Function) -> (Topology, Vec<usize>, usize) {
    let mut topology = Topology::new();
    let (mut bridges, mut parent) = (Vec::new(), None);
    for _ in 0..depth {
        parent = Some(topology.add(parent, (1, 0), port()));
        bridges.extend(parent);
    }
    let node = topology.add(parent, (2, 0), device);
    number_buses(&topology, ALL).unwrap();
    (topology, bridges, node)
}

/// As opening does.
fn decode(topology: &Topology, node: usize) {
    let address = topology.address(node).unwrap();
    Header::new(topology, address).set_command(Command::MEMORY);
}

/// Panics unless exactly this function takes the first and the last byte of each of its BARs.
#[track_caller]
fn assert_reached(topology: &Topology, node: usize) {
    for (bar, address, size) in topology.bars(node) {
        assert!(address != 0 && address.is_multiple_of(size), "BAR{bar} at {address:#x}");
        for offset in [0, size - 1] {
            assert_eq!(topology.claims(address + offset), [Claim { node, bar, offset }], "BAR{bar} at {address:#x}");
        }
    }
}

#[test]
fn bars_are_placed_and_reached_behind_any_number_of_bridges() {
    for depth in 0..=4 {
        let (topology, bridges, node) = nested(depth, Function::ivshmem_doorbell(16 * GIB, 8));
        let assigned = assign(&topology, topology.address(node).unwrap(), &microvm()).unwrap();
        let sizes: Vec<_> = assigned.bars().iter().map(|bar| (bar.index, bar.size)).collect();
        assert_eq!(sizes, [(2, 16 * GIB), (1, 4096), (0, 256)], "largest first");
        assert_eq!(usize::from(assigned.windows()), 2 * depth);
        decode(&topology, node);
        for node in bridges.into_iter().chain([node]) {
            assert_reached(&topology, node);
        }
    }
}

#[test]
fn on_the_root_bus_64_bits_go_high_and_32_bits_low() {
    let (topology, _, node) = nested(0, Function::ivshmem_doorbell(MIB, 8));
    assign(&topology, topology.address(node).unwrap(), &microvm()).unwrap();
    let bars: Vec<_> = topology.bars(node).into_iter().map(|(_, address, _)| address).collect();
    assert_eq!(bars, [0xC000_1000, 0xC000_0000, 0xC0_0000_0000]);
}

#[test]
fn without_a_high_window_64_bits_go_low() {
    for depth in [0, 1, 3] {
        let (topology, _, node) = nested(depth, Function::ivshmem_plain(64 * MIB));
        let windows = Windows { mem64: None, ..microvm() };
        assign(&topology, topology.address(node).unwrap(), &windows).unwrap();
        decode(&topology, node);
        assert_reached(&topology, node);
        assert!(topology.bars(node)[1].1 < 1 << 32);
    }
}

#[test]
fn no_two_bars_share_a_page() {
    let mut topology = Topology::new();
    let nodes: Vec<_> = (1..=20).map(|n| topology.add(None, (n, 0), Function::ivshmem_plain(16))).collect();
    for node in &nodes {
        assign(&topology, topology.address(*node).unwrap(), &microvm()).unwrap();
    }
    let mut pages: Vec<_> = nodes.iter().flat_map(|node| topology.bars(*node)).map(|bar| bar.1 >> 12).collect();
    let count = pages.len();
    pages.sort_unstable();
    pages.dedup();
    assert_eq!((pages.len(), count), (40, 40));
}

#[test]
fn twenty_devices_behind_one_bridge_all_get_a_place_one_after_the_other() {
    let mut topology = Topology::new();
    let outer = topology.add(None, (4, 0), port());
    let bridge = topology.add(Some(outer), (0, 0), port());
    let size = |n: u8| MIB << (n % 5);
    let nodes: Vec<_> =
        (1..=20).map(|n| topology.add(Some(bridge), (n, 0), Function::ivshmem_doorbell(size(n), 8))).collect();
    number_buses(&topology, ALL).unwrap();
    for node in &nodes {
        assign(&topology, topology.address(*node).unwrap(), &microvm()).unwrap();
        decode(&topology, *node);
    }
    nodes.iter().for_each(|node| assert_reached(&topology, *node));
}

#[test]
fn a_function_without_anything_unassigned_is_left_alone() {
    let assigned = Function::ivshmem_plain(MIB).assigned(0, 0xFEBF_0000).assigned(2, 0xE0_0000_0000).command(2);
    let address = "00:02.0".parse().unwrap();
    let space = ConfigSpace::new().with(address, assigned);
    let before = space.contents();
    assert_eq!(assign(&space, address, &microvm()), Ok(Assigned::default()));
    assert_eq!(space.contents(), before);
}

#[test]
fn what_has_an_address_keeps_it_and_its_room() {
    let mut topology = Topology::new();
    // The very place that would be taken first, a ROM behind it, and a bridge's windows behind that.
    let other = Function::new(1, 2)
        .memory32(0, 0xC000_0000, 1 << 20)
        .memory64(2, 0xC0_0000_0000, GIB, true)
        .register(0x30, 0xC010_0000, 0xFFFF_F800)
        .command(2);
    let bridge = port()
        .assigned(0, 0xC400_0000)
        .memory_window(0xC020_0000, 0xC03F_FFFF)
        .prefetchable_window(0xC0_4000_0000, 0xC0_7FFF_FFFF)
        .command(6);
    topology.add(None, (1, 0), other);
    topology.add(None, (2, 0), bridge);
    let node = topology.add(None, (3, 0), Function::ivshmem_doorbell(MIB, 8));
    let before = topology.contents();
    assign(&topology, topology.address(node).unwrap(), &microvm()).unwrap();
    decode(&topology, node);
    assert_reached(&topology, node);
    let bars: Vec<_> = topology.bars(node).into_iter().map(|(_, address, _)| address).collect();
    assert_eq!(bars, [0xC040_1000, 0xC040_0000, 0xC0_8000_0000], "the ROM may reach to 0xc01fffff");
    assert_eq!(topology.contents()[..node], before[..node]);
}

#[test]
fn a_partly_assigned_function_keeps_what_it_has() {
    let (topology, _, node) = nested(0, Function::ivshmem_plain(MIB).assigned(2, 0xC0_0000_0000).command(3));
    let address = topology.address(node).unwrap();
    let assigned = assign(&topology, address, &microvm()).unwrap();
    assert_eq!(assigned.bars(), [BarRange { index: 0, address: 0xC000_0000, size: 256 }]);
    assert_eq!(bar(&topology, address, 2).unwrap().address, 0xC0_0000_0000);
    assert_eq!(Header::new(&topology, address).command(), Command::IO | Command::MEMORY, "as it was");
}

#[test]
fn windows_that_firmware_reserved_are_used_and_stay() {
    let bridge = port()
        .assigned(0, 0xFEC0_0000)
        .memory_window(0xFE00_0000, 0xFE1F_FFFF)
        .prefetchable_window(0x8_0000_0000, 0xF_FFFF_FFFF)
        .command(2);
    let mut topology = Topology::new();
    let bridge = topology.add(None, (4, 0), bridge);
    let node = topology.add(Some(bridge), (0, 0), Function::ivshmem_doorbell(GIB, 4));
    number_buses(&topology, ALL).unwrap();
    let before = topology.contents();
    let assigned = assign(&topology, topology.address(node).unwrap(), &Windows::default()).unwrap();
    assert_eq!(assigned.windows(), 0);
    decode(&topology, node);
    assert_reached(&topology, node);
    let mut after = topology.contents();
    assert_eq!(after[bridge][4], 6, "and passes messages on");
    after[bridge][4] = before[bridge][4];
    assert_eq!(after[bridge], before[bridge]);
}

#[test]
fn a_bridge_without_a_prefetchable_window_gets_all_in_its_memory_window() {
    for narrow in [false, true] {
        let bridge = || if narrow { port().narrow_prefetchable_window() } else { port().no_prefetchable_window() };
        let mut topology = Topology::new();
        let outer = topology.add(None, (4, 0), bridge());
        let inner = topology.add(Some(outer), (0, 0), port());
        let node = topology.add(Some(inner), (0, 0), Function::ivshmem_doorbell(64 * MIB, 4));
        number_buses(&topology, ALL).unwrap();
        assign(&topology, topology.address(node).unwrap(), &microvm()).unwrap();
        decode(&topology, node);
        for node in [outer, inner, node] {
            assert_reached(&topology, node);
        }
    }
}

#[test]
fn a_bridge_further_in_without_a_wide_prefetchable_window_is_reached_below_4_gib() {
    for narrow in [false, true] {
        let inner = if narrow { port().narrow_prefetchable_window() } else { port().no_prefetchable_window() };
        let mut topology = Topology::new();
        let outer = topology.add(None, (4, 0), port());
        let inner = topology.add(Some(outer), (0, 0), inner);
        // Behind a bridge that could do better.
        let last = topology.add(Some(inner), (0, 0), port());
        let node = topology.add(Some(last), (0, 0), Function::ivshmem_doorbell(64 * MIB, 4));
        number_buses(&topology, ALL).unwrap();
        assign(&topology, topology.address(node).unwrap(), &microvm()).unwrap();
        decode(&topology, node);
        for node in [outer, inner, last, node] {
            assert_reached(&topology, node);
        }
    }
}

#[test]
fn a_wide_prefetchable_window_between_two_narrow_ones_is_as_narrow_as_they_are() {
    let mut topology = Topology::new();
    let narrow = || port().narrow_prefetchable_window();
    let outer = topology.add(None, (4, 0), narrow());
    let wide = topology.add(Some(outer), (0, 0), port());
    let inner = topology.add(Some(wide), (0, 0), narrow());
    let node = topology.add(Some(inner), (0, 0), Function::ivshmem_doorbell(4096, 4));
    number_buses(&topology, ALL).unwrap();
    let assigned = assign(&topology, topology.address(node).unwrap(), &microvm()).unwrap();
    assert_eq!(assigned.windows(), 6, "a prefetchable one and another of each");
    decode(&topology, node);
    for node in [outer, wide, inner, node] {
        assert_reached(&topology, node);
    }
}

#[test]
fn a_bridge_that_is_told_to_forward_forwards_nothing_that_nobody_placed() {
    // Windows of a bridge are anywhere after reset; those of QEMU's pci-bridge are at 0.
    let machine = |wide: bool, device: Function| {
        let at_0 = if wide { port().prefetchable_window(0, 0xF_FFFF) } else { port().narrow_prefetchable_window() };
        let mut topology = Topology::new();
        let bridge = topology.add(None, (4, 0), at_0.memory_window(0, 0xF_FFFF));
        let node = topology.add(Some(bridge), (1, 0), device);
        let other = Function::new(1, 2).memory32(0, 0xA_0000, 1 << 16).command(2);
        topology.add(Some(bridge), (2, 0), other);
        number_buses(&topology, ALL).unwrap();
        (topology, node)
    };
    // Each needs one of the two windows.
    for device in [Function::new(1, 2).memory32(0, 0, 256), Function::new(1, 2).memory64(0, 0, 256, true)] {
        for wide in [false, true] {
            let (topology, node) = machine(wide, device.clone());
            assign(&topology, topology.address(node).unwrap(), &microvm()).unwrap();
            decode(&topology, node);
            assert_reached(&topology, node);
            assert_eq!(topology.claims(0xA_0000), [], "the first MiB is not the bridge's");
        }
    }
}

#[test]
fn without_room_everything_is_as_it_was_and_the_error_says_how_much() {
    let small = Windows { mem32: Some(Window { base: 0xC000_0000, limit: 0xC00F_FFFF }), mem64: None };
    let (topology, _, node) = nested(0, Function::ivshmem_doorbell(2 * MIB, 4).command(7));
    let address = topology.address(node).unwrap();
    let before = topology.contents();
    let error = AssignError::NoRoom { address, index: 2, size: 2 * MIB };
    assert_eq!(assign(&topology, address, &small), Err(error));
    assert_eq!(assign(&topology, address, &Windows::default()), Err(error));
    assert_eq!(topology.contents(), before);

    let (topology, bridges, node) = nested(3, Function::ivshmem_doorbell(2 * MIB, 4));
    let before = topology.contents();
    let bridge = topology.address(bridges[0]).unwrap();
    let error = AssignError::NoWindow { address: bridge, prefetchable: true, size: 2 * MIB };
    assert_eq!(assign(&topology, topology.address(node).unwrap(), &small), Err(error));
    // Room for the prefetchable window, and none for the other.
    let high = Windows { mem32: None, ..microvm() };
    let found = assign(&topology, topology.address(node).unwrap(), &high);
    assert!(matches!(found, Err(AssignError::NoWindow { prefetchable: false, .. })), "{found:?}");
    assert_eq!(topology.contents(), before);
}

#[test]
fn room_is_found_for_the_function_where_there_is_none_for_its_neighbours() {
    let mut topology = Topology::new();
    let bridge = topology.add(None, (4, 0), port());
    topology.add(Some(bridge), (1, 0), Function::new(1, 2).memory64(0, 0, 1 << 50, true));
    let node = topology.add(Some(bridge), (2, 0), Function::ivshmem_plain(GIB));
    number_buses(&topology, ALL).unwrap();
    assign(&topology, topology.address(node).unwrap(), &microvm()).unwrap();
    decode(&topology, node);
    assert_reached(&topology, node);
}

#[test]
fn a_register_that_keeps_nothing_is_an_error_and_undone() {
    let address = "00:02.0".parse().unwrap();
    // Sizing is answered honestly; then BAR0 stays 0.
    let space = ConfigSpace::new().with(address, Function::ivshmem_plain(MIB).register(0x10, 0, 0));
    space.script(address, 0x10, [None, None, Some(0xFFFF_FF00)]);
    let before = space.contents();
    let error = AssignError::NotTaken { address, offset: 0x10, written: 0xC000_0000, found: 0 };
    assert_eq!(assign(&space, address, &microvm()), Err(error));
    assert_eq!(space.contents(), before);
}

#[test]
fn a_bridge_whose_window_takes_nothing_is_an_error_and_undone() {
    let mut topology = Topology::new();
    let bridge = topology.add(None, (4, 0), port().register(0x20, 0xFFF0, 0));
    let node = topology.add(Some(bridge), (0, 0), Function::ivshmem_plain(MIB));
    number_buses(&topology, ALL).unwrap();
    let before = topology.contents();
    let error = BridgeError::NotTaken { offset: 0x20, written: 0xC000_C000, found: 0xFFF0 };
    let error = AssignError::Bridge { address: topology.address(bridge).unwrap(), error };
    assert_eq!(assign(&topology, topology.address(node).unwrap(), &microvm()), Err(error));
    assert_eq!(topology.contents(), before, "the prefetchable window, opened before, is closed again");
}

#[test]
fn more_functions_than_can_be_looked_after_are_an_error_and_256_are_none() {
    let address = "00:00.0".parse().unwrap();
    let at = |bus, device, function| Address::new(0, bus, device, function).unwrap();
    let places = (0..32).flat_map(|device| (0..8).map(move |function| at(0, device, function)));
    let function = || Function::new(1, 2).multi_function();
    let space = places.fold(ConfigSpace::new(), |space, place| space.with(place, function()));
    let space = space.with(address, Function::ivshmem_plain(MIB).multi_function());
    assert!(assign(&space, address, &microvm()).is_ok());
    let space = space.with(address, Function::ivshmem_plain(MIB).multi_function()).with(at(1, 0, 0), function());
    let before = space.contents();
    assert_eq!(assign(&space, address, &microvm()), Err(AssignError::TooManyFunctions { most: 256 }));
    assert_eq!(space.contents(), before);
}

#[test]
fn what_is_no_function_or_no_bar_is_refused() {
    let address = "00:02.0".parse().unwrap();
    let assigned = |space: &ConfigSpace| assign(space, address, &microvm());
    let error = |error| Err(AssignError::Bar { address, error });
    assert_eq!(assigned(&ConfigSpace::new()), error(BarError::NoFunction));
    let odd = Function::new(1, 2).register(0x10, 0, 0xFFD0_0000);
    assert_eq!(
        assigned(&ConfigSpace::new().with(address, odd)),
        error(BarError::NotContiguous { index: 0, mask: 0xFFD0_0000 })
    );
}

#[test]
fn a_device_that_goes_at_any_cycle_is_an_error_or_was_placed_before() {
    let function = Function::ivshmem_doorbell(MIB, 4);
    let bridge = "00:04.0".parse().unwrap();
    let address = "01:00.0".parse().unwrap();
    let space = || {
        let buses = std::vec![Buses { segment: 0, first: 0, last: 1 }];
        ConfigSpace::with_buses(buses).with(bridge, port().bridge(0, 1, 1)).with(address, function.clone())
    };
    let whole = space();
    assign(&whole, address, &microvm()).unwrap();
    let cycles = whole.take_cycles().len();
    let mut errors = Vec::new();
    for k in 0..cycles {
        let space = space();
        space.vanish_after(k);
        errors.extend(assign(&space, address, &microvm()).err());
        assert!(space.take_cycles().len() <= 2 * cycles, "bounded, gone at {k}");
    }
    assert!(errors.len() > cycles / 2, "{} of {cycles}", errors.len());
    for error in [AssignError::Gone(bridge), AssignError::Bar { address, error: BarError::NoFunction }] {
        assert!(errors.contains(&error), "{error}: {errors:?}");
    }
}

#[test]
fn more_bridges_on_the_way_than_can_be_looked_after_are_an_error() {
    let (topology, _, node) = nested(12, Function::ivshmem_plain(MIB));
    assign(&topology, topology.address(node).unwrap(), &microvm()).unwrap();
    let space = (0..13_u8).fold(ConfigSpace::new(), |space, bus| {
        space.with(Address::new(0, bus, 1, 0).unwrap(), port().bridge(bus, bus + 1, 13))
    });
    let address = "0d:00.0".parse().unwrap();
    let space = space.with(address, Function::ivshmem_plain(MIB));
    assert_eq!(assign(&space, address, &microvm()), Err(AssignError::TooDeep { bus: 13 }));
}

#[test]
fn bridges_that_point_in_circles_lead_nowhere() {
    let address = "01:02.0".parse().unwrap();
    let space = ConfigSpace::new()
        .with("01:00.0".parse().unwrap(), port().bridge(1, 1, 255))
        .with("02:00.0".parse().unwrap(), port().bridge(2, 1, 1))
        .with(address, Function::ivshmem_plain(MIB));
    let assigned = assign(&space, address, &microvm()).unwrap();
    assert_eq!((assigned.bars().len(), assigned.windows()), (2, 0), "bus 1 counts as a root bus");
}

#[test]
fn buses_are_numbered_depth_first_and_numbers_stay() {
    let mut topology = Topology::new();
    let numbered = topology.add(None, (1, 0), port().bridge(0, 3, 6));
    let inside = topology.add(Some(numbered), (0, 0), port());
    let first = topology.add(None, (2, 0), port());
    let (second, third) = (topology.add(Some(first), (0, 0), port()), topology.add(Some(first), (1, 0), port()));
    let leaf = topology.add(Some(third), (31, 7), Function::new(1, 2));
    topology.add(Some(third), (31, 0), Function::new(1, 2).multi_function());
    assert_eq!(number_buses(&topology, ALL), Ok(4));
    let numbers = |node| {
        let numbers = Bridge::at(&topology, topology.address(node).unwrap()).unwrap().numbers();
        (numbers.primary, numbers.secondary, numbers.subordinate)
    };
    assert_eq!(numbers(numbered), (0, 3, 6));
    assert_eq!(numbers(inside), (3, 4, 4));
    assert_eq!((numbers(first), numbers(second), numbers(third)), ((0, 7, 9), (7, 8, 8), (7, 9, 9)));
    assert_eq!(topology.address(leaf), "09:1f.7".parse().ok());
    assert_eq!(number_buses(&topology, ALL), Ok(0), "again");
}

#[test]
fn a_bridge_for_which_no_number_is_left_stays_without() {
    let mut topology = Topology::new();
    let full = topology.add(None, (1, 0), port().bridge(0, 1, 1));
    let without = topology.add(Some(full), (0, 0), port());
    let other = topology.add(None, (2, 0), port());
    let no_bus = AssignError::NoBus("01:00.0".parse().unwrap());
    assert_eq!(number_buses(&topology, ALL), Err(no_bus));
    assert_eq!(topology.contents()[without][0x18..0x1B], [0, 0, 0]);
    assert_eq!(topology.contents()[other][0x18..0x1B], [0, 2, 2], "the others have theirs");
    let few = Buses { segment: 0, first: 0, last: 2 };
    let mut topology = Topology::new();
    (1..=3).for_each(|device| {
        topology.add(None, (device, 0), port());
    });
    assert_eq!(number_buses(&topology, few), Err(AssignError::NoBus("00:03.0".parse().unwrap())));
}

#[test]
fn a_bridge_that_takes_no_number_is_an_error() {
    let address = "00:01.0".parse().unwrap();
    let space = ConfigSpace::new().with(address, port().register(0x18, 0, 0));
    let error = BridgeError::NotTaken { offset: 0x18, written: 0x00FF_0100, found: 0 };
    assert_eq!(number_buses(&space, ALL), Err(AssignError::Bridge { address, error }));
}

#[test]
fn what_is_behind_more_bridges_than_can_be_looked_after_is_not_numbered() {
    let mut topology = Topology::new();
    let bridges = (0..14).scan(None, |parent, _| {
        *parent = Some(topology.add(*parent, (1, 0), port()));
        *parent
    });
    let last = bridges.last().unwrap();
    assert_eq!(number_buses(&topology, ALL), Err(AssignError::TooDeep { bus: 13 }));
    assert_eq!(topology.address(last), "0d:01.0".parse().ok(), "it is reached");
    assert_eq!(topology.contents()[last][0x18..0x1B], [0, 0, 0]);
}

#[test]
fn bridges_that_claim_the_same_bus_do_not_trap_numbering() {
    let space = (0..32_u8).fold(ConfigSpace::new(), |space, device| {
        let at = |bus| Address::new(0, bus, device, 0).unwrap();
        (0..8).fold(space, |space, bus| space.with(at(bus), port().bridge(bus, bus + 1, 255)))
    });
    assert_eq!(number_buses(&space, ALL), Ok(0));
    assert!(space.take_cycles().len() < 20_000);
}

/// The first and the last bus of each root.
fn roots(space: &ConfigSpace, first: u8, last: u8) -> Vec<(u8, u8)> {
    root_buses(space, Buses { segment: 0, first, last }).map(|root| (root.first, root.last)).collect()
}

#[test]
fn a_root_bus_is_the_first_or_one_that_answers_and_no_bridge_leads_to() {
    let device = || Function::new(1, 2);
    let space = ConfigSpace::new()
        .with("00:01.0".parse().unwrap(), port().bridge(0, 1, 3))
        .with("01:00.0".parse().unwrap(), device())
        .with("03:00.0".parse().unwrap(), device())
        // Not numbered yet: it leads nowhere.
        .with("00:02.0".parse().unwrap(), port())
        .with("04:00.0".parse().unwrap(), device())
        .with("80:1f.7".parse().unwrap(), device())
        .with("80:1f.0".parse().unwrap(), device().multi_function());
    assert_eq!(roots(&space, 0, 255), [(0, 3), (4, 0x7F), (0x80, 255)]);
    assert_eq!(roots(&space, 0, 3), [(0, 3)]);
    assert_eq!(roots(&space, 2, 0x80), [(2, 2), (3, 3), (4, 0x7F), (0x80, 0x80)], "the bridge is out of reach");
    assert_eq!(roots(&ConfigSpace::new(), 5, 5), [(5, 5)]);
}

#[test]
fn a_bridge_that_points_back_hides_no_root_bus() {
    let space = ConfigSpace::new()
        .with("00:01.0".parse().unwrap(), port().bridge(0, 1, 1))
        .with("01:00.0".parse().unwrap(), port().bridge(1, 0, 255))
        .with("09:00.0".parse().unwrap(), Function::new(1, 2));
    assert_eq!(roots(&space, 0, 255), [(0, 8), (9, 255)]);
}
