//! What every QEMU of ours is started with.

use super::Accelerator;
use super::link::Attachment;
use super::process::Launch;
use crate::setup::Hypervisor;
use crate::tool::Tool;

/// QEMU's machine types that the real-time image runs on.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Machine {
    #[default]
    Q35,
    Pc,
}

impl Machine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
        }
    }
}

/// A machine with no devices but those that the caller adds, and its first serial port on standard output.
pub fn bare(name: &str, machine: &str, accelerator: Accelerator, processors: u32, mebibytes: u32) -> Launch {
    let cpu = if accelerator == Accelerator::Kvm { "host" } else { "max" };
    let tool = Tool::new(Hypervisor::PROGRAM).args(["-M", machine, "-accel", &accelerator.to_string(), "-cpu", cpu]);
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
