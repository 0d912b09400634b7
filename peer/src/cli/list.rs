//! `ivshmem-peer list`.

use super::{Failure, say};
use ivshmem_peer::Sysfs;

/// List the ivshmem devices of this machine, one a line, with BARs, kind and id.
///
/// The id and the kind are `-` for users other than root, to whom the kernel does not show them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo ivshmem-peer list")]
pub(super) struct List {}

impl List {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let devices = Sysfs::default().devices()?;
        for device in &devices {
            say(format_args!("list: {device}"))?;
        }
        say(format_args!("list: end devices={}", devices.len()))
    }
}
