//! A mapped register window: aligned 32-bit accesses, nothing else.

use core::fmt;
use core::ptr::NonNull;
use volatile::VolatilePtr;

/// Registers of a device, mapped uncached.
///
/// Only aligned 32-bit accesses exist: other sizes ring wrong doorbells on QEMU, are ignored by ACRN and crash
/// Cloud Hypervisor (QEMU `hw/misc/ivshmem-pci.c`, ACRN `hypervisor/dm/vpci/ivshmem.c`).
/// A clone is another handle to the same registers.
#[derive(Clone, Debug)]
pub struct Region {
    base: NonNull<u8>,
    length: usize,
}

/// An access outside the region or not on a multiple of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AccessError {
    /// Byte offset of the access.
    pub offset: usize,
    /// Bytes in the region.
    pub length: usize,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, length } = self;
        write!(f, "offset {offset:#x} is no 32-bit register of a region of {length:#x} bytes")
    }
}

impl core::error::Error for AccessError {}

// SAFETY: the region is a device's registers, reachable from every CPU; each access is one volatile 32-bit
// cycle through a raw pointer, so no Rust reference or ownership is tied to a thread.
unsafe impl Send for Region {}
// SAFETY: as above; a device orders concurrent single-cycle accesses itself.
unsafe impl Sync for Region {}

impl Region {
    /// # Safety
    /// `base` is 4-byte aligned, and `length` bytes from it are mapped device registers (or memory that stands
    /// in for them) for as long as the region is used; 32-bit reads and writes there do not fault.
    pub const unsafe fn new(base: NonNull<u8>, length: usize) -> Self {
        Self { base, length }
    }

    /// Bytes in the region.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether the region has no byte.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Reads the register at byte `offset`: one 32-bit cycle.
    pub fn read32(&self, offset: usize) -> Result<u32, AccessError> {
        let register = self.register(offset)?;
        #[cfg(any(test, feature = "fake"))]
        if let Some(value) = crate::fake::registers::read32(register.as_raw_ptr().addr().get()) {
            return Ok(value);
        }
        Ok(register.read())
    }

    /// Writes the register at byte `offset`: one 32-bit cycle.
    pub fn write32(&self, offset: usize, value: u32) -> Result<(), AccessError> {
        let register = self.register(offset)?;
        #[cfg(any(test, feature = "fake"))]
        if crate::fake::registers::write32(register.as_raw_ptr().addr().get(), value) {
            return Ok(());
        }
        register.write(value);
        Ok(())
    }

    /// The address of the register at byte `offset`, for a handler that makes its region anew from it.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn expose(&self, offset: usize) -> Result<usize, AccessError> {
        self.register(offset).map(|register| register.as_raw_ptr().expose_provenance().get())
    }

    fn register(&self, offset: usize) -> Result<VolatilePtr<'_, u32>, AccessError> {
        let error = AccessError { offset, length: self.length };
        let end = offset.checked_add(4).ok_or(error)?;
        if end > self.length || !offset.is_multiple_of(4) {
            return Err(error);
        }
        // SAFETY: offset + 4 <= length, so the sum stays in the mapped range that `new` was promised.
        let register = unsafe { self.base.byte_add(offset) }.cast::<u32>();
        // SAFETY: `new` was promised that the range is mapped and that 32-bit accesses do not fault; base and
        // offset are multiples of 4, so the pointer is aligned; device registers are in no Rust allocation.
        Ok(unsafe { VolatilePtr::new(register) })
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Region {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Region {{ base: {=usize:#x}, length: {=usize:#x} }}", self.base.addr().get(), self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_region(test: impl FnOnce(&Region)) {
        let mut words = [0x1111_1111u32, 0x2222_2222, 0x3333_3333];
        // SAFETY: the array is aligned, outlives the region and is not touched while it exists.
        let region = unsafe { Region::new(NonNull::from(&mut words).cast(), 12) };
        test(&region);
    }

    #[test]
    fn reads_and_writes_whole_aligned_registers() {
        with_region(|region| {
            region.write32(4, 7).unwrap();
            assert_eq!(region.read32(4), Ok(7));
            assert_eq!(region.read32(8), Ok(0x3333_3333));
        });
    }

    #[test]
    fn has_the_length_it_was_made_with() {
        with_region(|region| assert_eq!((region.len(), region.is_empty()), (12, false)));
        // SAFETY: no byte of it is ever accessed.
        let empty = unsafe { Region::new(NonNull::dangling(), 0) };
        assert!(empty.is_empty());
        let error = empty.read32(0).unwrap_err();
        assert_eq!(std::format!("{error}"), "offset 0x0 is no 32-bit register of a region of 0x0 bytes");
    }

    #[test]
    fn refuses_what_lies_outside_or_is_not_aligned() {
        with_region(|region| {
            for offset in [1, 2, 3, 9, 12, usize::MAX, usize::MAX - 3] {
                assert_eq!(region.read32(offset), Err(AccessError { offset, length: 12 }));
                assert_eq!(region.write32(offset, 0), Err(AccessError { offset, length: 12 }));
            }
        });
    }
}
