//! QEMU: the one that is installed, else Debian's; and a newer one beside it.

use super::apt::{self, Backports};
use crate::progress::note;
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A `qemu-system-x86_64` that has both ivshmem devices.
#[derive(Debug, Clone)]
pub struct Hypervisor {
    program: PathBuf,
    /// Where it finds firmware, if not in its own place.
    data: Vec<PathBuf>,
    version: String,
}

/// A release of QEMU's that can be had beside the installed one.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian's backport of QEMU 10, whose TCG has x2APIC
    #[value(name = "10")]
    Ten,
}

/// The name by which PATH finds it.
const PROGRAM: &str = "qemu-system-x86_64";
/// What QEMU 10 consists of, as far as it is used; its libraries are those of the installed one.
const PACKAGES: [&str; 4] = ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"];
/// Where firmware is in these packages.
const DATA: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

impl Hypervisor {
    /// The installed one; installs it first if need be.
    pub fn find() -> Result<Self> {
        let installed = Self::default();
        if installed.tool().arg("--version").output().is_err() {
            apt::install(&["qemu-system-x86"])?;
        }
        installed.checked()
    }

    /// A newer one: the installed one if it is new enough, else Debian's backport, unpacked under `target/`.
    pub fn release(release: Release) -> Result<Self> {
        let Release::Ten = release;
        let installed = Self::find()?;
        if installed.major().is_some_and(|major| major >= 10) {
            return Ok(installed);
        }
        let home = workspace::cache().join("qemu-10");
        if !home.exists() {
            note("QEMU 10 is not under target/setup yet");
            // Made beside its place and moved there whole, so that a stop half-way leaves nothing that looks finished.
            let room = tempfile::tempdir_in(workspace::cache())?;
            let unpacked = room.path().join("unpacked");
            fs::create_dir(&unpacked)?;
            Backports::open(room.path())?.unpack(&PACKAGES, &unpacked)?;
            fs::rename(&unpacked, &home)?;
        }
        Self::unpacked(&home).checked()
    }

    fn unpacked(home: &Path) -> Self {
        let data = DATA.iter().map(|place| home.join(place)).collect();
        Self { program: home.join("usr/bin").join(PROGRAM), data, version: String::new() }
    }

    /// The program, with what it needs to find its firmware.
    pub fn tool(&self) -> Tool {
        let data = self.data.iter().flat_map(|dir| [OsString::from("-L"), dir.clone().into_os_string()]);
        Tool::new(&self.program).args(data)
    }

    /// The first part of its version.
    pub fn major(&self) -> Option<u32> {
        let (_, version) = self.version.split_once("version ")?;
        version.split('.').next()?.parse().ok()
    }

    /// Asks it what it is.
    fn checked(mut self) -> Result<Self> {
        let text = self.tool().arg("--version").output()?;
        for device in ["ivshmem-plain", "ivshmem-doorbell"] {
            // Not of all devices: that would load every module, which the unpacked one has not got.
            let help = self.tool().args(["-device", &format!("{device},help")]).output()?;
            if !help.contains(&format!("{device} options")) {
                bail!("{} has no device {device}: it was built without it", self.program.display());
            }
        }
        self.version = text.lines().next().context("QEMU told no version")?.to_owned();
        Ok(self)
    }
}

/// The one that PATH finds, unasked.
impl Default for Hypervisor {
    fn default() -> Self {
        Self { program: PROGRAM.into(), data: Vec::new(), version: String::new() }
    }
}

impl fmt::Display for Hypervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_the_first_number_of_the_version() {
        for (version, major) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", Some(7)),
            ("QEMU emulator version 10.0.2", Some(10)),
            ("", None),
        ] {
            assert_eq!(Hypervisor { version: version.to_owned(), ..Default::default() }.major(), major, "{version}");
        }
    }

    #[test]
    fn an_unpacked_one_finds_its_firmware_in_its_own_place() {
        let tool = Hypervisor::unpacked(Path::new("/x")).tool().to_string();
        assert_eq!(tool, "/x/usr/bin/qemu-system-x86_64 -L /x/usr/share/qemu -L /x/usr/share/seabios");
        assert_eq!(Hypervisor::default().tool().to_string(), "qemu-system-x86_64");
    }
}
