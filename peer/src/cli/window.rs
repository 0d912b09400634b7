//! Which mailbox on which device: its place in the shared memory, and its channels.

use super::mailbox::{end_name, kind_name};
use super::{DeviceArguments, Failure, stop};
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
    match parsed {
        Ok(offset) if offset % 8 == 0 => Ok(offset),
        Ok(_) => Err("not a multiple of 8".into()),
        Err(error) => Err(error.to_string()),
    }
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

    /// The channel of this number, if it is of this kind and `from` sends it; without a number, the first such one.
    ///
    /// To be asked before the device is opened: attaching ends the other end's session, and a wrong command line must not.
    pub(super) fn pick(&self, index: Option<usize>, kind: Kind, from: End) -> Result<Picked<'_>, Failure> {
        let channels = self.channels.channels();
        let Some(index) = index.or_else(|| channels.iter().position(|c| c.kind() == kind && c.from() == from)) else {
            let (kind, from) = (kind_name(kind), end_name(from));
            return Err(Failure::Usage(format!("the mailbox has no {kind} channel that the {from} end sends")));
        };
        let wrong = match channels.get(index) {
            None => TakeError::NoSuchChannel { channel: index, channels: channels.len() },
            Some(channel) if channel.kind() != kind => {
                let protected = channel.data_id().is_some();
                TakeError::WrongKind { channel: index, kind: channel.kind(), protected }
            }
            Some(channel) if channel.from() != from => {
                TakeError::WrongDirection { channel: index, from: channel.from() }
            }
            Some(channel) => return Ok(Picked { index, channel }),
        };
        Err(Failure::Usage(wrong.to_string()))
    }

    /// Opens the device and `end`'s mailbox on it; nothing in shared memory changes before that is attached.
    pub(super) fn mailbox(&self, end: End) -> Result<Opened<'_>, Failure> {
        stop::catch()?;
        let (name, backend) = self.open(Purpose::Exchange)?;
        let mailbox = Mailbox::new(backend.memory().clone(), end, self.channels.channels())
            .map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        Ok(Opened { name, backend, mailbox })
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

/// A device, and one end's mailbox on it.
pub(super) struct Opened<'l> {
    pub(super) name: DeviceName,
    pub(super) backend: Box<dyn Backend>,
    pub(super) mailbox: Mailbox<'l, Mapping>,
}

/// A channel of the list that is what a command needs.
#[derive(Clone, Copy)]
pub(super) struct Picked<'l> {
    pub(super) index: usize,
    pub(super) channel: &'l Channel,
}

impl Picked<'_> {
    pub(super) fn is_protected(&self) -> bool {
        self.channel.data_id().is_some()
    }

    /// Whether a message of the user's fits, beside what the channel's kind and protection need for themselves. To be asked before
    /// the device is opened, too.
    pub(super) fn check_length(&self, message: &str) -> Result<(), Failure> {
        let head = match self.channel.kind() {
            Kind::Request | Kind::Response => kind::HEAD,
            _ if self.is_protected() => kind::PROTECTION,
            _ => 0,
        };
        match (message.len(), usize::from(self.channel.max_len().saturating_sub(head))) {
            (len, max) if len > max => Err(Failure::Usage(format!("{len} bytes, a message has at most {max}"))),
            _ => Ok(()),
        }
    }

    /// For commands that know no protected channels.
    pub(super) fn unprotected(self) -> Result<Self, Failure> {
        let Self { index, channel } = self;
        match self.is_protected() {
            true => {
                let wrong = TakeError::WrongKind { channel: index, kind: channel.kind(), protected: true };
                Err(Failure::Usage(wrong.to_string()))
            }
            false => Ok(self),
        }
    }
}
