use super::*;
use std::collections::BTreeSet;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

const STATUS_AND_COMMAND: u16 = 0x04;

#[test]
fn a_write_changes_writable_bits_only() {
    let at = address("00:01.0");
    let space = ConfigSpace::new().with(at, Function::ivshmem_plain(1 << 20));
    space.write32(at, 0x18, u32::MAX);
    assert_eq!(space.read32(at, 0x18), 0xFFF0_000C);
    space.write32(at, 0x1C, u32::MAX);
    assert_eq!(space.read32(at, 0x1C), u32::MAX);
    space.write32(at, 0x14, u32::MAX);
    assert_eq!(space.read32(at, 0x14), 0, "there is no BAR1");
    space.write32(at, 0, 0);
    assert_eq!(space.read32(at, 0), 0x1110_1AF4);
    space.write16(at, STATUS_AND_COMMAND, u16::MAX);
    assert_eq!(space.read32(at, STATUS_AND_COMMAND), 0x0507, "what QEMU 7.2 keeps");
}

#[test]
fn status_is_cleared_by_ones_on_a_device_and_stored_on_acrn() {
    let at = address("00:01.0");
    let function = Function::ivshmem_doorbell(4096, 1);
    let space = ConfigSpace::new().with(at, function.clone());
    space.write32(at, STATUS_AND_COMMAND, 0x0000_0006);
    assert_eq!(space.read32(at, STATUS_AND_COMMAND), 0x0010_0006, "the capability bit stays");
    space.plug(at, function.plain_storage());
    space.write32(at, STATUS_AND_COMMAND, 0x0000_0006);
    assert_eq!(space.read32(at, STATUS_AND_COMMAND), 0x0000_0006, "the capability bit is lost");
}

#[test]
fn has_the_layout_that_qemu_dumped() {
    let at = address("00:01.0");
    for (vectors, pending, bar1) in [
        (1, 0x800, 0x1000),
        (129, 0x810, 0x1000),
        (256, 0x1000, 0x2000),
        (512, 0x2000, 0x4000),
        (2048, 0x8000, 0x1_0000),
    ] {
        let space = ConfigSpace::new().with(at, Function::ivshmem_doorbell(4096, vectors));
        let read: Vec<u32> = [0x04, 0x08, 0x10, 0x18, 0x1C, 0x2C, 0x34, 0x40, 0x44, 0x48]
            .into_iter()
            .map(|offset| space.read32(at, offset))
            .collect();
        let control = u32::from(vectors - 1) << 16 | 0x11;
        assert_eq!(read, [0x0010_0000, 0x0500_0001, 0, 0xC, 0, 0x1100_1AF4, 0x40, control, 1, pending | 1]);
        space.write32(at, 0x14, u32::MAX);
        assert_eq!(space.read32(at, 0x14), !(bar1 - 1), "{vectors} vectors");
    }
}

#[test]
fn absent_functions_buses_and_offsets_read_as_all_ones() {
    let at = address("0001:02:03.4");
    let space = ConfigSpace::with_buses(vec![Buses { segment: 1, first: 2, last: 2 }])
        .with(at, Function::new(1, 2))
        .with(address("0001:03:00.0"), Function::new(1, 2));
    assert_eq!(space.read32(at, 0), 0x0002_0001);
    assert_eq!(space.read32(at, 3), 0x0002_0001, "offsets are rounded down");
    for (text, offset) in [("0001:02:03.5", 0), ("0001:03:00.0", 0), ("0000:02:03.4", 0), ("0001:02:03.4", 0x1000)] {
        assert_eq!(space.read32(address(text), offset), u32::MAX, "{text} {offset}");
        space.write32(address(text), offset, 0);
        space.write16(address(text), offset, 0);
    }
}

#[test]
fn records_every_cycle() {
    let at = address("00:01.0");
    let space = ConfigSpace::new().with(at, Function::new(1, 2));
    space.read32(at, 0);
    space.write16(at, 4, 6);
    space.write32(at, 0x10, 5);
    assert_eq!(
        space.take_cycles(),
        [
            Cycle::Read32 { address: at, offset: 0, value: 0x0002_0001 },
            Cycle::Write16 { address: at, offset: 4, value: 6 },
            Cycle::Write32 { address: at, offset: 0x10, value: 5 },
        ]
    );
    assert_eq!(space.take_cycles(), []);
}

#[test]
fn a_script_answers_reads_and_leaves_the_content() {
    let at = address("00:01.0");
    let space = ConfigSpace::new().with(at, Function::new(1, 2));
    let before = space.contents();
    space.script(at, 0, [None, Some(7)]);
    assert_eq!([0; 3].map(|offset| space.read32(at, offset)), [0x0002_0001, 7, 0x0002_0001]);
    assert_eq!(space.contents(), before);
}

#[test]
fn vanishes_after_the_cycles_asked_for() {
    let at = address("00:01.0");
    let space = ConfigSpace::new().with(at, Function::new(1, 2));
    space.vanish_after(1);
    assert_eq!([0; 2].map(|offset| space.read32(at, offset)), [0x0002_0001, u32::MAX]);
    assert!(space.contents().is_empty());
}

#[test]
fn capabilities_are_linked_in_the_order_given() {
    let function = Function::new(1, 2).capability(0x60, 9, &[4]).capability(0x40, 5, &[]);
    let at: BTreeSet<(usize, u8)> = [0x34, 0x60, 0x61, 0x62, 0x40, 0x41].map(|at| (at, function.bytes()[at])).into();
    assert_eq!(at, [(0x34, 0x60), (0x60, 9), (0x61, 0x40), (0x62, 4), (0x40, 5), (0x41, 0)].into());
}

#[test]
fn garbage_answers_its_list_round_and_round() {
    let garbage = Garbage::new(vec![1, 2]);
    assert_eq!([0; 3].map(|offset| garbage.read32(address("00:00.0"), offset)), [1, 2, 1]);
    garbage.write16(address("00:00.0"), 0, 0);
    assert_eq!((garbage.reads(), garbage.writes()), (3, 1));
}
