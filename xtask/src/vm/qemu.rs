//! What every QEMU of ours is started with.

use super::Accelerator;
use super::link::Attachment;
use super::process::Launch;
use crate::setup::Hypervisor;

/// The machines that the real-time image runs on: a machine type of QEMU's, and the firmware on it.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Machine {
    /// SeaBIOS, ECAM and ports
    #[default]
    Q35,
    /// SeaBIOS, ports only
    Pc,
    /// q35 with qboot, which assigns no BAR
    Q35Qboot,
    /// ECAM that no table tells of, no ports, and a SeaBIOS without PCI
    Microvm,
    /// The same with qboot
    MicrovmQboot,
}

impl Machine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Q35Qboot => "q35-qboot",
            Self::Microvm => "microvm",
            Self::MicrovmQboot => "microvm-qboot",
        }
    }

    /// QEMU's machine type, with its properties.
    fn machine_type(self) -> &'static str {
        match self {
            Self::Q35 | Self::Q35Qboot => "q35",
            Self::Pc => "pc",
            // Without ACPI it has no PCI Express either.
            Self::Microvm | Self::MicrovmQboot => "microvm,acpi=on,pcie=on",
        }
    }

    /// The firmware, where it is not the machine's own.
    fn firmware(self) -> Option<&'static str> {
        match self {
            Self::Q35 | Self::Pc | Self::Microvm => None,
            Self::Q35Qboot | Self::MicrovmQboot => Some("qboot.rom"),
        }
    }

    /// What an image has to be told: what no firmware or table says, out of QEMU's sources and its `info mtree`.
    pub fn options(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Q35 | Self::Pc => &[],
            Self::Q35Qboot => &[("mem32", "0xc0000000-0xfebfffff"), ("mem64", "0x8000000000-0xffffffffff")],
            Self::Microvm | Self::MicrovmQboot => &[
                ("config", "ecam:0xe0000000"),
                ("mem32", "0xc0000000-0xdfffffff"),
                ("mem64", "0xc000000000-0xffffffffff"),
            ],
        }
    }

    /// What QEMU calls the memory region of its ECAM; a [`Pc`](Self::Pc) has none.
    pub fn ecam(self) -> &'static str {
        match self {
            Self::Q35 | Self::Pc | Self::Q35Qboot => "pcie-mmcfg-mmio",
            Self::Microvm | Self::MicrovmQboot => "pcie-ecam",
        }
    }

    /// The second serial port, for the character device of that name.
    pub fn second_serial_port(self, chardev: &str) -> [String; 2] {
        match self {
            Self::Q35 | Self::Pc | Self::Q35Qboot => ["-serial".to_owned(), format!("chardev:{chardev}")],
            // It makes the first only.
            Self::Microvm | Self::MicrovmQboot => {
                ["-device".to_owned(), format!("isa-serial,chardev={chardev},iobase=0x2f8,irq=3")]
            }
        }
    }
}

/// A real-time image's machine: see [`bare`].
pub fn machine(
    name: &str,
    hypervisor: &Hypervisor,
    machine: Machine,
    accelerator: Accelerator,
    processors: u32,
    mebibytes: u32,
) -> Launch {
    let mut launch = bare(name, hypervisor, machine.machine_type(), accelerator, processors, mebibytes);
    if let Some(firmware) = machine.firmware() {
        launch.tool = launch.tool.args(["-bios", firmware]);
    }
    launch
}

/// A machine with no devices but those that the caller adds, and its first serial port on standard output.
pub fn bare(
    name: &str,
    hypervisor: &Hypervisor,
    machine: &str,
    accelerator: Accelerator,
    processors: u32,
    mebibytes: u32,
) -> Launch {
    let cpu = if accelerator == Accelerator::Kvm { "host" } else { "max" };
    let tool = hypervisor.tool().args(["-M", machine, "-accel", &accelerator.to_string(), "-cpu", cpu]);
    let tool = tool.args(["-smp", &processors.to_string(), "-m", &mebibytes.to_string()]);
    let tool = tool.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    let tool = tool.args(["-chardev", "stdio,id=com1,signal=off", "-serial", "chardev:com1"]);
    Launch::new(name, tool)
}

/// Adds ivshmem devices.
pub fn attach(mut launch: Launch, attachments: Vec<Attachment>) -> Launch {
    for attachment in attachments {
        launch.tool = launch.tool.args(attachment.args);
        launch.inherit.extend(attachment.inherit);
    }
    launch
}

#[cfg(test)]
mod tests {
    use super::Machine;
    use clap::ValueEnum;

    #[test]
    fn a_machine_is_named_as_the_command_line_names_it() {
        for machine in Machine::value_variants() {
            assert_eq!(Machine::from_str(machine.name(), false).as_ref(), Ok(machine));
        }
    }
}
