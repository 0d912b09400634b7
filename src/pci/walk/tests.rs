use super::*;
use crate::fake::config::{ConfigSpace, Function as Fake, Garbage};
use crate::pci::Buses;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

fn space(functions: &[(&str, Fake)]) -> ConfigSpace {
    functions.iter().fold(ConfigSpace::new(), |space, (text, fake)| space.with(text.parse().unwrap(), fake.clone()))
}

fn found(space: &ConfigSpace) -> Vec<String> {
    functions(space).map(|function| function.address.to_string()).collect()
}

fn device() -> Fake {
    Fake::new(0x1AF4, 0x1110)
}

#[test]
fn reaches_every_function_of_a_deep_topology_in_ascending_order() {
    // A root port with a switch of two ports behind it, a bridge behind one of them, and QEMU's pxb with bus_nr=128.
    let topology = [
        ("0000:00:00.0", device()),
        ("0000:00:03.0", Fake::new(1, 1).bridge(0, 1, 5).multi_function()),
        ("0000:00:03.7", device()),
        ("0000:01:00.0", Fake::new(1, 2).bridge(1, 2, 5)),
        ("0000:02:00.0", Fake::new(1, 3).bridge(2, 3, 3)),
        ("0000:02:01.0", Fake::new(1, 3).bridge(2, 4, 5)),
        ("0000:03:00.0", Fake::ivshmem_plain(4096)),
        ("0000:04:00.0", Fake::new(1, 4).bridge(4, 5, 5)),
        ("0000:05:1f.0", Fake::ivshmem_doorbell(4096, 1)),
        ("0000:80:00.0", Fake::new(1, 5).bridge(128, 129, 129)),
        ("0000:81:01.0", Fake::ivshmem_plain(4096)),
        ("0000:ff:1f.0", device().multi_function()),
        ("0000:ff:1f.7", device()),
    ];
    assert_eq!(found(&space(&topology)), topology.map(|(text, _)| text));
}

#[test]
fn functions_1_to_7_are_looked_at_only_behind_the_multi_function_bit_of_function_0() {
    let topology = [
        ("0000:00:01.0", device()),
        ("0000:00:01.3", device()),
        ("0000:00:02.1", device()),
        ("0000:00:03.0", device().multi_function()),
        ("0000:00:03.4", device().multi_function()),
        ("0000:00:03.6", device()),
    ];
    assert_eq!(found(&space(&topology)), ["0000:00:01.0", "0000:00:03.0", "0000:00:03.4", "0000:00:03.6"]);
}

#[test]
fn a_device_in_slot_1_behind_a_root_port_is_found() {
    let topology = [("0000:00:02.0", Fake::new(1, 1).bridge(0, 1, 1)), ("0000:01:01.0", Fake::ivshmem_plain(4096))];
    assert_eq!(found(&space(&topology)), ["0000:00:02.0", "0000:01:01.0"]);
}

#[test]
fn bridges_that_point_in_circles_are_met_once() {
    let topology = [
        ("0000:00:00.0", Fake::new(1, 1).bridge(0, 0, 255)),
        ("0000:00:01.0", Fake::new(1, 1).bridge(5, 1, 0)),
        ("0000:01:00.0", Fake::new(1, 1).bridge(1, 0, 1)),
    ];
    assert_eq!(found(&space(&topology)), topology.map(|(text, _)| text));
}

#[test]
fn an_empty_segment_costs_32_reads_a_bus_and_nothing_is_written() {
    let space = space(&[("0000:07:00.0", device()), ("0000:07:01.0", device().multi_function())]);
    assert_eq!(functions(&space).count(), 2);
    let cycles = space.take_cycles();
    assert_eq!(cycles.len(), 256 * 32 + 2 * 2 + 7);
    assert!(cycles.iter().all(|cycle| matches!(cycle, crate::fake::config::Cycle::Read32 { .. })));
}

#[test]
fn a_full_segment_has_no_limit_and_ends() {
    let garbage = Garbage::new(vec![0x0080_1234]);
    assert_eq!(functions(&garbage).count(), 65536);
    assert_eq!(garbage.reads(), 3 * 65536);
}

#[test]
fn every_range_of_every_segment_is_walked() {
    let range = |segment, first, last| Buses { segment, first, last };
    let space = ConfigSpace::with_buses(vec![range(0, 0, 3), range(0, 0x80, 0x80), range(7, 0xFF, 0xFF)]);
    for text in ["0000:03:00.0", "0000:04:00.0", "0000:80:00.0", "0007:ff:1f.0", "0007:fe:00.0"] {
        space.plug(text.parse().unwrap(), device());
    }
    assert_eq!(found(&space), ["0000:03:00.0", "0000:80:00.0", "0007:ff:1f.0"]);
}

#[test]
fn no_function_comes_twice_even_if_ranges_overlap_or_go_back() {
    let range = |segment, first, last| Buses { segment, first, last };
    let ranges = vec![
        range(0, 0, 5),
        range(0, 3, 6),
        range(0, 0, 2),
        range(1, 9, 8),
        range(0, 7, 7),
        range(1, 0, 0),
        range(0, 8, 8),
    ];
    let space = ConfigSpace::with_buses(ranges);
    for text in ["0000:04:00.0", "0000:06:00.0", "0000:07:00.0", "0000:08:00.0", "0001:00:00.0"] {
        space.plug(text.parse().unwrap(), device());
    }
    assert_eq!(found(&space), ["0000:04:00.0", "0000:06:00.0", "0000:07:00.0", "0001:00:00.0"]);
}

#[test]
fn functions_that_vanish_on_the_way_are_not_met() {
    let space = space(&[("0000:00:00.0", device()), ("0000:00:05.0", device())]);
    space.vanish_after(5);
    assert_eq!(found(&space), ["0000:00:00.0"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_ends_in_ascending_order_after_a_bounded_number_of_reads(answers in proptest::collection::vec(any::<u32>(), 1..50)) {
        let garbage = Garbage::new(answers);
        let mut last = None;
        for function in functions(&garbage) {
            prop_assert!(last < Some(function.address));
            last = Some(function.address);
        }
        prop_assert!(garbage.reads() <= 3 * 65536 && garbage.writes() == 0);
    }

    #[test]
    fn whatever_is_plugged_in_is_found_if_function_0_leads_to_it(
        places in proptest::collection::btree_set((any::<u8>(), 0..32_u8, 0..8_u8), 0..40),
    ) {
        let address = |(bus, device, function): (u8, u8, u8)| Address::new(0, bus, device, function).unwrap();
        let mut expected: Vec<Address> = places.iter().map(|place| address(*place)).collect();
        expected.extend(places.iter().map(|(bus, device, _)| address((*bus, *device, 0))));
        expected.sort();
        expected.dedup();
        let space = ConfigSpace::new();
        for place in &expected {
            space.plug(*place, device().multi_function());
        }
        let found: Vec<Address> = functions(&space).map(|function| function.address).collect();
        prop_assert_eq!(found, expected);
    }
}
