//! What differs between hypervisors, in one table.
//!
//! The rest of the driver asks this table and never for a hypervisor by name. A device that no row fits gets [`UNKNOWN`], which
//! promises nothing.

/// What one kind of ivshmem device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Quirks {
    /// Hypervisor and back end.
    pub name: &'static str,
    /// Subsystem Vendor ID by which the row is known.
    pub subsystem_vendor: u16,
    /// Whether the row is for devices with an MSI-X capability.
    pub msix: bool,
    /// Vectors that a doorbell can name.
    ///
    /// QEMU looks at the lowest 8 bits only, so that 0x101 rings vector 1; ACRN drops 8 and above.
    pub doorbell_vectors: u16,
    /// Whether pending bits can be 1. ACRN's always read 0.
    pub pending_bits: bool,
    /// Whether a doorbell for a masked vector is delivered on unmasking. ACRN drops it.
    pub keeps_masked_doorbells: bool,
    /// Whether interrupts are lost without Bus Master (QEMU's TCG). The driver sets it everywhere.
    pub needs_bus_master: bool,
    /// Whether IVPosition may read 0 though the id is another: lost when firmware sized BAR0 (ACRN up to v3.2).
    ///
    /// [`Options::id_override`](super::Options::id_override) gives the id then.
    pub id_may_be_lost: bool,
    /// Whether the id is the same after a restart of the VM. QEMU's server gives a new one.
    pub id_survives_restart: bool,
    /// Whether Subsystem ID is a region's id, by which to select it (ACRN from v3.3).
    pub subsystem_is_region: bool,
    /// Whether BAR2 may be moved. ACRN's device model maps it once.
    pub memory_may_move: bool,
}

/// A device of no known hypervisor.
pub const UNKNOWN: Quirks = Quirks {
    name: "unknown",
    subsystem_vendor: 0,
    msix: false,
    doorbell_vectors: 256,
    pending_bits: false,
    keeps_masked_doorbells: false,
    needs_bus_master: true,
    id_may_be_lost: true,
    id_survives_restart: false,
    subsystem_is_region: false,
    memory_may_move: false,
};

/// One row for each kind of device 1af4:1110, told apart by Subsystem Vendor ID and the MSI-X capability.
#[rustfmt::skip]
pub const TABLE: [Quirks; 6] = [
    // QEMU hw/misc/ivshmem-pci.c, observed on 7.2.
    Quirks {
        name: "QEMU ivshmem-doorbell", subsystem_vendor: 0x1AF4, msix: true, doorbell_vectors: 256,
        pending_bits: true, keeps_masked_doorbells: true, needs_bus_master: true, id_may_be_lost: false,
        id_survives_restart: false, subsystem_is_region: false, memory_may_move: true,
    },
    Quirks {
        name: "QEMU ivshmem-plain", subsystem_vendor: 0x1AF4, msix: false, doorbell_vectors: 0,
        pending_bits: false, keeps_masked_doorbells: false, needs_bus_master: false, id_may_be_lost: false,
        id_survives_restart: false, subsystem_is_region: false, memory_may_move: true,
    },
    // ACRN hypervisor/dm/vpci/ivshmem.c and vmsix.c from v3.3: Subsystem 8086:region id, IVPosition kept.
    Quirks {
        name: "ACRN hypervisor", subsystem_vendor: 0x8086, msix: true, doorbell_vectors: 8,
        pending_bits: false, keeps_masked_doorbells: false, needs_bus_master: false, id_may_be_lost: false,
        id_survives_restart: true, subsystem_is_region: true, memory_may_move: true,
    },
    // ACRN devicemodel/hw/pci/ivshmem.c from v3.3: no interrupts at all, BAR1 reads all-ones.
    Quirks {
        name: "ACRN device model", subsystem_vendor: 0x8086, msix: false, doorbell_vectors: 0,
        pending_bits: false, keeps_masked_doorbells: false, needs_bus_master: false, id_may_be_lost: false,
        id_survives_restart: false, subsystem_is_region: true, memory_may_move: false,
    },
    // ACRN up to v3.2: Subsystem 0:0, IVPosition zeroed when BAR0 is sized or rewritten. StratoVirt devices/src/misc/ivshmem.rs, whose
    // vectors nobody can ring: IVPosition is 0 and Doorbell does nothing.
    Quirks {
        name: "ACRN hypervisor up to v3.2, or StratoVirt with vectors", subsystem_vendor: 0, msix: true, doorbell_vectors: 8,
        pending_bits: false, keeps_masked_doorbells: false, needs_bus_master: false, id_may_be_lost: true,
        id_survives_restart: true, subsystem_is_region: false, memory_may_move: true,
    },
    // Cloud Hypervisor devices/src/ivshmem.rs (reads of 8 or 16 bits end it), ACRN's device model up to v3.2, StratoVirt without vectors.
    Quirks {
        name: "Cloud Hypervisor, StratoVirt, or ACRN device model up to v3.2", subsystem_vendor: 0, msix: false, doorbell_vectors: 0,
        pending_bits: false, keeps_masked_doorbells: false, needs_bus_master: false, id_may_be_lost: false,
        id_survives_restart: false, subsystem_is_region: false, memory_may_move: false,
    },
];

/// The row for a device, or [`UNKNOWN`].
pub fn of(subsystem_vendor: u16, msix: bool) -> &'static Quirks {
    TABLE.iter().find(|row| row.subsystem_vendor == subsystem_vendor && row.msix == msix).unwrap_or(&UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_fit_the_same_device() {
        for row in &TABLE {
            assert_eq!(of(row.subsystem_vendor, row.msix), row);
        }
        assert_eq!(of(0x1234, true), &UNKNOWN);
    }

    #[test]
    fn only_a_device_with_msix_can_be_rung() {
        for row in &TABLE {
            assert_eq!(row.doorbell_vectors > 0, row.msix, "{}", row.name);
            assert!(row.doorbell_vectors <= 256);
            assert!(row.msix || !row.pending_bits);
        }
    }
}
