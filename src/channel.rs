//! The mailbox: bounded message channels between two ends that distrust each other, over one window of shared memory.
//!
//! Both ends name the same [`Channel`]s and say which [`End`] they are; nothing in shared memory ever tells them where or how
//! large anything is. [`Mailbox::attach`] publishes a new epoch and gives the [`Link`] and the halves:
//!
//! - [`Link::poll`], every cycle: is the peer there, is it the same as before, do we agree? No doorbell is needed for it.
//! - [`Sender::try_send`] never touches the device. It answers with a [`Notice`]: ring it, or ignore it if the peer polls.
//! - [`Receiver::try_recv`] for a loop that polls; [`Receiver::recv`] spins, arms, sleeps on a [`Wait`](crate::notify::Wait) for a bounded time.
//! - For tasks, [`Receiver::recv_async`], [`Sender::send_async`] and [`Reader::changed`], woken by an [`Event`](crate::notify::Event), and under
//!   them `poll_recv`, `poll_send`, `poll_changed`; for loops without interrupts `recv_within`, `send_within`, `changed_within`, with a `DelayNs`.
//! - [`schedule::poll_all`] serves many channels in one call of bounded length, by priority.
//!
//! A peer that restarts is reported once by each half ([`SendError::PeerRestarted`], [`RecvError::PeerRestarted`]), and nothing of its
//! earlier life is ever delivered. A peer that writes what no honest one can closes that channel ([`PeerViolation`]) until `resync`;
//! other channels go on.
//!
//! Every call makes at most the number of shared-memory accesses that its documentation gives, whatever the memory
//! contains, and reads each word at most once. The halves are `Send` and follow the link through private atomics, so that they may live on other cores.
//!
//! A deadlock one can write: waiting in [`Receiver::recv`] for an answer to a message whose [`Notice`] was ignored although the peer
//! sleeps. It ends with the peer's poll period.
//!
//! The words are written down in `docs/wire-format.md`, for peers in other languages.

mod board;
mod channels;
mod config;
mod digest;
mod error;
mod layout;
mod link;
mod mailbox;
mod notice;
#[cfg(feature = "protection")]
pub mod protection;
mod receiver;
pub mod request;
mod sampling;
pub mod schedule;
mod sender;
mod snapshot;
#[cfg(feature = "embedded-io")]
pub mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "zerocopy")]
pub mod typed;
mod waiting;
pub mod wire;
mod wish;

pub use channels::{Channels, TakeError};
pub use config::{COMMAND_RESPONSE, Channel, ConfigError, End, Kind, MAX_CHANNELS};
pub use digest::digest;
pub use error::{PeerViolation, RecvError, SendError};
pub use link::{Link, LinkState, LinkStats};
pub use mailbox::{Attach, Mailbox, MailboxError};
pub use notice::Notice;
pub use receiver::{Receiver, ReceiverStats};
pub use sampling::{
    Age, ReadError, Reader, ReaderStats, Sample, Subscriber, Validity, Values, Watch, WriteError, Writer, WriterStats,
};
pub use sender::{Sender, SenderStats};
pub use snapshot::{ChannelLines, LinkLine, Snapshot};
