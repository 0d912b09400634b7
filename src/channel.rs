//! The mailbox protocol.

mod board;
mod config;
mod error;
mod layout;
mod link;
mod mailbox;
mod notice;
mod receiver;
mod sender;
mod snapshot;
#[cfg(test)]
mod tests;
pub mod wire;

pub use config::{COMMAND_RESPONSE, Channel, ConfigError, End, Kind, MAX_CHANNELS, digest};
pub use error::{PeerViolation, RecvError, SendError};
pub use link::{Link, LinkState, LinkStats};
pub use mailbox::{Attach, Channels, Mailbox, MailboxError, TakeError};
pub use notice::Notice;
pub use receiver::{Receiver, ReceiverStats};
pub use sender::{Sender, SenderStats};
pub use snapshot::{ChannelLines, LinkLine, Snapshot};
