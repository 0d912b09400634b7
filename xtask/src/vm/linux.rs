//! The general-purpose VM: Debian's kernel, an initramfs of ours, and `ivshmem-peer` in it.

use super::initramfs;
use super::link::{Attachment, Mode};
use super::operator::Talk;
use super::process::Process;
use super::qmp::Qmp;
use super::{Accelerator, Session, qemu};
use crate::setup::{Hypervisor, Linux};
use anyhow::{Result, bail};

/// The kernel's command line. VFIO needs the IOMMU; a panic ends the VM. The kernel would panic if too few of its timer's ticks came while it
/// looks, which says nothing but that the host had no time for an emulated machine.
const KERNEL: &str = "console=ttyS0 quiet panic=-1 intel_iommu=on no_timer_check";

/// Boots the VM, whose `/init` runs `ivshmem-peer` with these arguments; `@` in them stands for the function's address.
pub fn start(
    session: &mut Session,
    linux: &Linux,
    accelerator: Accelerator,
    mode: Mode,
    attachments: Vec<Attachment>,
    arguments: &[String],
    talk: Talk,
) -> Result<(Process, Qmp)> {
    let archive = initramfs::make(linux)?;
    let backend = match mode {
        Mode::Doorbell => "vfio",
        Mode::Plain => "sysfs",
    };
    if let Some(word) = arguments.iter().find(|word| word.contains(char::is_whitespace)) {
        bail!("the kernel's command line cannot carry `{word}`");
    }
    let mut launch = qemu::bare("linux", &Hypervisor::default(), "q35,kernel-irqchip=split", accelerator, 2, 256);
    launch.tool = launch.tool.args(["-device", "intel-iommu,intremap=on"]);
    launch.tool = launch.tool.arg("-kernel").arg(&linux.kernel).arg("-initrd").arg(&archive);
    launch.tool = launch.tool.arg("-append").arg(format!("{KERNEL} -- {backend} {}", arguments.join(" ")));
    (launch.echo, launch.input) = talk.with_vm();
    let (ours, theirs, args) = Qmp::pair()?;
    launch.tool = launch.tool.args(args);
    launch.inherit.push((theirs, String::new()));
    let process = session.start(qemu::attach(launch, attachments))?;
    Ok((process, Qmp::open(ours)?))
}

/// Waits until the VM has powered off after its peer succeeded.
pub fn finish(vm: Process) -> Result<()> {
    let (_, end) = vm.log().wait_line(0, "linux: exit ")?;
    let status = vm.wait()?;
    if end.text("status")? != "0" || !status.success() {
        bail!("the Linux VM ended with {status} after `{}`", end.line());
    }
    Ok(())
}
