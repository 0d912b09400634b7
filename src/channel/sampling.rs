//! Sampling channels: the latest whole value of something, for any number of readers.
//!
//! The writer never waits, for a reader or for anything else. A reader writes nothing, so that there may be several: the
//! mailbox's other end takes a [`Reader`] from its [`Channels`](super::Channels), and ends in further VMs take theirs from a
//! [`Subscriber`] to the writer's section. A value is whole or it is not returned, also when its writer dies halfway: then
//! the value before it stays.
//!
//! ```
//! use ivshmem::channel::{Attach, Channel, End, Mailbox, Subscriber, Validity};
//! # let (memory, other) = ivshmem::fake::memory::loop_back(1 << 16).unwrap();
//! const STATE: [Channel; 1] = [Channel::sampling(End::First, 56)];
//!
//! // The machine's side: nobody needs to be there.
//! let mut mailbox = Mailbox::new(memory, End::First, &STATE)?;
//! let (mut link, mut channels) = mailbox.attach(Attach::polled());
//! let mut speed = channels.writer(0)?;
//! link.poll(0);
//! speed.write(b"1450 rpm")?.ignore();
//!
//! // One of many that look on. Times are in ticks of its own clock.
//! let mut subscriber = Subscriber::new(other, End::First, &STATE)?;
//! let (mut watch, mut values) = subscriber.subscribe(0);
//! let mut speed = values.reader(0)?.refresh_period(100);
//! assert!(watch.poll(1000).is_up());
//! let mut buffer = [0; 56];
//! let sample = speed.read(&mut buffer, 1001)?;
//! assert_eq!((sample.bytes, sample.validity, sample.fresh), (&b"1450 rpm"[..], Validity::Valid, true));
//! let sample = speed.read(&mut buffer, 1102)?;
//! assert_eq!((sample.validity, sample.age.at_least), (Validity::Stale, 101));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod reader;
mod sample;
mod subscriber;
mod writer;

pub use error::{ReadError, WriteError};
pub use reader::{Reader, ReaderStats};
#[cfg(feature = "protection")]
pub(super) use sample::Taken;
pub use sample::{Age, Sample, Validity};
pub use subscriber::{Subscriber, Values, Watch};
pub use writer::{Writer, WriterStats};
