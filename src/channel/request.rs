//! Requests and their responses, over a pair of channels: who asked is who is answered, within a budget, and nothing is done twice.
//!
//! A [`Requester`] has up to `N` requests open at once. Each one started ends exactly once, through [`Requester::poll`]: answered,
//! refused, expired before it was begun, timed out, cancelled, or ended by a restart, a resync or a close ([`Failure`]). A response to a
//! request that has ended is dropped and counted; one that no request can have is a
//! [`PeerViolation`](super::PeerViolation), as is a request that was given before.
//!
//! A budget is relative: each side counts it on its own clock, the requester from the start, the responder from when it takes
//! the request out of the channel. So neither needs the other's clock, and a responder that looks every cycle begins
//! nothing that is late by more than a cycle.
//!
//! A [`Responder`] answers when it likes, by [`Token`]. A [`Server`] hands requests to a handler, up to a budget per cycle,
//! and skips what was cancelled or has expired while it waited. Neither gives a request out twice.
//!
//! ```
//! use ivshmem::channel::request::{Answer, Completion, Polled, Server};
//! use ivshmem::channel::{Attach, Channel, End, Mailbox};
//! use ivshmem::fake::memory::loop_back;
//!
//! // Requests from Second, 8 at most under way, of 40 bytes; their responses, of as many.
//! const CHANNELS: [Channel; 2] = [Channel::request(End::Second, 8, 56), Channel::response(End::First, 8, 56)];
//! const READ_REGISTER: u32 = 1;
//!
//! let (first, second) = loop_back(1 << 14)?;
//! let mut machine = Mailbox::new(first, End::First, &CHANNELS)?;
//! let mut operator = Mailbox::new(second, End::Second, &CHANNELS)?;
//! let (mut machine_link, mut channels) = machine.attach(Attach::polled());
//! // 4 requests at most wait here; the clock given to `serve` ticks in microseconds.
//! let mut server = Server::<_, 4, 40>::new(channels.responder(0, 1, 1)?)?;
//! let (mut operator_link, mut channels) = operator.attach(Attach::polled());
//! let mut requester = channels.requester::<4>(0, 1, 1)?;
//! while !(operator_link.poll(0).is_up() & machine_link.poll(0).is_up()) {}
//!
//! // To be done within 500 us. A peer that polls need not be rung.
//! let (id, notice) = requester.start(1000, READ_REGISTER, &[7], 500)?;
//! notice.ignore();
//!
//! // The machine's cycle: at most 2 requests.
//! let served = server.serve(2, 99, &mut [0; 40], |call, result| match call.operation {
//!     READ_REGISTER => {
//!         result[..4].copy_from_slice(&(u32::from(call.args[0]) * 3).to_le_bytes());
//!         Answer::Done(4)
//!     }
//!     _ => Answer::Refused(0),
//! })?;
//! served.notice.ignore();
//!
//! let mut result = [0; 40];
//! assert_eq!(requester.poll(1200, &mut result)?, Some(Polled::Ended(Completion { id, outcome: Ok(4) })));
//! assert_eq!(result[..4], 21u32.to_le_bytes());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod error;
mod halves;
mod head;
mod outcome;
mod requester;
mod responder;
mod server;
mod stats;
mod table;
#[cfg(test)]
mod tests;
mod tokens;

pub use error::RequestError;
pub use head::{RequestId, Status};
pub use outcome::{Completion, Failure, Polled};
pub use requester::Requester;
pub use responder::{Incoming, Request, Responder};
pub use server::{Answer, Call, Served, Server};
pub use stats::{RequesterStats, ResponderStats};
pub use tokens::Token;
