//! Machines, each with a place for a device.

use crate::vm::Machine;

/// How the machine plugs and ejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The slot of a root port: Slot Control of the port in slot 4 of bus 0, in ECAM as SeaBIOS places it.
    Native,
    /// QEMU's ACPI registers, and the first selector's slot.
    Acpi { base: u16, slot: u32 },
}

/// A machine with one place for a device.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub machine: Machine,
    pub name: &'static str,
    pub mechanism: Mechanism,
    /// QEMU's arguments and the image's options.
    pub args: &'static [&'static str],
    pub options: &'static str,
    /// Where `device_add` puts it.
    pub bus: &'static str,
    pub slot: &'static str,
}

const PORT: &str = "pcie-root-port,id=rp,addr=4,chassis=1,slot=1";
/// The port's PCI Express capability, and Slot Control in it.
pub const SLOT_CONTROL: u64 = 0xB000_0000 + (4 << 15) + 0x54 + 0x18;
pub const POWER_OFF: u16 = 0x07C0;

pub const PLACES: [Place; 3] = [
    Place {
        machine: Machine::Q35,
        name: "a root port's own slot",
        mechanism: Mechanism::Native,
        args: &["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off", "-device", PORT],
        options: "",
        bus: "rp",
        slot: "0",
    },
    Place {
        machine: Machine::Q35,
        name: "a root port by ACPI",
        mechanism: Mechanism::Acpi { base: 0x0CC0, slot: 0 },
        args: &["-device", PORT],
        options: "",
        bus: "rp",
        slot: "0",
    },
    Place {
        machine: Machine::Pc,
        name: "the root bus by ACPI",
        mechanism: Mechanism::Acpi { base: 0xAE00, slot: 6 },
        args: &[],
        options: "mem32=c0000000-dfffffff",
        bus: "pci.0",
        slot: "6",
    },
];
