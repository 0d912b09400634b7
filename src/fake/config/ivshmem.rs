//! The ivshmem function as QEMU 7.2 shows it before firmware: no BAR assigned, Command 0.

use super::Function;

/// Bytes behind BAR0.
const REGISTERS: u32 = 256;

impl Function {
    /// `ivshmem-plain` with `size` bytes of shared memory, a power of two from 16.
    #[must_use]
    pub fn ivshmem_plain(size: u64) -> Self {
        Self::new(0x1AF4, 0x1110)
            .class(0x05_0000, 1)
            .subsystem(0x1AF4, 0x1100)
            .memory32(0, 0, REGISTERS)
            .memory64(2, 0, size, true)
    }

    /// `ivshmem-doorbell` with `size` bytes of shared memory and 1 to 2048 vectors.
    #[must_use]
    pub fn ivshmem_doorbell(size: u64, vectors: u16) -> Self {
        // hw/pci/msix.c, msix_init_exclusive_bar: the table first, pending bits behind it from 0x800 on.
        let count = u32::from(vectors);
        let pending = (count * 16).max(0x800);
        let bar1 = (pending + count.div_ceil(64) * 8).next_power_of_two().max(0x1000);
        Self::ivshmem_plain(size).memory32(1, 0, bar1).msix(0x40, vectors, (1, 0), (1, pending))
    }
}
