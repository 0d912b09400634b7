use super::*;
use crate::pci::physical::Physical;

const BUS: usize = 1 << 20;

fn allocation(segment: u16, first: u8, last: u8, base: u64) -> Allocation {
    Allocation::new(segment, first..=last, base).unwrap()
}

fn map(allocations: &[Allocation], memory: &mut Physical) -> Result<Ecam, EcamError> {
    // SAFETY: the tests put memory where the allocations say.
    unsafe { Ecam::map(allocations, memory) }
}

#[test]
fn maps_only_the_buses_of_the_allocation_and_uncached() {
    let mut memory = Physical::default();
    memory.add(0xE000_0000 + (0x20 << 20), 2 * BUS);
    let ecam = map(&[allocation(0, 0x20, 0x21, 0xE000_0000)], &mut memory).unwrap();
    assert_eq!(memory.maps, [(0xE200_0000, 2 << 20, Caching::Uncached)]);
    assert_eq!(ecam.buses(0), Some(Buses { segment: 0, first: 0x20, last: 0x21 }));
    assert_eq!(ecam.buses(1), None);
    assert_eq!(ecam.allocations().next().unwrap().base(), 0xE000_0000);
}

#[test]
fn each_register_is_at_its_place_up_to_offset_0xfff() {
    let mut memory = Physical::default();
    memory.add(0xE220_0000, 2 * BUS);
    let ecam = map(&[allocation(3, 0x22, 0x23, 0xE000_0000)], &mut memory).unwrap();
    let address = Address::new(3, 0x23, 0x1E, 6).unwrap();
    let at = 0xE000_0000 + (0x23 << 20) + (0x1E << 15) + (6 << 12);
    memory.write(at + 0xFFC, &[1, 2, 3, 4]);
    assert_eq!(ecam.read32(address, 0xFFC), 0x0403_0201);
    assert_eq!(ecam.read32(address, 0xFFF), 0x0403_0201, "offsets are rounded down");
    ecam.write32(address, 0x10, 0x8877_6655);
    assert_eq!(memory.read(at + 0x10), [0x55, 0x66, 0x77, 0x88]);
    ecam.write16(address, 0x12, 0xBBAA);
    assert_eq!(memory.read(at + 0x10), [0x55, 0x66, 0xAA, 0xBB], "16 bits only");
}

#[test]
fn what_no_allocation_covers_reads_as_all_ones_and_writes_do_nothing() {
    let mut memory = Physical::default();
    memory.add(0xE010_0000, BUS);
    let ecam = map(&[allocation(0, 1, 1, 0xE000_0000)], &mut memory).unwrap();
    for (text, offset) in [("0000:00:00.0", 0), ("0000:02:00.0", 0), ("0001:01:00.0", 0), ("0000:01:00.0", 0x1000)] {
        let address = text.parse().unwrap();
        assert_eq!(ecam.read32(address, offset), u32::MAX, "{text}");
        ecam.write32(address, offset, u32::MAX);
        ecam.write16(address, offset, u16::MAX);
    }
    assert_eq!(memory.read::<BUS_LENGTH>(0xE010_0000), [0; BUS_LENGTH]);
}
const BUS_LENGTH: usize = 4096;

#[test]
fn several_segments_and_ranges_come_in_ascending_order() {
    let mut memory = Physical::default();
    for physical in [0x1_0000_0000, 0x2_0100_0000, 0x3_0000_0000] {
        memory.add(physical, BUS);
    }
    let ecam = map(
        &[allocation(1, 0, 0, 0x1_0000_0000), allocation(0, 16, 16, 0x2_0000_0000), allocation(0, 0, 0, 0x3_0000_0000)],
        &mut memory,
    )
    .unwrap();
    let buses: std::vec::Vec<_> = (0..4).map_while(|index| ecam.buses(index)).collect();
    let range = |segment, bus| Buses { segment, first: bus, last: bus };
    assert_eq!(buses, [range(0, 0), range(0, 16), range(1, 0)]);
    memory.write(0x2_0100_0000, &[0x10]);
    assert_eq!(ecam.read32("0000:10:00.0".parse().unwrap(), 0), 0x10);
}

#[test]
fn allocations_that_share_a_bus_are_refused() {
    let (first, second) = (allocation(0, 0, 16, 0x1_0000_0000), allocation(0, 16, 32, 0x2_0000_0000));
    let result = map(&[second, first], &mut Physical::default());
    assert_eq!(result.unwrap_err(), EcamError::SameBus { first, second });
}

#[test]
fn none_too_many_and_unreachable_allocations_are_errors() {
    let mut memory = Physical::default();
    assert_eq!(map(&[], &mut memory).unwrap_err(), EcamError::Empty);
    let many: std::vec::Vec<_> = (0..33).map(|bus| allocation(0, bus, bus, 0xE000_0000)).collect();
    assert_eq!(map(&many, &mut memory).unwrap_err(), EcamError::TooMany { count: 33 });
    let unreachable = MapError::Unreachable { physical: 0xE000_0000, length: 1 << 20 };
    assert_eq!(map(&[allocation(0, 0, 0, 0xE000_0000)], &mut memory).unwrap_err(), EcamError::Map(unreachable));
}

#[test]
fn a_mapping_off_32_bit_boundaries_is_refused() {
    let mut memory = Physical::default();
    memory.add(0xE000_0000 - 2, BUS + 2);
    let result = map(&[allocation(0, 0, 0, 0xE000_0000)], &mut memory);
    assert_eq!(result.unwrap_err(), EcamError::Misaligned { physical: 0xE000_0000 });
}

#[test]
fn numbers_that_cannot_be_an_allocation_are_refused() {
    assert_eq!(
        Allocation::new(0, core::ops::RangeInclusive::new(5, 4), 1 << 30),
        Err(AllocationError::Buses { first: 5, last: 4 })
    );
    let top = (1 << 52) - (256 << 20);
    assert!(Allocation::new(0, 0..=255, top).is_ok());
    for base in [0, 1, 0xE000_1000, top + (1 << 20), u64::MAX, u64::MAX << 20] {
        assert_eq!(Allocation::new(0, 0..=255, base), Err(AllocationError::Base { base }), "{base:#x}");
    }
}

#[test]
fn each_error_says_the_allocation_or_the_address() {
    use std::string::ToString;
    let (first, second) = (allocation(0, 0, 16, 0x1_0000_0000), allocation(0, 16, 32, 0x2_0000_0000));
    let unreachable = MapError::Unreachable { physical: 0xE000_0000, length: 1 << 20 };
    for (error, text) in [
        (EcamError::Empty, "no ECAM allocation was given"),
        (EcamError::TooMany { count: 33 }, "33 ECAM allocations are more than 32"),
        (
            EcamError::SameBus { first, second },
            "two ECAM allocations share a bus: 0000:00-10 at 0x100000000 and 0000:10-20 at 0x200000000",
        ),
        (
            EcamError::Map(unreachable),
            "ECAM could not be mapped: 1048576 bytes at physical 0xe0000000 are out of the mapper's reach",
        ),
        (EcamError::Misaligned { physical: 0xE000_0000 }, "ECAM at 0xe0000000 was mapped across 32-bit boundaries"),
    ] {
        assert_eq!(error.to_string(), text);
    }
    for (error, text) in [
        (AllocationError::Base { base: 1 }, "ECAM cannot be based at 0x1"),
        (AllocationError::Buses { first: 5, last: 4 }, "ECAM cannot reach from bus 5 to bus 4"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn is_shown_as_the_buses_and_where_they_are() {
    let mut memory = Physical::default();
    memory.add(0xE010_0000, BUS);
    let ecam = map(&[allocation(2, 1, 1, 0xE000_0000)], &mut memory).unwrap();
    assert_eq!(std::format!("{ecam:?}"), "Ecam [0002:01-01 at 0xe0000000]");
}
