#![doc = "The general-purpose side of an ivshmem mailbox, on Linux without a kernel module of its own."]
//!
//! [`open`] gives a [`Backend`]: shared memory to attach a mailbox to, a doorbell to ring with, and [`Vector`]s to
//! wait on. [`Sysfs`] finds the devices. The mailbox itself is [`ivshmem::channel`], the same code as in the driver.
//!
//! Reading order: `backend.rs` (the trait and the four ways), `mapping.rs` and `vector.rs` (what they hand out),
//! `sysfs.rs` (finding), `backend/vfio.rs` (interrupts on a stock kernel).
//!
//! ```no_run
//! use ivshmem::channel::End;
//! use ivshmem_peer::{Exchange, MAX_MESSAGE, Purpose, Sysfs};
//!
//! // The only ivshmem device of this machine, with interrupts where it has them.
//! let backend = ivshmem_peer::open(None, Purpose::Exchange, &Sysfs::default())?;
//! let mut mailbox = ivshmem_peer::mailbox(&*backend, End::Second)?;
//! let mut exchange = Exchange::attach(&mut mailbox, &*backend, End::Second);
//! while !exchange.poll().is_up() {
//!     exchange.rest();
//! }
//! exchange.try_send(b"ping hello")?;
//! let mut buffer = [0; MAX_MESSAGE];
//! let response = loop {
//!     exchange.poll();
//!     if let Some(response) = exchange.recv(&mut buffer)? {
//!         break response.to_vec();
//!     }
//! };
//! assert_eq!(response, b"pong hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg(target_os = "linux")]
#![warn(missing_docs)]

mod attachment;
mod backend;
mod bus_error;
mod channels;
pub mod chaos;
mod error;
mod exchange;
mod mapping;
mod name;
mod sysfs;
mod vector;

pub use attachment::{Attachment, STALE_AFTER};
pub use backend::{Backend, Kind, Purpose, RingError, open, window};
pub use bus_error::{BUS_ERROR_EXIT_CODE, exit_on_bus_error};
pub use channels::{ChannelList, ChannelListError};
pub use error::OpenError;
pub use exchange::{Exchange, ExchangeStats, LONGEST_SLEEP, MAX_MESSAGE, mailbox};
pub use mapping::Mapping;
pub use name::{DeviceName, NameError};
pub use sysfs::{Bar, Device, Sysfs};
pub use vector::{Bounded, Vector, poll_until};
