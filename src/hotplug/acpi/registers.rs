//! QEMU's registers (docs/specs/acpi_pci_hotplug, hw/acpi/pcihp.c).

/// The block of six 32-bit registers through which QEMU's ACPI tables plug and eject PCI functions, at byte offsets from its start.
///
/// ```text
/// 0x00 PCI_UP_BASE   slots that something was plugged into; reading clears it     0x04 PCI_DOWN_BASE   slots to be let go
/// 0x08 PCI_EJ_BASE   written: eject these slots; read: features                   0x0C PCI_RMV_BASE    slots that can be ejected
/// 0x10 PCI_SEL_BASE  the bus that the others are about                            0x14 acpi-index, not used here
/// ```
pub trait Registers {
    /// One 32-bit read.
    fn read32(&self, offset: u16) -> u32;

    /// One 32-bit write.
    fn write32(&self, offset: u16, value: u32);
}

pub(super) const UP: u16 = 0x00;
pub(super) const DOWN: u16 = 0x04;
pub(super) const EJECT: u16 = 0x08;
pub(super) const REMOVABLE: u16 = 0x0C;
pub(super) const SELECT: u16 = 0x10;

impl<T: Registers + ?Sized> Registers for &T {
    fn read32(&self, offset: u16) -> u32 {
        (**self).read32(offset)
    }

    fn write32(&self, offset: u16, value: u32) {
        (**self).write32(offset, value);
    }
}

/// The registers as I/O ports.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ports {
    base: u16,
}

#[cfg(target_arch = "x86_64")]
impl Ports {
    /// # Safety
    /// - The code runs with I/O privilege (ring 0).
    /// - The registers are at `base`, or nothing is: see [`base`](super::base).
    /// - Nothing else uses them while this value is used: no interpreter of the ACPI tables runs.
    pub const unsafe fn new(base: u16) -> Self {
        Self { base }
    }
}

#[cfg(target_arch = "x86_64")]
impl Registers for Ports {
    fn read32(&self, offset: u16) -> u32 {
        // SAFETY: `new` was promised I/O privilege and that these ports are this mechanism's alone.
        unsafe { x86_64::structures::port::PortRead::read_from_port(self.base.wrapping_add(offset)) }
    }

    fn write32(&self, offset: u16, value: u32) {
        // SAFETY: as for `read32`.
        unsafe { x86_64::structures::port::PortWrite::write_to_port(self.base.wrapping_add(offset), value) }
    }
}
