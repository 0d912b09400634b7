use super::*;

const COMMAND: u16 = 0x04;
const BAR2: u16 = 0x18;
const BAR3: u16 = 0x1C;

fn sized(space: &ConfigSpace, index: u8) -> Result<u64, BarError> {
    crate::fake::drive::sized(space, at(), index)
}

fn doorbell(size: u64) -> Function {
    Function::ivshmem_doorbell(size, 4).assigned(0, 0xFEBF_1000).assigned(1, 0xFEBF_2000).command(0x0007)
}

#[test]
fn sizes_from_16_bytes_to_2_to_the_63_are_found_where_firmwares_put_them() {
    for bits in 4..=63 {
        let size = 1_u64 << bits;
        let address = size.max(0xE0_0000_0000);
        let space = space(doorbell(size).assigned(2, address));
        assert_eq!(sized(&space, 2), Ok(size), "2^{bits}");
    }
    for bits in 4..=31 {
        let space = space(Function::new(1, 2).memory32(2, 1 << 31, 1 << bits));
        assert_eq!(sized(&space, 2), Ok(1 << bits), "2^{bits}");
    }
}

#[test]
fn writes_all_ones_to_each_half_and_restores_it_before_the_next() {
    let space = space(doorbell(1 << 20).assigned(2, 0xE0_0010_0000));
    size_bar(&space, at(), 2).unwrap();
    let cycles: Vec<Cycle> = space.take_cycles();
    let writes: Vec<(u16, u32)> = cycles
        .iter()
        .filter_map(|cycle| match *cycle {
            Cycle::Write32 { offset, value, .. } => Some((offset, value)),
            Cycle::Write16 { offset, value, .. } => Some((offset, value.into())),
            Cycle::Read32 { .. } => None,
        })
        .collect();
    let ones = u32::MAX;
    let expected =
        [(COMMAND, 0x0005), (BAR2, ones), (BAR2, 0x0010_000C), (BAR3, ones), (BAR3, 0xE0), (COMMAND, 0x0007)];
    assert_eq!(writes, expected);
}

#[test]
fn command_is_not_written_when_memory_decode_was_off() {
    let space = space(doorbell(1 << 20).assigned(2, 0xFE00_0000).command(0x0004));
    assert_eq!(sized(&space, 2), Ok(1 << 20));
    assert_eq!(size_bar(&space, at(), 2), Ok(1 << 20));
    assert!(space.take_cycles().iter().all(|cycle| !matches!(cycle, Cycle::Write16 { .. })));
}

#[test]
fn status_survives_on_plain_storage() {
    let space = space(doorbell(1 << 20).assigned(2, 0xFE00_0000).plain_storage());
    assert_eq!(sized(&space, 2), Ok(1 << 20));
}

#[test]
fn an_unassigned_bar_has_a_size_too() {
    assert_eq!(sized(&space(Function::ivshmem_plain(1 << 34)), 2), Ok(1 << 34));
}

#[test]
fn what_cannot_be_sized_is_an_error_before_anything_is_written() {
    let function = Function::new(1, 2).io(0, 0xC000, 32).register(0x14, 0xFE00_0002, u32::MAX).memory64(2, 0, 16, true);
    let function = function.register(0x24, 0xFE00_0004, u32::MAX);
    for (index, error) in [
        (0, BarError::Io { index: 0, value: 0xC001 }),
        (1, BarError::ReservedType { index: 1, value: 0xFE00_0002 }),
        (3, BarError::UpperHalf { index: 3 }),
        (5, BarError::NoUpperHalf { index: 5, value: 0xFE00_0004 }),
        (6, BarError::Index { index: 6, count: 6 }),
    ] {
        let space = space(function.clone());
        assert_eq!(size_bar(&space, at(), index), Err(error));
        assert!(space.take_cycles().iter().all(|cycle| matches!(cycle, Cycle::Read32 { .. })), "{error:?}");
    }
}

#[test]
fn a_register_without_writable_bits_is_absent() {
    assert_eq!(sized(&space(Function::new(1, 2)), 2), Err(BarError::Absent { index: 2, value: 0 }));
    let fixed = Function::new(1, 2).register(BAR2, 0xFE00_000C, 0).command(7);
    let space = space(fixed);
    space.script(at(), BAR2, [None, Some(0xC)]);
    assert_eq!(sized(&space, 2), Err(BarError::Absent { index: 2, value: 0xFE00_000C }));
}

#[test]
fn writable_bits_with_a_gap_are_no_size() {
    for (index, mask) in [(0_u8, 0x00FF_F000_u64), (0, 0xFFFF_0F00), (0, 0x8000_0010)] {
        let function = Function::new(1, 2).register(0x10, mask as u32, mask as u32).command(2);
        let expected = BarError::NotContiguous { index, mask };
        assert_eq!(sized(&space(function), index), Err(expected));
    }
    for (low, high) in [(0xFFF0_0000_u32, 0_u32), (0xFFF0_0000, 0xFF), (0, 0x7FFF_FFFF), (0x10, u32::MAX)] {
        let function = Function::new(1, 2).register(BAR2, 0xC, low).register(BAR3, 0, high).command(2);
        let mask = u64::from(high) << 32 | u64::from(low);
        assert_eq!(sized(&space(function), 2), Err(BarError::NotContiguous { index: 2, mask }));
    }
}

#[test]
fn a_bar_past_the_last_address_wraps_and_one_off_its_size_is_misaligned() {
    // The register keeps an address inside its own size, which no working BAR can hold.
    for (address, error) in [
        (0xFFFF_F000_u32, BarError::Wraps { index: 0, address: 0xFFFF_F000, size: 1 << 20 }),
        (0xFE00_1000, BarError::Misaligned { index: 0, address: 0xFE00_1000, size: 1 << 20 }),
    ] {
        let space = space(Function::new(1, 2).register(0x10, address, u32::MAX).command(2));
        space.script(at(), 0x10, [None, Some(0xFFF0_0000)]);
        assert_eq!(sized(&space, 0), Err(error));
    }
    let wide = Function::new(1, 2).register(BAR2, 0xFFFF_F00C, u32::MAX).register(BAR3, u32::MAX, u32::MAX).command(2);
    let space = space(wide);
    space.script(at(), BAR2, [None, Some(0xFFF0_000C)]);
    let error = BarError::Wraps { index: 2, address: 0xFFFF_FFFF_FFFF_F000, size: 1 << 20 };
    assert_eq!(sized(&space, 2), Err(error));
}

#[test]
fn a_bar_with_another_one_inside_overlaps() {
    let space = space(doorbell(1 << 20).assigned(2, 0xFEB0_0000));
    let error =
        BarError::Overlap { index: 2, address: 0xFEB0_0000, size: 1 << 20, other: 0, other_address: 0xFEBF_1000 };
    assert_eq!(sized(&space, 2), Err(error));
}

#[test]
fn a_type_that_changes_while_it_is_sized_is_an_error() {
    let space = space(doorbell(1 << 20).assigned(2, 0xFE00_0000));
    space.script(at(), BAR2, [None, Some(0xFFF0_0000)]);
    let error = BarError::TypeChanged { index: 2, before: 0xFE00_000C, after: 0xFFF0_0000 };
    assert_eq!(sized(&space, 2), Err(error));
}

#[test]
fn a_register_that_does_not_take_its_value_back_is_an_error_and_command_is_restored() {
    for (offset, reads, written) in [(BAR2, 2, 0xFE00_000C), (BAR3, 2, 0), (COMMAND, 1, 0x0007)] {
        let space = space(doorbell(1 << 20).assigned(2, 0xFE00_0000));
        let mut answers: Vec<Option<u32>> = Vec::from([None; 2]);
        answers.truncate(reads);
        answers.push(Some(0x5550));
        space.script(at(), offset, answers);
        assert_eq!(sized(&space, 2), Err(BarError::NotRestored { offset, written, found: 0x5550 }));
    }
}

#[test]
fn a_function_that_vanishes_at_any_cycle_ends_in_an_error() {
    for cycles in 0..19 {
        let space = space(doorbell(1 << 20).assigned(2, 0xFE00_0000));
        space.vanish_after(cycles);
        let result = size_bar(&space, at(), 2);
        assert!(result.is_err(), "after {cycles} cycles: {result:?}");
    }
    let space = space(doorbell(1 << 20).assigned(2, 0xFE00_0000));
    space.vanish_after(19);
    assert_eq!(size_bar(&space, at(), 2), Ok(1 << 20), "19 cycles are all there are");
}

proptest! {
    #[test]
    fn garbage_is_sized_with_a_bounded_number_of_cycles(answers in proptest::collection::vec(any::<u32>(), 1..30), index: u8) {
        let garbage = Garbage::new(answers);
        if let Ok(size) = size_bar(&garbage, at(), index) {
            prop_assert!(size.is_power_of_two() && size >= 16);
        }
        prop_assert!(garbage.reads() <= 13 && garbage.writes() <= 6);
    }

    /// Registers that keep what is written, and answer the sizing reads with anything.
    #[test]
    fn whatever_sizing_reads_configuration_space_stays_bit_for_bit(
        registers in proptest::collection::vec(any::<u32>(), 6),
        low: Option<u32>,
        high: Option<u32>,
        command: u16,
        index in 0..6_u8,
        layout in 0..3_u8,
    ) {
        let function = (0x10..).step_by(4).zip(registers).fold(Function::new(1, 2), |function, (offset, word)| {
            function.register(offset, word, u32::MAX)
        });
        let function = function.register(COMMAND, u32::from(command) | 0x10_0000, 0xFFFF).header_type(layout);
        let space = space(function);
        space.script(at(), register(index), [None, low]);
        space.script(at(), register(index + 1), [None, high]);
        if let Ok(size) = sized(&space, index) {
            prop_assert!(size.is_power_of_two() && size >= 16);
        }
    }

    /// Registers as a device has them: sizing finds exactly the size, anywhere it can be.
    #[test]
    fn every_size_is_found_at_every_address(bits in 4..64_u32, place: u64, command: u16) {
        let size = 1_u64 << bits;
        let function = Function::new(1, 2).memory64(2, place, size, true).command(command & 0x0507);
        prop_assert_eq!(sized(&space(function), 2), Ok(size));
    }
}
