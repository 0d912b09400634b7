//! The vector table and the pending bits: aligned 32-bit accesses only.
//!
//! ```text
//! table entry n at 16 n:      +0 Message Address   +4 its upper half   +8 Message Data   +12 Vector Control, bit 0 Mask
//! pending bit n:              bit n % 32 of the word at 4 (n / 32)
//! ```

use super::{Message, MsixError, Placement, placement};
use crate::mmio::{AccessError, Caching, Mapper, Region};

/// The Mask bit of Vector Control.
pub(crate) const MASK: u32 = 1;

/// Both structures, mapped.
#[derive(Clone, Debug)]
pub(super) struct Table {
    entries: Region,
    pending: Region,
}

/// An access outside the table: the vector was not checked. Reported rather than ignored.
fn beyond(vector: u16) -> impl Fn(AccessError) -> MsixError {
    move |_| MsixError::NotInUse { vector, used: 0 }
}

impl Table {
    /// # Safety
    /// The placement is that of an MSI-X table and its pending bits, which nothing else in this image uses.
    pub(super) unsafe fn map(placement: &Placement, mapper: &mut impl Mapper) -> Result<Self, MsixError> {
        let mut map = |physical, length: u64| {
            // SAFETY: the caller promises that these are device registers that nothing else uses.
            let base = unsafe { mapper.map(physical, length, Caching::Uncached) }?;
            // SAFETY: the mapper promises that the range is mapped for ever; it is 8-byte aligned, as the capability's
            // offsets and BAR addresses are, and at most 32 KiB, so its length fits.
            Ok::<_, MsixError>(unsafe { Region::new(base, length as usize) })
        };
        let entries = map(placement.table, placement::table_bytes(placement.vectors))?;
        let pending = map(placement.pending, placement::pending_bytes(placement.vectors))?;
        Ok(Self { entries, pending })
    }

    fn offset(vector: u16, register: usize) -> usize {
        usize::from(vector).saturating_mul(16).saturating_add(register)
    }

    fn read(&self, vector: u16, register: usize) -> Result<u32, MsixError> {
        self.entries.read32(Self::offset(vector, register)).map_err(beyond(vector))
    }

    fn write(&self, vector: u16, register: usize, value: u32) -> Result<(), MsixError> {
        self.entries.write32(Self::offset(vector, register), value).map_err(beyond(vector))
    }

    /// Sets or clears a vector's mask, if it is not so already. The other bits of Vector Control are kept (PCI 3.0, 6.8.2.9).
    pub(super) fn set_mask(&self, vector: u16, masked: bool) -> Result<(), MsixError> {
        let control = self.read(vector, 12)?;
        let wanted = if masked { control | MASK } else { control & !MASK };
        if wanted == control { Ok(()) } else { self.write(vector, 12, wanted) }
    }

    /// The virtual address of a vector's Vector Control, exposed, and what the register holds.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn vector_control(&self, vector: u16) -> Result<(usize, u32), MsixError> {
        let value = self.read(vector, 12)?;
        let address = self.entries.expose(Self::offset(vector, 12)).map_err(beyond(vector))?;
        Ok((address, value))
    }

    /// Enters a message into a masked entry, and reads back that the device stored it.
    pub(super) fn enter(&self, vector: u16, message: Message) -> Result<(), MsixError> {
        self.write(vector, 0, message.address())?;
        self.write(vector, 4, 0)?;
        self.write(vector, 8, message.data())?;
        let stored = self.read(vector, 0)? == message.address() && self.read(vector, 8)? == message.data();
        if stored { Ok(()) } else { Err(MsixError::NotStored { vector }) }
    }

    /// Whether a message waits for the vector to be unmasked.
    pub(super) fn is_pending(&self, vector: u16) -> Result<bool, MsixError> {
        let word = usize::from(vector / 32).saturating_mul(4);
        let bits = self.pending.read32(word).map_err(beyond(vector))?;
        Ok(bits.checked_shr((vector % 32).into()).is_some_and(|bit| bit & 1 == 1))
    }
}
