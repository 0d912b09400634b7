//! QEMU: the one that is installed, else Debian's.

use super::apt;
use crate::tool::Tool;
use anyhow::{Context, Result, bail};
use std::fmt;

/// A `qemu-system-x86_64` that has both ivshmem devices.
#[derive(Debug, Clone)]
pub struct Hypervisor {
    version: String,
}

impl Hypervisor {
    /// The program's name: QEMU is taken from PATH.
    pub const PROGRAM: &str = "qemu-system-x86_64";

    pub fn find() -> Result<Self> {
        let version = Tool::new(Self::PROGRAM).arg("--version");
        let text = match version.output() {
            Ok(text) => text,
            Err(_) => {
                apt::install(&["qemu-system-x86"])?;
                version.output()?
            }
        };
        let devices = Tool::new(Self::PROGRAM).args(["-device", "help"]).output()?;
        for device in ["ivshmem-plain", "ivshmem-doorbell"] {
            if !devices.contains(&format!("\"{device}\"")) {
                bail!("{} has no device {device}: it was built without it", Self::PROGRAM);
            }
        }
        let version = text.lines().next().context("QEMU told no version")?.to_owned();
        Ok(Self { version })
    }
}

impl fmt::Display for Hypervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.version)
    }
}
