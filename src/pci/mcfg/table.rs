//! ACPI tables with the standard header (ACPI 6.5, section 5.2.6), and the root tables that name them.

use super::McfgError;
use super::memory::Memory;
use crate::mmio::Mapper;

/// Signature, length, revision, checksum, OEM and creator.
const HEADER: usize = 36;
/// The longest table that is read: an XSDT of 507 entries.
const MOST: usize = 4096;

/// A whole table whose header and checksum are right.
pub(super) type Table = Memory;

/// The root table: RSDT or XSDT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) address: u64,
    pub(super) width: Width,
}

/// How wide the root table's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// RSDT.
    Bits32,
    /// XSDT.
    Bits64,
}

impl Width {
    const fn bytes(self) -> usize {
        match self {
            Self::Bits32 => 4,
            Self::Bits64 => 8,
        }
    }

    const fn signature(self) -> [u8; 4] {
        match self {
            Self::Bits32 => *b"RSDT",
            Self::Bits64 => *b"XSDT",
        }
    }
}

impl Root {
    /// Maps and checks the first table with this signature; at most 1015 tables are looked at.
    ///
    /// A table that cannot be mapped is passed over, but if the search ends without success, that is its error.
    ///
    /// # Safety
    /// The root table and all that it names are the firmware's memory, and do not change.
    pub(super) unsafe fn find<M: Mapper + ?Sized>(
        &self,
        signature: [u8; 4],
        mapper: &mut M,
    ) -> Result<Table, McfgError> {
        // SAFETY: the caller promised that the root table is the firmware's memory.
        let root = unsafe { open(self.address, self.width.signature(), mapper) }?;
        let mut error = McfgError::NoMcfg;
        let step = self.width.bytes();
        for at in (HEADER..root.length()).step_by(step) {
            if at.saturating_add(step) > root.length() {
                break;
            }
            let address = match self.width {
                Width::Bits32 => u32::from_le_bytes(root.bytes(at)).into(),
                Width::Bits64 => u64::from_le_bytes(root.bytes(at)),
            };
            if address == 0 {
                continue;
            }
            // SAFETY: the caller promised that what the root table names is the firmware's memory.
            match unsafe { open(address, signature, mapper) } {
                Err(McfgError::Signature { .. }) => {}
                Err(McfgError::Map(unmapped)) => error = McfgError::Map(unmapped),
                other => return other,
            }
        }
        Err(error)
    }
}

/// Maps a table, and checks signature, length and checksum.
///
/// # Safety
/// The table is in the firmware's memory and does not change.
unsafe fn open<M: Mapper + ?Sized>(physical: u64, signature: [u8; 4], mapper: &mut M) -> Result<Table, McfgError> {
    // SAFETY: the caller promised a table here, and every table has a header.
    let header = unsafe { Memory::map(physical, HEADER, mapper) }?;
    let found: [u8; 4] = header.bytes(0);
    if found != signature {
        return Err(McfgError::Signature { physical, found });
    }
    let length = u32::from_le_bytes(header.bytes(4));
    let whole = usize::try_from(length).ok().filter(|length| (HEADER..=MOST).contains(length));
    let whole = whole.ok_or(McfgError::Length { physical, length })?;
    // SAFETY: as above; the header says that the table has this length.
    let table = unsafe { Memory::map(physical, whole, mapper) }?;
    table.check_sum()?;
    Ok(table)
}
