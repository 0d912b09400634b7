use super::*;
use crate::pci::physical::Physical;

fn auto_with(ports: Option<Access>, memory: &mut Physical) -> Result<Access, AutoError> {
    // SAFETY: the test's memory stands in for the firmware's, and for configuration space.
    unsafe { choose(None, memory, || ports) }
}

fn port_io() -> Option<Access> {
    // SAFETY: only told apart from ECAM here, never used.
    Some(Access::PortIo(unsafe { PortIo::new() }))
}

/// A BIOS area with an RSDP, an RSDT and an MCFG table of these entries (base, last bus).
fn firmware(entries: &[(u64, u8)]) -> Physical {
    fn balance(bytes: &mut [u8], at: usize) {
        bytes[at] = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    }
    let table = |signature: &[u8], body: &[u8]| {
        let mut bytes = signature.to_vec();
        bytes.extend((36 + body.len() as u32).to_le_bytes());
        bytes.resize(36, 0);
        bytes.extend(body);
        balance(&mut bytes, 9);
        bytes
    };
    let mut rsdp = b"RSD PTR \0      \0".to_vec();
    rsdp.extend(0xF_1000_u32.to_le_bytes());
    balance(&mut rsdp, 8);
    let mut body = std::vec![0; 8];
    for (base, last) in entries {
        body.extend(base.to_le_bytes());
        body.extend([0, 0, 0, *last, 0, 0, 0, 0]);
    }
    let mut memory = Physical::default();
    memory.add(0xE_0000, 0x2_0000);
    memory.write(0xF_0000, &rsdp);
    memory.write(0xF_1000, &table(b"RSDT", &0xF_2000_u32.to_le_bytes()));
    memory.write(0xF_2000, &table(b"MCFG", &body));
    memory
}

#[test]
fn takes_ecam_where_mcfg_has_it() {
    let mut memory = firmware(&[(0xB000_0000, 0)]);
    memory.add(0xB000_0000, 1 << 20);
    memory.write(0xB000_0000, &[0xF4, 0x1A, 0x10, 0x11]);
    let access = auto_with(port_io(), &mut memory).unwrap();
    assert!(matches!(access, Access::Ecam(_)), "{access:?}");
    assert_eq!(access.read32("00:00.0".parse().unwrap(), 0), 0x1110_1AF4);
    assert_eq!(access.buses(0), Some(Buses { segment: 0, first: 0, last: 0 }));
    access.write32("00:00.0".parse().unwrap(), 0x10, 0x0403_0201);
    access.write16("00:00.0".parse().unwrap(), 0x12, 0x0605);
    assert_eq!(memory.read(0xB000_0010), [1, 2, 5, 6]);
}

#[test]
fn takes_the_ports_where_there_is_no_usable_mcfg() {
    let mut empty = Physical::default();
    empty.add(0xE_0000, 0x2_0000);
    for mut memory in [empty, firmware(&[]), firmware(&[(1, 0)]), firmware(&[(0xB000_0000, 0), (0xC000_0000, 0)])] {
        let access = auto_with(port_io(), &mut memory).unwrap();
        assert!(matches!(access, Access::PortIo(_)), "{access:?}");
        assert_eq!(access.buses(0), Some(Buses { segment: 0, first: 0, last: 255 }));
    }
}

#[test]
fn without_either_the_error_says_what_is_wrong_with_mcfg() {
    let mut memory = Physical::default();
    memory.add(0xE_0000, 0x2_0000);
    assert_eq!(auto_with(None, &mut memory).unwrap_err(), AutoError::Mcfg(McfgError::NoRsdp));
    let mut memory = firmware(&[(0xB000_0000, 0), (0xC000_0000, 0)]);
    assert!(matches!(auto_with(None, &mut memory), Err(AutoError::Ecam(EcamError::SameBus { .. }))));
}

#[test]
fn ecam_out_of_the_mappers_reach_is_an_error_even_with_ports() {
    let mut memory = firmware(&[(0xB000_0000, 255)]);
    let error = MapError::Unreachable { physical: 0xB000_0000, length: 256 << 20 };
    assert_eq!(auto_with(port_io(), &mut memory).unwrap_err(), AutoError::Map(error));
}

#[test]
fn each_error_says_what_is_missing() {
    use std::string::ToString;
    for (error, text) in [
        (AutoError::Map(MapError::OutOfFrames), "ECAM could not be mapped: no frame was left for a page table"),
        (AutoError::Mcfg(McfgError::NoMcfg), "no ECAM (ACPI has no MCFG table) and no configuration ports"),
        (AutoError::Ecam(EcamError::Empty), "no usable ECAM (no ECAM allocation was given) and no configuration ports"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn where_the_tables_lead_to_ecam_the_ports_are_not_touched() {
    let mut memory = firmware(&[(0xB000_0000, 0)]);
    memory.add(0xB000_0000, 1 << 20);
    // SAFETY: the test's memory stands in for the firmware's; a port cycle would end this process, which has no I/O privilege.
    let access = unsafe { auto(None, &mut memory) };
    assert!(matches!(access, Ok(Access::Ecam(_))), "{access:?}");
}
