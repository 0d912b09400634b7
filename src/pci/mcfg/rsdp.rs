//! The RSDP: where ACPI begins (ACPI 6.5, section 5.2.5).

use super::McfgError;
use super::memory::Memory;
use super::table::{Root, Width};
use crate::mmio::Mapper;

const SIGNATURE: [u8; 8] = *b"RSD PTR ";
/// Bytes of the first version, which the first checksum covers.
const FIRST_VERSION: usize = 20;
/// Bytes since ACPI 2.0, with the XSDT's address.
const SECOND_VERSION: usize = 36;
/// No RSDP is longer than this.
const MOST: usize = 256;
/// The RSDP is on such a boundary in the BIOS area.
const STEP: usize = 16;

/// Holds the segment (address / 16) of the Extended BIOS Data Area.
const EBDA_POINTER: u64 = 0x40E;
/// How much of the EBDA is searched.
const EBDA_LENGTH: usize = 0x400;
/// Where an EBDA can be: behind the BIOS data area, below the video memory.
const EBDA_PLACES: core::ops::Range<u64> = 0x500..0xA_0000;

const BIOS: u64 = 0xE_0000;
const BIOS_LENGTH: usize = 0x2_0000;

/// Finds the root table through the RSDP given, or through the one in the BIOS area.
///
/// # Safety
/// As for [`super::Mcfg::find`].
pub(super) unsafe fn root<M: Mapper + ?Sized>(rsdp: Option<u64>, mapper: &mut M) -> Result<Root, McfgError> {
    let physical = match rsdp.filter(|physical| *physical != 0) {
        Some(physical) => physical,
        // SAFETY: the caller promised that the BIOS area is the firmware's.
        None => unsafe { search(mapper) }?,
    };
    // SAFETY: the caller promised that the RSDP is in the firmware's memory.
    let first = unsafe { Memory::map(physical, FIRST_VERSION, mapper) }?;
    check(&first)?;
    let [revision] = first.bytes(15);
    if revision >= 2 {
        // SAFETY: as above; an RSDP of this revision has so many bytes at least.
        let second = unsafe { Memory::map(physical, SECOND_VERSION, mapper) }?;
        let length = u32::from_le_bytes(second.bytes(20));
        let whole = usize::try_from(length).ok().filter(|length| (SECOND_VERSION..=MOST).contains(length));
        let whole = whole.ok_or(McfgError::Length { physical, length })?;
        // SAFETY: as above; the RSDP says that it has so many bytes.
        unsafe { Memory::map(physical, whole, mapper) }?.check_sum()?;
        let address = u64::from_le_bytes(second.bytes(24));
        if address != 0 {
            return Ok(Root { address, width: Width::Bits64 });
        }
    }
    match u32::from_le_bytes(first.bytes(16)) {
        0 => Err(McfgError::NoRoot { rsdp: physical }),
        address => Ok(Root { address: address.into(), width: Width::Bits32 }),
    }
}

/// The physical address of the first RSDP in the EBDA's first KiB or the BIOS area.
///
/// If there is none but something with its signature, the error is that one's.
///
/// # Safety
/// The BIOS area and the EBDA are the firmware's memory.
unsafe fn search<M: Mapper + ?Sized>(mapper: &mut M) -> Result<u64, McfgError> {
    let mut error = McfgError::NoRsdp;
    // SAFETY: the BIOS data area is part of what the caller promised.
    let places = [unsafe { ebda(mapper) }.map(|ebda| (ebda, EBDA_LENGTH)), Some((BIOS, BIOS_LENGTH))];
    for (physical, length) in places.into_iter().flatten() {
        // SAFETY: the caller promised that the EBDA and the BIOS area are the firmware's.
        let area = match unsafe { Memory::map(physical, length, mapper) } {
            Ok(area) => area,
            Err(unmapped) => {
                error = unmapped;
                continue;
            }
        };
        for offset in (0..length).step_by(STEP) {
            let place = area.part(offset, FIRST_VERSION);
            match check(&place) {
                Ok(()) => return Ok(place.physical()),
                Err(McfgError::Signature { .. }) => {}
                Err(wrong) => error = wrong,
            }
        }
    }
    Err(error)
}

/// Where the EBDA is, if there can be one.
///
/// # Safety
/// The BIOS data area is the firmware's memory.
unsafe fn ebda<M: Mapper + ?Sized>(mapper: &mut M) -> Option<u64> {
    // SAFETY: the caller promised that the BIOS data area is the firmware's.
    let pointer = unsafe { Memory::map(EBDA_POINTER, 2, mapper) }.ok()?;
    let physical = u64::from(u16::from_le_bytes(pointer.bytes(0))) << 4;
    EBDA_PLACES.contains(&physical).then_some(physical)
}

/// Whether the first version's 20 bytes are an RSDP.
fn check(rsdp: &Memory) -> Result<(), McfgError> {
    let found: [u8; 8] = rsdp.bytes(0);
    if found != SIGNATURE {
        let [a, b, c, d, ..] = found;
        return Err(McfgError::Signature { physical: rsdp.physical(), found: [a, b, c, d] });
    }
    rsdp.check_sum()
}
