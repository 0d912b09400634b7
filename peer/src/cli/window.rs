//! Which mailbox on which device: its place in the shared memory, and its channels.

use super::{DeviceArguments, Failure};
use ivshmem::channel::Mailbox;
use ivshmem::memory::Memory;
use ivshmem_peer::{Backend, ChannelList, DeviceName, Mapping, Purpose};

/// A device, and where on it a mailbox begins.
#[derive(Debug, clap::Args)]
pub(super) struct WindowArguments {
    #[command(flatten)]
    device: DeviceArguments,
    /// Where the mailbox begins in the shared memory, in bytes, a multiple of 8; 0x... for hexadecimal.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = offset)]
    offset: usize,
}

fn offset(text: &str) -> Result<usize, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => usize::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

impl WindowArguments {
    /// Opens the device; its memory is that from the offset on.
    pub(super) fn open(&self, purpose: Purpose) -> Result<(DeviceName, Box<dyn Backend>), Failure> {
        let (name, backend) = self.device.open(purpose)?;
        let backend =
            ivshmem_peer::window(backend, self.offset).map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        Ok((name, backend))
    }
}

/// A mailbox of any channels.
#[derive(Debug, clap::Args)]
pub(super) struct ChannelArguments {
    #[command(flatten)]
    window: WindowArguments,
    /// The mailbox's channels in order, as the other end has them, with commas between: each
    /// <kind>:<sender>:<slots>x<bytes>[:vector=<n>][:protected=<id>], where <kind> is queuing, request, response or sampling
    /// (without <slots>x) and <sender> is first or second.
    #[arg(long, value_name = "LIST", default_value_t)]
    channels: ChannelList,
}

impl ChannelArguments {
    pub(super) fn channels(&self) -> &ChannelList {
        &self.channels
    }

    /// Opens the device, and checks that the mailbox fits.
    pub(super) fn open(&self, purpose: Purpose) -> Result<(DeviceName, Box<dyn Backend>), Failure> {
        let (name, backend) = self.window.open(purpose)?;
        let need = Mailbox::<Mapping>::required_len(self.channels.channels())
            .map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        match backend.memory().len() {
            have if have < need => {
                let offset = self.window.offset;
                Err(Failure::Failed(format!(
                    "{name}: the mailbox needs {need} bytes of shared memory and behind offset {offset:#x} there are {have}"
                )))
            }
            _ => Ok((name, backend)),
        }
    }
}
