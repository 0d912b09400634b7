//! Serves many channels in one call of bounded length: the urgent ones first, and none at another's cost.
//!
//! ```
//! # use ivshmem::{channel::{schedule::*, *}, fake::memory::loop_back};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (first, second) = loop_back(64 * 1024)?;
//! const CHANNELS: [Channel; 2] =
//!     [Channel::queuing(End::Second, 64, 248).priority(9), Channel::queuing(End::Second, 8, 56).priority(0)];
//! # let mut machine = Mailbox::new(first, End::First, &CHANNELS)?;
//! # let mut operator = Mailbox::new(second, End::Second, &CHANNELS)?;
//! # let (mut link, mut channels) = machine.attach(Attach::polled());
//! # let (mut peer, mut peer_channels) = operator.attach(Attach::polled());
//! # let (mut log, mut stop) = (channels.receiver(0)?, channels.receiver(1)?);
//! # while !(link.poll(0).is_up() & peer.poll(0).is_up()) {}
//! # let mut sender = peer_channels.sender(0)?;
//! # for _ in 0..10 { sender.try_send(b"log line")?.ignore(); }
//! # peer_channels.sender(1)?.try_send(b"stop")?.ignore();
//! // Every cycle: `stop` may take 2 of the 6, and goes first; `log` may take 4, however many there are.
//! let (mut lines, mut stops) = ([0; 248], [0; 56]);
//! let (mut logged, mut stopped) = (0, false);
//! let mut log = log.service(4, &mut lines, |line| logged += u32::from(line.is_ok()));
//! let mut stop = stop.service(2, &mut stops, |message| stopped |= message.is_ok());
//! let served = poll_all(&mut [&mut log, &mut stop], 6);
//! drop((log, stop));
//! assert_eq!((served.messages, logged, stopped), (5, 4, true));
//! # Ok(())
//! # }
//! ```

use super::error::RecvError;
use super::receiver::Receiver;
use crate::memory::Memory;

/// What one look at a service came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Step {
    /// A message was handled. There may be more.
    Served,
    /// There was none.
    Idle,
    /// There was an error, which was handled. The service is left alone until the next call.
    Failed,
}

/// Something to be served message by message: a channel, usually.
///
/// `priority` and `share` stay the same during a call of [`poll_all`].
pub trait Service {
    /// Lower is more urgent.
    fn priority(&self) -> u8;

    /// The most messages in one call of [`poll_all`].
    fn share(&self) -> u32;

    /// Handles one message, if there is one. Bounded, whatever the peer does.
    fn serve_one(&mut self) -> Step;
}

/// A service that a closure makes of anything: see [`Receiver::service`] for the usual one.
#[derive(Debug)]
pub struct Serve<F> {
    priority: u8,
    share: u32,
    serve_one: F,
}

impl<F: FnMut() -> Step> Serve<F> {
    /// A service of this priority and share, each step of which is one call of `serve_one`.
    pub const fn new(priority: u8, share: u32, serve_one: F) -> Self {
        Self { priority, share, serve_one }
    }
}

impl<F: FnMut() -> Step> Service for Serve<F> {
    fn priority(&self) -> u8 {
        self.priority
    }

    fn share(&self) -> u32 {
        self.share
    }

    fn serve_one(&mut self) -> Step {
        (self.serve_one)()
    }
}

impl<'a, M: Memory> Receiver<'a, M> {
    /// Serves this channel with its configured [priority](super::Channel::priority): hands each message to `handle`, and each error, which
    /// ends the channel's turn.
    pub fn service<'s, H>(&'s mut self, share: u32, buffer: &'s mut [u8], mut handle: H) -> Serve<impl FnMut() -> Step>
    where
        H: FnMut(Result<&[u8], RecvError>) + 's,
    {
        Serve::new(self.priority(), share, move || match self.try_recv(buffer) {
            Ok(None) => Step::Idle,
            Ok(Some(message)) => {
                handle(Ok(message));
                Step::Served
            }
            Err(error) => {
                handle(Err(error));
                Step::Failed
            }
        })
    }
}

/// What a call of [`poll_all`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Served {
    /// Messages handled.
    pub messages: u32,
    /// Services that answered with an error.
    pub failed: u32,
    /// Services that the budget did not reach.
    pub unreached: u32,
}

/// Serves every service, most urgent first and in the order given among equals, each up to its share, until `budget` messages are handled.
///
/// A budget of the shares' sum or more reaches every service in every call, whatever any channel's peer does: a flooded channel
/// gets its share and no more, a violated one costs one look. With a smaller one the least urgent wait, and
/// [`Served::unreached`] says so.
///
/// At most `budget` + `services.len()` calls of [`Service::serve_one`]: one for each message, and one for each service that finds nothing,
/// or an error. With [`Receiver::service`] each is one [`Receiver::try_recv`].
pub fn poll_all(services: &mut [&mut dyn Service], budget: u32) -> Served {
    let mut served = Served::default();
    let mut next = services.iter().map(|service| service.priority()).min();
    while let Some(priority) = next {
        next = None;
        for service in services.iter_mut() {
            let own = service.priority();
            if own == priority {
                serve(&mut **service, budget, &mut served);
            } else if own > priority && next.is_none_or(|next| own < next) {
                next = Some(own);
            }
        }
    }
    served
}

fn serve(service: &mut dyn Service, budget: u32, served: &mut Served) {
    let left = budget.saturating_sub(served.messages);
    if left == 0 {
        served.unreached = served.unreached.saturating_add(1);
        return;
    }
    for _ in 0..service.share().min(left) {
        match service.serve_one() {
            Step::Served => served.messages = served.messages.saturating_add(1),
            Step::Idle => return,
            Step::Failed => {
                served.failed = served.failed.saturating_add(1);
                return;
            }
        }
    }
}
