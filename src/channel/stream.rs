//! Bytes in, bytes out, over a queuing channel: the traits of `embedded-io` and, with feature `embedded-io-async`, those of that crate.
//!
//! A [`StreamWriter`] makes one message of what a `write` is given, or of as much as a message holds; a [`StreamReader`] gives messages'
//! bytes on in pieces of any size. Writes and reads need not match.
//!
//! - The peer's close is the end of the file, once everything it had sent is read.
//! - Bytes are lost only with an error of kind `ConnectionReset`: the peer restarted, or a half was resynced. The next call goes on with
//!   what comes after.
//! - A blocking call waits a bounded number of times, each as long as the [`Wait`](crate::notify::Wait) allows, and then fails as
//!   `TimedOut`, having done nothing: poll the link, and call again. Nothing that was read or written is in doubt.
//! - An async call waits on an [`Event`](crate::notify::Event), as [`Receiver::recv_async`](super::Receiver::recv_async) and
//!   [`Sender::send_async`](super::Sender::send_async) do: also for a link that is not up.
//!
//! No doorbell announces room in a full channel: who waits for it looks again when its wait or event ends by itself.
//!
//! ```
//! use embedded_io::{Read, Write};
//! use ivshmem::channel::stream::{StreamReader, StreamWriter};
//! use ivshmem::channel::{Attach, COMMAND_RESPONSE, End, Mailbox};
//! use ivshmem::fake::memory::loop_back;
//! # struct NoDoorbell;
//! # impl ivshmem::notify::Doorbell for NoDoorbell {
//! #     type Error = core::convert::Infallible;
//! #     fn ring(&self, _: u16, _: u16) -> Result<(), Self::Error> { Ok(()) }
//! # }
//! # struct NoWait;
//! # impl ivshmem::notify::Wait for NoWait {
//! #     fn count(&self) -> u32 { 0 }
//! #     fn wait(&self, _: u32) -> bool { false }
//! # }
//! # let (doorbell, wait) = (NoDoorbell, NoWait);
//!
//! let (first, second) = loop_back(1 << 16)?;
//! let mut machine = Mailbox::new(first, End::First, &COMMAND_RESPONSE)?;
//! let mut operator = Mailbox::new(second, End::Second, &COMMAND_RESPONSE)?;
//! let (mut machine_link, mut channels) = machine.attach(Attach::polled());
//! // A buffer for one message; up to 10 waits a call.
//! let mut buffer = [0; 248];
//! let mut reader = StreamReader::new(channels.receiver(0)?, &mut buffer, &wait, 10)?;
//! let (mut operator_link, mut channels) = operator.attach(Attach::polled());
//! let mut writer = StreamWriter::new(channels.sender(0)?, &doorbell, &wait, 10);
//! while !(operator_link.poll(0).is_up() & machine_link.poll(0).is_up()) {}
//!
//! writer.write_all(b"G1 X10 ")?;
//! writer.write_all(b"Y20\n")?;
//! let mut line = [0; 11];
//! reader.read_exact(&mut line)?;
//! assert_eq!(&line, b"G1 X10 Y20\n");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod error;
mod reader;
mod writer;

pub use error::StreamError;
pub use reader::StreamReader;
pub use writer::StreamWriter;
