use super::*;
use crate::mmio::Caching;
use crate::pci::physical::Physical;
use proptest::prelude::*;
use std::vec::Vec;

const RSDP: u64 = 0xF_2400;
const ROOT: u64 = 0x7FE_1000;
const MCFG: u64 = 0x7FE_2000;

fn find(rsdp: Option<u64>, memory: &mut Physical) -> Result<Mcfg, McfgError> {
    // SAFETY: the test's memory stands in for the firmware's.
    unsafe { Mcfg::find(rsdp, memory) }
}

/// Makes the bytes add up to 0 by the one at `at`.
fn balance(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
}

fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0BOCHS ".to_vec();
    bytes.push(revision);
    bytes.extend(rsdt.to_le_bytes());
    balance(&mut bytes, 8);
    if revision >= 2 {
        bytes.extend(36_u32.to_le_bytes());
        bytes.extend(xsdt.to_le_bytes());
        bytes.extend([0; 4]);
        balance(&mut bytes, 32);
    }
    bytes
}

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend((36 + body.len() as u32).to_le_bytes());
    bytes.extend([1, 0]);
    bytes.extend(b"BOCHS BXPC    \x01\0\0\0BXPC\x01\0\0\0");
    bytes.extend(body);
    balance(&mut bytes, 9);
    bytes
}

fn mcfg(entries: &[(u64, u16, u8, u8)]) -> Vec<u8> {
    let mut body = [0; 8].to_vec();
    for (base, segment, first, last) in entries {
        body.extend(base.to_le_bytes());
        body.extend(segment.to_le_bytes());
        body.extend([*first, *last, 0, 0, 0, 0]);
    }
    table(b"MCFG", &body)
}

/// What q35 has, with an RSDP of the second revision.
fn q35() -> Physical {
    let mut memory = tables();
    memory.add_bytes(RSDP, &rsdp(2, 0, ROOT));
    memory
}

/// An XSDT, and what it names.
fn tables() -> Physical {
    let mut memory = Physical::default();
    let mut list = Vec::new();
    for address in [0x7FE_3000, 0, MCFG] {
        list.extend(u64::to_le_bytes(address));
    }
    memory.add_bytes(ROOT, &table(b"XSDT", &list));
    memory.add_bytes(0x7FE_3000, &table(b"APIC", &[1, 2, 3]));
    memory.add_bytes(MCFG, &mcfg(&[(0xB000_0000, 0, 0, 255)]));
    memory
}

fn one() -> [Allocation; 1] {
    [Allocation::new(0, 0..=255, 0xB000_0000).unwrap()]
}

#[test]
fn finds_mcfg_through_the_xsdt_by_headers_first_and_write_back() {
    let mut memory = q35();
    assert_eq!(find(Some(RSDP), &mut memory).unwrap().allocations(), one());
    let maps: Vec<(u64, u64)> = memory.maps.iter().map(|(physical, length, _)| (*physical, *length)).collect();
    let expected =
        [(RSDP, 20), (RSDP, 36), (RSDP, 36), (ROOT, 36), (ROOT, 60), (0x7FE_3000, 36), (MCFG, 36), (MCFG, 60)];
    assert_eq!(maps, expected);
    assert!(memory.maps.iter().all(|(_, _, caching)| *caching == Caching::WriteBack));
}

#[test]
fn finds_mcfg_through_the_rsdt_of_an_acpi_1_rsdp() {
    for revision in [0, 2] {
        let mut memory = tables();
        memory.add_bytes(RSDP, &rsdp(revision, 0x7FE_4000, 0));
        let mut list = 0x7FE_3000_u32.to_le_bytes().to_vec();
        list.extend((MCFG as u32).to_le_bytes());
        memory.add_bytes(0x7FE_4000, &table(b"RSDT", &list));
        assert_eq!(find(Some(RSDP), &mut memory).unwrap().allocations(), one());
    }
}

#[test]
fn finds_the_rsdp_in_the_bios_area() {
    let mut memory = tables();
    memory.add(0xE_0000, 0x2_0000);
    // Text with the signature off the 16-byte boundary, and one with a wrong checksum, come first.
    memory.write(0xE_0008, b"RSD PTR ");
    memory.write(0xE_0020, b"RSD PTR ");
    memory.write(0xF_FFD0, &rsdp(2, 0, ROOT));
    assert_eq!(find(None, &mut memory).unwrap().allocations(), one());
    assert_eq!(find(Some(0), &mut memory).unwrap().allocations(), one(), "PVH's start info has 0 for none");
}

#[test]
fn finds_the_rsdp_in_the_first_kib_of_the_ebda_before_the_bios_area() {
    let mut memory = tables();
    memory.add_bytes(0x40E, &0x9FC0_u16.to_le_bytes());
    memory.add(0x9_FC00, 1024);
    memory.write(0x9_FC00 + 1024 - 48, &rsdp(2, 0, ROOT));
    memory.add(0xE_0000, 0x2_0000);
    assert_eq!(find(None, &mut memory).unwrap().allocations(), one());
}

#[test]
fn a_bios_area_without_rsdp_or_without_memory_is_an_error() {
    let mut memory = Physical::default();
    assert!(matches!(find(None, &mut memory), Err(McfgError::Map(_))));
    // Not where an EBDA can be.
    memory.add_bytes(0x40E, &0xFFFF_u16.to_le_bytes());
    memory.add(0xE_0000, 0x2_0000);
    assert_eq!(find(None, &mut memory), Err(McfgError::NoRsdp));
    memory.write(0xF_0000, b"RSD PTR \x01");
    let sum = b"RSD PTR \x01".iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    assert_eq!(find(None, &mut memory), Err(McfgError::Checksum { physical: 0xF_0000, sum }));
}

#[test]
fn a_wrong_checksum_of_each_table_is_an_error_with_its_address() {
    for (physical, byte) in [(RSDP, 9), (RSDP, 33), (ROOT, 20), (MCFG, 45)] {
        let mut memory = q35();
        let [old] = memory.read(physical + byte);
        memory.write(physical + byte, &[old.wrapping_add(1)]);
        assert_eq!(find(Some(RSDP), &mut memory), Err(McfgError::Checksum { physical, sum: 1 }), "{physical:#x}");
    }
}

#[test]
fn a_wrong_signature_is_an_error_with_what_is_there() {
    let mut memory = q35();
    memory.write(RSDP, b"RSD PTX ");
    let found = McfgError::Signature { physical: RSDP, found: *b"RSD " };
    assert_eq!(find(Some(RSDP), &mut memory), Err(found));
    let mut memory = q35();
    memory.write(ROOT, b"RSDT");
    let found = McfgError::Signature { physical: ROOT, found: *b"RSDT" };
    assert_eq!(find(Some(RSDP), &mut memory), Err(found), "the RSDP says that it is an XSDT");
}

#[test]
fn impossible_lengths_are_errors_and_are_not_mapped() {
    for length in [0_u32, 35, 4097, u32::MAX] {
        for physical in [ROOT, MCFG] {
            let mut memory = q35();
            memory.write(physical + 4, &length.to_le_bytes());
            assert_eq!(find(Some(RSDP), &mut memory), Err(McfgError::Length { physical, length }));
            assert!(memory.maps.iter().all(|(_, mapped, _)| *mapped <= 60));
        }
    }
    for length in [0_u32, 35, 257, u32::MAX] {
        let mut memory = q35();
        memory.write(RSDP + 20, &length.to_le_bytes());
        assert_eq!(find(Some(RSDP), &mut memory), Err(McfgError::Length { physical: RSDP, length }));
    }
}

#[test]
fn no_root_and_no_mcfg_are_errors() {
    let mut memory = Physical::default();
    memory.add_bytes(RSDP, &rsdp(0, 0, 0));
    assert_eq!(find(Some(RSDP), &mut memory), Err(McfgError::NoRoot { rsdp: RSDP }));
    let mut memory = Physical::default();
    memory.add_bytes(RSDP, &rsdp(2, 0, ROOT));
    // An XSDT that names only itself, and ends in half an entry.
    let mut list = ROOT.to_le_bytes().to_vec();
    list.extend([0xFF; 4]);
    memory.add_bytes(ROOT, &table(b"XSDT", &list));
    assert_eq!(find(Some(RSDP), &mut memory), Err(McfgError::NoMcfg));
}

#[test]
fn a_table_out_of_reach_is_passed_over_and_told_of_when_mcfg_is_not_found() {
    for (others, found) in [(std::vec![MCFG], true), (std::vec![], false)] {
        let mut memory = q35();
        let mut list = 0xF000_0000_0000_u64.to_le_bytes().to_vec();
        list.extend(others.iter().flat_map(|address| address.to_le_bytes()));
        memory.add_bytes(0x7FE_5000, &table(b"XSDT", &list));
        memory.add_bytes(0x1000, &rsdp(2, 0, 0x7FE_5000));
        let result = find(Some(0x1000), &mut memory);
        if found {
            assert_eq!(result.unwrap().allocations(), one());
        } else {
            let unreachable = MapError::Unreachable { physical: 0xF000_0000_0000, length: 36 };
            assert_eq!(result, Err(McfgError::Map(unreachable)));
        }
    }
}

fn with_entries(entries: &[(u64, u16, u8, u8)]) -> Result<Mcfg, McfgError> {
    let mut memory = q35();
    memory.add_bytes(0x7FE_6000, &mcfg(entries));
    memory.add_bytes(0x7FE_5000, &table(b"XSDT", &0x7FE_6000_u64.to_le_bytes()));
    memory.add_bytes(0x1000, &rsdp(2, 0, 0x7FE_5000));
    find(Some(0x1000), &mut memory)
}

#[test]
fn several_entries_are_several_allocations() {
    let found = with_entries(&[(0xE000_0000, 0, 0, 63), (0x40_0000_0000, 1, 0, 255), (0xE000_0000, 0, 64, 127)]);
    let expected = [
        Allocation::new(0, 0..=63, 0xE000_0000).unwrap(),
        Allocation::new(1, 0..=255, 0x40_0000_0000).unwrap(),
        Allocation::new(0, 64..=127, 0xE000_0000).unwrap(),
    ];
    assert_eq!(found.unwrap().allocations(), expected);
}

#[test]
fn no_entry_too_many_and_impossible_ones_are_errors() {
    assert_eq!(with_entries(&[]), Err(McfgError::Empty { physical: 0x7FE_6000 }));
    let many: Vec<_> = (0..33).map(|bus| (0xE000_0000, 0, bus, bus)).collect();
    assert_eq!(with_entries(&many), Err(McfgError::TooMany { count: 33 }));
    assert_eq!(with_entries(&many[..32]).unwrap().allocations().len(), 32);
    let buses = McfgError::Allocation(AllocationError::Buses { first: 1, last: 0 });
    assert_eq!(with_entries(&[(0xE000_0000, 0, 1, 0)]), Err(buses));
    let base = McfgError::Allocation(AllocationError::Base { base: 0xE000_0001 });
    assert_eq!(with_entries(&[(0xE000_0001, 0, 0, 0)]), Err(base));
}

proptest! {
    #[test]
    fn damaged_tables_end_in_a_result_after_a_bounded_number_of_mappings(
        damage in proptest::collection::vec((0..4_usize, 0..60_u64, any::<u8>()), 0..8),
        mend: bool,
    ) {
        let mut memory = q35();
        let places = [(RSDP, 36_u64), (ROOT, 60), (0x7FE_3000, 39), (MCFG, 60)];
        for (place, offset, byte) in damage {
            let (physical, length) = places[place];
            memory.write(physical + offset % length, &[byte]);
        }
        if mend {
            // So that damage is met behind the checksums, too.
            let mut first: [u8; 20] = memory.read(RSDP);
            balance(&mut first, 8);
            memory.write(RSDP, &first);
            let mut whole: [u8; 36] = memory.read(RSDP);
            balance(&mut whole, 32);
            memory.write(RSDP, &whole);
            for physical in [ROOT, MCFG] {
                let mut table: [u8; 60] = memory.read(physical);
                balance(&mut table, 9);
                memory.write(physical, &table);
            }
        }
        if let Ok(mcfg) = find(Some(RSDP), &mut memory) {
            prop_assert!(mcfg.allocations().len() == 1);
        }
        prop_assert!(memory.maps.len() <= 9);
    }

    #[test]
    fn random_bytes_behind_right_checksums_end_in_a_result(body in proptest::collection::vec(any::<u8>(), 0..4060)) {
        let mut memory = Physical::default();
        memory.add_bytes(RSDP, &rsdp(2, 0, ROOT));
        memory.add_bytes(ROOT, &table(b"XSDT", &body));
        prop_assert!(find(Some(RSDP), &mut memory).is_err());
        prop_assert!(memory.maps.len() <= 5 + 507);
        let mut memory = Physical::default();
        memory.add_bytes(RSDP, &rsdp(2, 0, ROOT));
        memory.add_bytes(ROOT, &table(b"XSDT", &MCFG.to_le_bytes()));
        memory.add_bytes(MCFG, &table(b"MCFG", &body));
        let _ = find(Some(RSDP), &mut memory);
    }
}

#[test]
fn each_error_says_the_table_and_what_is_wrong() {
    use std::string::ToString;
    let physical = 0x7FE_2000;
    for (error, text) in [
        (McfgError::NoRsdp, "there is no ACPI RSDP in the BIOS area"),
        (McfgError::Signature { physical, found: *b"AP\0\xFF" }, "no ACPI table is at 0x7fe2000 but \"AP\\x00\\xff\""),
        (
            McfgError::Checksum { physical, sum: 3 },
            "the bytes of the ACPI table at 0x7fe2000 add up to 0x03 instead of 0",
        ),
        (McfgError::Length { physical, length: 35 }, "the ACPI table at 0x7fe2000 cannot have 35 bytes"),
        (McfgError::NoRoot { rsdp: 0xF_2400 }, "the ACPI RSDP at 0xf2400 names neither XSDT nor RSDT"),
        (McfgError::NoMcfg, "ACPI has no MCFG table"),
        (McfgError::Empty { physical }, "the ACPI MCFG table at 0x7fe2000 has no entry"),
        (McfgError::TooMany { count: 33 }, "33 ACPI MCFG entries are more than 32"),
        (
            McfgError::Allocation(AllocationError::Base { base: 1 }),
            "a wrong ACPI MCFG entry: ECAM cannot be based at 0x1",
        ),
        (
            McfgError::Map(MapError::OutOfFrames),
            "an ACPI table could not be mapped: no frame was left for a page table",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
