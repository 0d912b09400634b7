//! The ivshmem function as QEMU 7.2 shows it before firmware: no BAR assigned, Command 0. And those that are like it, but no device of
//! this driver's.

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

    /// `ivshmem` of QEMU up to 2.5: one kind of device, of revision 0.
    #[must_use]
    pub fn ivshmem_legacy(size: u64, vectors: u16) -> Self {
        Self::ivshmem_doorbell(size, vectors).class(0x05_0000, 0)
    }

    /// kvmtool's `hw/pci-shmem.c`: registers in I/O ports, memory below 4 GiB, two vectors, class FF. What kvmtool assigned, it shows.
    ///
    /// That BAR1's 0x1010 bytes show as the next power of two, and the addresses, are assumptions.
    #[must_use]
    pub fn kvmtool_shmem(size: u32) -> Self {
        Self::new(0x1AF4, 0x1110)
            .class(0xFF_0000, 0)
            .command(3)
            .io(0, 0x6200, 256)
            .memory32(1, 0xD200_0000, 0x2000)
            .memory32(2, 0xC800_0000, size)
            .msix(0x40, 2, (1, 0), (1, 0x1000))
    }

    /// Jailhouse's device of version 2 (`hypervisor/ivshmem.c`) with this protocol: no BAR assigned, no BAR2, a vendor capability that
    /// says where the memory is.
    #[must_use]
    pub fn jailhouse_ivshmem(protocol: u16, base: u64) -> Self {
        // Length, privileged control; then state table, read-write section and output section of a page each, and where they are.
        let mut body = [0x20, 0].to_vec();
        body.extend(4096_u32.to_le_bytes());
        for value in [4096, 4096, base] {
            body.extend(value.to_le_bytes());
        }
        Self::new(0x110A, 0x4106)
            .class(0xFF_0000 | u32::from(protocol), 0)
            .subsystem(0x110A, 0x4106)
            .memory32(0, 0, 4096)
            .memory32(1, 0, 4096)
            .capability(0x40, 0x09, &body)
            .msix(0x60, 1, (1, 0), (1, 0x800))
    }
}
