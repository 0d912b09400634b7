//! Which accelerator runs the VMs: KVM only where a guest really ran in it.

use super::{Launch, Session};
use crate::progress::note;
use crate::setup::{Hypervisor, Linux};
use anyhow::Result;
use std::fmt;
use std::fs::OpenOptions;

/// What executes the guests' instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    Kvm,
    Tcg,
}

impl Accelerator {
    /// Finds the best that works, and says which and why. A probe guest is booted only where KVM looks possible.
    pub fn choose(linux: Option<&Linux>) -> Result<Self> {
        let reason = match refusal() {
            Some(reason) => reason,
            None => match linux.map(boots_in_kvm) {
                Some(Ok(true)) => {
                    note("accelerator: KVM, in which a probe guest ran");
                    return Ok(Self::Kvm);
                }
                Some(Ok(false)) => "a probe guest did not run in KVM".to_owned(),
                Some(Err(error)) => format!("the probe guest could not be tried: {error:#}"),
                None => "there is no kernel to try KVM with".to_owned(),
            },
        };
        note(format!("accelerator: TCG, because {reason}"));
        Ok(Self::Tcg)
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

fn refusal() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    if !flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm") {
        return Some("the processor shows neither vmx nor svm".to_owned());
    }
    let opened = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    opened.err().map(|error| format!("/dev/kvm cannot be opened: {error}"))
}

/// Boots the Linux VM's kernel with no root file system: that it panics for the lack of one is the proof that it ran.
fn boots_in_kvm(linux: &Linux) -> Result<bool> {
    let mut session = Session::new(false)?;
    let tool =
        Hypervisor::default().tool().args(["-M", "q35", "-accel", "kvm", "-cpu", "host", "-smp", "2", "-m", "256"]);
    let tool = tool.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]);
    let tool = tool.arg("-kernel").arg(&linux.kernel).args(["-append", "console=ttyS0 panic=-1"]);
    let guest = session.start(Launch::new("kvm-probe", tool))?;
    guest.wait()?;
    Ok(guest.log().tail(usize::MAX).iter().any(|line| line.contains("Kernel panic")))
}
