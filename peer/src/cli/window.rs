//! Which mailbox on which device: its place in the shared memory, and its channels.

use super::{DeviceArguments, Failure};
use ivshmem::channel::wire::kind;
use ivshmem::channel::{Channel, End, Kind, Mailbox, TakeError};
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

    /// The channel of this number, if it is of this kind and `from` sends it.
    ///
    /// To be asked before the device is opened: attaching ends the other end's session, and a wrong command line must not.
    pub(super) fn channel(&self, index: usize, kind: Kind, from: End) -> Result<&Channel, Failure> {
        let channels = self.channels.channels();
        let wrong = match channels.get(index) {
            None => TakeError::NoSuchChannel { channel: index, channels: channels.len() },
            Some(channel) if channel.kind() != kind => {
                let protected = channel.data_id().is_some();
                TakeError::WrongKind { channel: index, kind: channel.kind(), protected }
            }
            Some(channel) if channel.from() != from => {
                TakeError::WrongDirection { channel: index, from: channel.from() }
            }
            Some(channel) => return Ok(channel),
        };
        Err(Failure::Usage(wrong.to_string()))
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

/// Whether a message of the user's fits into the channel, beside what the channel's kind and protection need for themselves. To be
/// asked before the device is opened, too.
pub(super) fn check_length(channel: &Channel, message: &str) -> Result<(), Failure> {
    let head = match (channel.kind(), channel.data_id()) {
        (Kind::Request | Kind::Response, _) => kind::HEAD,
        (_, Some(_)) => kind::PROTECTION,
        (_, None) => 0,
    };
    match (message.len(), usize::from(channel.max_len().saturating_sub(head))) {
        (len, max) if len > max => Err(Failure::Usage(format!("{len} bytes, a message has at most {max}"))),
        _ => Ok(()),
    }
}
