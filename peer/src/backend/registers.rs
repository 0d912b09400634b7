//! BAR0 of a function that the kernel lets us map: the two registers a peer needs, in 32-bit accesses only.

use crate::{Mapping, OpenError, RingError};
use ivshmem::memory::Memory;
use ivshmem::mmio::Region;

/// Byte offset of IVPosition (QEMU `hw/misc/ivshmem-pci.c`).
const IV_POSITION: usize = 0x8;
/// Byte offset of Doorbell.
const DOORBELL: usize = 0xc;
/// Bytes of BAR0 that are registers on every hypervisor.
pub(crate) const LENGTH: u64 = 256;

/// The device's registers.
#[derive(Debug)]
pub(crate) struct Registers {
    region: Region,
    /// Keeps `region` mapped.
    _mapping: Mapping,
}

impl Registers {
    /// Takes a mapping of BAR0 (or of a file that stands in for it), at least [`LENGTH`] bytes.
    pub(crate) fn new(mapping: Mapping) -> Self {
        let length = mapping.len();
        // SAFETY: the mapping is page-aligned, `length` bytes long and lives in the same value; BAR0 answers
        // 32-bit accesses.
        let region = unsafe { Region::new(mapping.base(), length) };
        Self { region, _mapping: mapping }
    }

    /// The own id, 0 to 65535; anything above is a device that has none yet (revision 0 of QEMU before 2.6).
    pub(crate) fn id(&self) -> Result<u16, OpenError> {
        let value = self
            .region
            .read32(IV_POSITION)
            .map_err(|_| OpenError::ShortBar { index: 0, size: self.region.len() as u64 })?;
        u16::try_from(value).map_err(|_| OpenError::NoId { value })
    }

    /// Writes Doorbell: peer in the upper half, vector in the lower.
    pub(crate) fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        if vector > 255 {
            return Err(RingError::Vector { vector });
        }
        let value = u32::from(peer) << 16 | u32::from(vector);
        self.region.write32(DOORBELL, value).map_err(|_| RingError::NoDoorbell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn registers() -> (std::fs::File, Registers) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(256).unwrap();
        let registers = Registers::new(Mapping::new(&file, 0, 256).unwrap());
        (file, registers)
    }

    #[test]
    fn id_is_iv_position_and_more_than_16_bits_are_an_error_with_the_value() {
        let (file, registers) = registers();
        file.write_all_at(&65535u32.to_le_bytes(), 8).unwrap();
        assert_eq!(registers.id().unwrap(), 65535);
        file.write_all_at(&u32::MAX.to_le_bytes(), 8).unwrap();
        assert!(matches!(registers.id(), Err(OpenError::NoId { value: u32::MAX })));
    }

    #[test]
    fn a_ring_is_one_doorbell_write_and_a_vector_above_255_is_refused() {
        let (file, registers) = registers();
        registers.ring(0xfffe, 255).unwrap();
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0xfe, 0xff]);
        assert_eq!(registers.ring(1, 256), Err(RingError::Vector { vector: 256 }));
    }
}
