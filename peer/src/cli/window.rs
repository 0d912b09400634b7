//! Which mailbox on which device: its place in the shared memory, and its channels.

use super::{DeviceArguments, Failure};
use ivshmem::channel::Mailbox;
use ivshmem::memory::Memory;
use ivshmem_peer::{Backend, ChannelList, DeviceName, Mapping, Purpose};

/// One mailbox among several in the shared memory.
#[derive(Debug, clap::Args)]
pub(super) struct WindowArguments {
    #[command(flatten)]
    device: DeviceArguments,
    /// Where in the shared memory the mailbox starts, in bytes, a multiple of 8; 0x... for hexadecimal.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = offset)]
    offset: usize,
    /// The mailbox's channels in order, as the other end has them, with commas between: each
    /// <kind>:<sender>:<slots>x<bytes>[:vector=<n>][:protected=<id>], where <kind> is queuing, request, response or sampling
    /// (without <slots>x) and <sender> is first or second.
    #[arg(long, value_name = "LIST", default_value_t)]
    channels: ChannelList,
}

fn offset(text: &str) -> Result<usize, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => usize::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(offset) if offset % 8 == 0 => Ok(offset),
        Ok(_) => Err("not a multiple of 8".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// A device, and the window on it.
pub(super) struct Window {
    pub(super) name: DeviceName,
    pub(super) backend: Box<dyn Backend>,
    pub(super) memory: Mapping,
}

impl WindowArguments {
    pub(super) fn channels(&self) -> &ChannelList {
        &self.channels
    }

    /// Opens the device, and checks that the mailbox fits.
    pub(super) fn open(&self, purpose: Purpose) -> Result<Window, Failure> {
        let (name, backend) = self.device.open(purpose)?;
        let need = Mailbox::<Mapping>::required_len(self.channels.channels())
            .map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        let have = backend.memory().len();
        let memory = match have.checked_sub(self.offset) {
            Some(rest) if rest >= need => backend.memory().window(self.offset, rest & !7),
            _ => {
                let offset = self.offset;
                return Err(Failure::Failed(format!(
                    "{name}: the mailbox needs {need} bytes at offset {offset:#x} and the shared memory has {have}"
                )));
            }
        };
        let memory = memory.map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        Ok(Window { name, backend, memory })
    }
}
