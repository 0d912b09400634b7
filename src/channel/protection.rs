//! Protection of a channel's messages end to end, shaped after AUTOSAR E2E: the receiver learns of each message whether
//! it is the right one, whole, of the right sender, and in time.
//!
//! Against accidents, not against the peer: whoever writes the memory can compute a CRC too. `docs/protection.md` says
//! which threat is met by what, and claims conformity to no standard.
//!
//! A channel configured with [`Channel::protected`](super::Channel::protected) hands out a [`ProtectedSender`] and a [`ProtectedReceiver`], or
//! a [`ProtectedWriter`] and [`ProtectedReader`]s if it is a sampling channel.
//! Each message carries a [`Head`]: data id, source, length, sequence, session and a CRC over these and the payload. The
//! [`Checker`] holds it against what is [`Expected`] and gives every message a [`Status`]; [`State`] sums the last ones up.
//! A message is handed out whatever its status: the user decides.
//!
//! ```
//! # use ivshmem::{channel::{Attach, Channel, End, Mailbox, protection::*}, fake::memory::loop_back};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (first, second) = loop_back(16 * 1024)?;
//! // 32 bytes of payload beside the head's 24: one cache line.
//! const CHANNELS: [Channel; 1] = [Channel::queuing(End::Second, 8, 56).protected(0x51)];
//! let expected = Expected {
//!     source: 7,
//!     max_lost: 2,
//!     validity: 10,
//!     window: Window { last: 8, enough: 2, tolerated: 1 },
//! };
//! let mut machine = Mailbox::new(first, End::First, &CHANNELS)?;
//! let mut operator = Mailbox::new(second, End::Second, &CHANNELS)?;
//! let (mut link, mut channels) = machine.attach(Attach::polled());
//! let (mut peer, mut peer_channels) = operator.attach(Attach::polled());
//! let mut receiver = channels.protected_receiver(0, expected, 0)?;
//! let mut sender = peer_channels.protected_sender(0, 7)?;
//! while !(link.poll(0).is_up() & peer.poll(0).is_up()) {}
//!
//! sender.try_send(b"set-speed 1500")?.ignore();
//! let mut buffer = [0; 32];
//! let checked = receiver.try_recv(&mut buffer, 1)?.ok_or("nothing came")?;
//! assert_eq!((checked.bytes, checked.status), (&b"set-speed 1500"[..], Status::Ok));
//! assert_eq!(receiver.state(1), State::Init); // one good message of the two that are enough
//! # Ok(())
//! # }
//! ```

mod age;
mod checked;
mod checker;
mod head;
mod queuing;
mod sampling;
mod status;
mod window;

pub use checked::Checked;
pub use checker::{Arrival, Checker, Expected};
pub use head::{Corrupt, Head, Words};
pub use queuing::{ProtectedReceiver, ProtectedSender};
pub use sampling::{ProtectedReader, ProtectedWriter};
pub use status::{Status, StatusCounts};
pub use window::{State, Window};
