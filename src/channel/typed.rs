//! Values of one type in, values out: queuing and sampling channels of [`zerocopy`] types.
//!
//! A value goes into shared memory and comes out of it as a copy. Its type has no padding ([`IntoBytes`]), so that nothing but the value
//! leaves this side, and is good whatever its bytes are ([`FromBytes`]): of what a hostile peer wrote, the worst is a wrong value.
//! Fields of a fixed byte order (`zerocopy::little_endian`) make the two ends agree. The channel's `max_len` is the value's size.
//!
//! ```
//! use ivshmem::channel::typed::{TypedReader, TypedReceiver, TypedSender, TypedWriter};
//! use ivshmem::channel::{Attach, Channel, End, Mailbox};
//! use ivshmem::fake::memory::loop_back;
//! use zerocopy::little_endian::{I32, U32};
//! use zerocopy::{FromBytes, Immutable, IntoBytes};
//!
//! #[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable)]
//! #[repr(C)]
//! struct Setpoint {
//!     axis: U32,
//!     micrometres: I32,
//! }
//!
//! const CHANNELS: [Channel; 2] = [
//!     Channel::queuing(End::Second, 8, size_of::<Setpoint>() as u16),
//!     Channel::sampling(End::First, size_of::<Setpoint>() as u16),
//! ];
//! let (first, second) = loop_back(1 << 14)?;
//! let mut machine = Mailbox::new(first, End::First, &CHANNELS)?;
//! let mut operator = Mailbox::new(second, End::Second, &CHANNELS)?;
//! let (mut machine_link, mut channels) = machine.attach(Attach::polled());
//! let mut setpoints = TypedReceiver::<_, Setpoint>::new(channels.receiver(0)?)?;
//! let mut reached = TypedWriter::<_, Setpoint>::new(channels.writer(1)?)?;
//! let (mut operator_link, mut channels) = operator.attach(Attach::polled());
//! let mut wanted = TypedSender::<_, Setpoint>::new(channels.sender(0)?)?;
//! let mut position = TypedReader::<_, Setpoint>::new(channels.reader(1)?)?;
//! while !(operator_link.poll(0).is_up() & machine_link.poll(0).is_up()) {}
//!
//! let setpoint = Setpoint { axis: 2.into(), micrometres: (-1500).into() };
//! wanted.try_send(setpoint)?.ignore();
//! if let Some(setpoint) = setpoints.try_recv()? {
//!     reached.write(setpoint)?.ignore();
//! }
//! assert_eq!(position.read(1)?.value, setpoint);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod error;
mod queuing;
mod sampling;

pub use error::{TypedError, WrongSize};
pub use queuing::{TypedReceiver, TypedSender};
pub use sampling::{TypedReader, TypedSample, TypedWriter};

#[cfg(doc)]
use zerocopy::{FromBytes, IntoBytes};
