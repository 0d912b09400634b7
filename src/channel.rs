//! The mailbox: bounded message channels between two ends that distrust each other, over one window of shared memory.
//!
//! Both ends name the same [`Channel`]s and say which [`End`] they are; nothing in shared memory ever tells them where or how
//! large anything is. [`Mailbox::attach`] publishes a new epoch and gives the [`Link`] and the halves:
//!
//! - [`Link::poll`], every cycle: is the peer there, is it the same as before, do we agree? No doorbell is needed for it.
//! - [`Sender::try_send`] never touches the device. It answers with a [`Notice`]: ring it, or ignore it if the peer polls.
//! - [`Receiver::try_recv`] for a loop that polls; [`Receiver::recv`] spins, arms, sleeps on a [`Wait`](crate::notify::Wait) for a bounded time.
//! - For tasks and for loops without interrupts, the forms under [Waiting](#waiting).
//! - [`schedule::poll_all`] serves many channels in one call of bounded length, by priority.
//!
//! A peer that restarts is reported once by each half ([`SendError::PeerRestarted`], [`RecvError::PeerRestarted`]), and nothing of its
//! earlier life is ever delivered. A peer that writes what no honest one can closes that channel ([`PeerViolation`]) until `resync`;
//! other channels go on.
//!
//! Every call makes at most the number of shared-memory accesses that its documentation gives, whatever the memory
//! contains, and reads each word at most once; one that waits, tries again or serves several messages does so once for each look, and
//! believes nothing of an earlier one. The halves are `Send` and follow the link through private atomics, so that they may live on other cores.
//!
//! A deadlock one can write: waiting in [`Receiver::recv`] for an answer to a message whose [`Notice`] was ignored although the peer
//! sleeps. It ends with the peer's poll period.
//!
//! # Waiting
//! | form | for | waits by |
//! |---|---|---|
//! | `try_x` | a loop that polls | not at all |
//! | [`Receiver::recv`] | a loop that sleeps | spinning, then a [`Wait`](crate::notify::Wait) of bounded length |
//! | `x_within` | a loop without interrupts | an `embedded_hal::delay::DelayNs` between looks, up to a limit |
//! | `poll_x` | a future of one's own | an [`Event`](crate::notify::Event) that wakes its waker |
//! | `x_async`, or `x` where no other form is called so | a task | `poll_x` until it is ready |
//!
//! With x: [`recv`](Receiver::recv_async), [`send`](Sender::send_async), [`changed`](Reader::changed), and of requests
//! [`completed`](request::Requester::completed) and [`next`](request::Responder::next_async).
//!
//! No wake-up is lost: `poll_x` looks, registers its waker, arms, and looks again. A doorbell before the registration was for what the second
//! look finds; one after it wakes. The same holds for an interrupt on the core that registers: neither waits for the other.
//!
//! No doorbell tells that a link came up or down, that a peer restarted, that there is room in a full channel, or that a request's budget
//! has passed. And a doorbell may be lost. So wake the event now and then (on x86_64 `interrupt::Vector::wake`, from a timer's tick), at least
//! once a poll period; a task that is woken in vain looks once. A task that polls the link wakes the others when its state changes.
//!
//! A link that is not up is waited for like a message. Every other error is handed on as `try_x` gives it, at once: a task that
//! ignores `Closed` or `Violated` and calls again never lets others run. Nor does one whose channel the peer keeps full, as nothing
//! has to be waited for: a task that shares its executor yields after some number of messages.
//!
//! A future may be dropped at any await: a message is received, or sent, by the very poll that is ready with it, and by no other. What a
//! dropped one leaves behind is at most a wish for one doorbell and a waker, which the next one replaces.
//!
//! The words are written down in `docs/wire-format.md`, for peers in other languages.

mod ahead;
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
