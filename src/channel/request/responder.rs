//! The end that answers.

use super::error::RequestError;
use super::halves::{Halves, Standing};
use super::head::{HEAD, Order, RequestId, Status, head, words};
use super::stats::ResponderStats;
use super::tokens::{Token, Tokens};
use crate::channel::channels::{Channels, TakeError};
use crate::channel::error::{PeerViolation, RecvError, SendError};
use crate::channel::notice::Notice;
use crate::channel::receiver::{Receiver, ReceiverStats};
use crate::channel::sender::{Sender, SenderStats};
use crate::channel::wire::kind;
use crate::memory::Memory;

/// A request to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Request {
    /// Answers it, once.
    pub token: Token,
    /// What to do: the requester's number for it.
    pub operation: u32,
    /// Bytes of arguments in the caller's buffer.
    pub len: usize,
    /// When its budget has passed, in this side's ticks, counted from when it was taken; `None` if it has none.
    pub deadline: Option<u64>,
}

/// One message from the requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Incoming {
    /// A request.
    Request(Request),
    /// The requester has cancelled the request of this token, which is void from now on.
    Cancelled(Token),
    /// The requester has cancelled a request that is answered already: dropped and counted.
    Late,
}

/// Takes requests from one channel and sends the responses on another, with up to `N` requests (1 to 65536) taken and not yet answered.
#[derive(Debug)]
pub struct Responder<'a, M, const N: usize> {
    halves: Halves<'a, M>,
    ticks_per_microsecond: u64,
    tokens: Tokens<N>,
    /// The generation of the session's last request.
    last: Option<u32>,
    stats: ResponderStats,
}

impl<'a, M: Memory> Channels<'a, M> {
    /// This end as responder, on a request channel that the other end sends and a response channel that it sends itself.
    ///
    /// `ticks_per_microsecond` says how fast the clock runs that the responder's calls are given.
    pub fn responder<const N: usize>(
        &mut self,
        request: usize,
        response: usize,
        ticks_per_microsecond: u64,
    ) -> Result<Responder<'a, M, N>, TakeError> {
        let (requests, responses) = self.take_pair(request, response, self.mailbox.end.other())?;
        let sender = Sender::new(self.mailbox, response, responses);
        let receiver = Receiver::new(self.mailbox, request, requests);
        Ok(Responder {
            halves: Halves::new(self.mailbox, sender, receiver),
            ticks_per_microsecond,
            tokens: Tokens::new(),
            last: None,
            stats: ResponderStats::default(),
        })
    }
}

impl<M: Memory, const N: usize> Responder<'_, M, N> {
    /// Takes the next message, if there is one; a request's arguments are then in `buffer`.
    ///
    /// No request is given twice. None is taken while `N` are open or the response channel could not hold the answer to one
    /// more, so that [`respond`](Self::respond) always finds room; cancellations that come first in the queue still are. Call it
    /// as often as a cycle allows, until it answers `None`: a peer that floods decides when that is. A buffer of [`max_args`](Self::max_args) bytes takes any arguments.
    ///
    /// At most 4 loads, 1 store and the request's words, and two looks at up to `N` private entries; the first call of a
    /// session also stores 5 words and one for each slot, and so does one that answers [`RequestError::PeerResynced`].
    pub fn next(&mut self, now: u64, buffer: &mut [u8]) -> Result<Option<Incoming>, RequestError> {
        self.follow()?;
        let room = self.halves.sender.room().map_err(|error| self.send_failed(error))?;
        let vacant = self.tokens.vacant().filter(|_| (room as usize) > self.tokens.open());
        if vacant.is_none() {
            self.stats.held_back = self.stats.held_back.saturating_add(1);
        }
        let only = if vacant.is_some() { None } else { Some(kind::CANCEL) };
        let mut head = [0; HEAD];
        let taken = self.halves.receiver.try_take_kind(only, &mut head, buffer);
        let Some(parts) = taken.map_err(|error| self.recv_failed(error))? else { return Ok(None) };
        let (correlation, order) = words(&head);
        let foreign = PeerViolation::Correlation { found: correlation };
        let Some(id) = RequestId::from_word(correlation) else { return Err(self.violated(foreign)) };
        let Some(token) = vacant.filter(|_| parts.kind == kind::REQUEST) else { return Ok(Some(self.cancel(id))) };
        // Generations count requests: one that is not later than the last was given here before.
        if self.last.is_some_and(|last| !(1..1 << 31).contains(&id.generation().wrapping_sub(last))) {
            return Err(self.violated(foreign));
        }
        self.last = Some(id.generation());
        self.tokens.take(token, id);
        self.stats.taken = self.stats.taken.saturating_add(1);
        let order = Order::from_word(order);
        let deadline = order.deadline(now, self.ticks_per_microsecond);
        Ok(Some(Incoming::Request(Request { token, operation: order.operation, len: parts.len, deadline })))
    }

    /// Answers a request, with at most [`max_result`](Self::max_result) bytes, and says whether a doorbell is due.
    ///
    /// A token answers once: after it, and after its request was cancelled, its session ended or its channel was restarted,
    /// [`RequestError::NotOpen`]. With [`RequestError::TooLong`], [`RequestError::PeerResynced`] and [`RequestError::Violated`] it stays good.
    /// At most 2 loads, 1 store and the response's words; a new session and a restart as for [`next`](Self::next).
    pub fn respond(&mut self, token: Token, status: Status, bytes: &[u8]) -> Result<Notice, RequestError> {
        self.publish(token, status, bytes)?;
        Ok(self.notice())
    }

    /// Answers a request without asking for a doorbell: follow a batch of these by one [`notice`](Self::notice).
    ///
    /// As [`respond`](Self::respond), with 1 load less.
    pub fn publish(&mut self, token: Token, status: Status, bytes: &[u8]) -> Result<(), RequestError> {
        let max = self.max_result();
        if bytes.len() > usize::from(max) {
            return Err(RequestError::TooLong { len: bytes.len(), max });
        }
        self.follow()?;
        let Some(id) = self.tokens.get(token) else {
            self.stats.void = self.stats.void.saturating_add(1);
            return Err(RequestError::NotOpen);
        };
        let published = self.halves.sender.try_publish_parts(kind::RESPONSE, &head(id, status.to_word()), bytes);
        published.map_err(|error| self.send_failed(error))?;
        self.tokens.free(token);
        let count = match status {
            Status::Done => &mut self.stats.done,
            Status::Expired => &mut self.stats.expired,
            Status::Refused => &mut self.stats.refused,
        };
        *count = count.saturating_add(1);
        Ok(())
    }

    /// Whether a doorbell is due for what was answered since the last notice. At most 1 load.
    pub fn notice(&mut self) -> Notice {
        self.halves.sender.notice()
    }

    /// Asks for one doorbell for the next request, and says whether there is one already, or news. If so, call [`next`](Self::next) before
    /// sleeping; if it then takes nothing, no further answer could be kept. At most 2 loads and 2 stores.
    #[must_use = "sleeping although a request is there waits for a doorbell that was never due"]
    pub fn arm(&mut self) -> bool {
        self.halves.receiver.arm()
    }

    /// Whether this token can still answer: its request was neither answered nor cancelled, and its session goes on, as far as
    /// [`next`](Self::next) has seen.
    pub fn is_open(&self, token: Token) -> bool {
        self.tokens.get(token).is_some()
    }

    /// Requests taken and not yet answered: at most `N`.
    pub const fn open(&self) -> usize {
        self.tokens.open()
    }

    /// The most bytes of arguments.
    pub const fn max_args(&self) -> u16 {
        self.halves.receiver.max_len().saturating_sub(kind::HEAD)
    }

    /// The most bytes of a result.
    pub const fn max_result(&self) -> u16 {
        self.halves.sender.max_len().saturating_sub(kind::HEAD)
    }

    /// What this responder has counted.
    pub const fn stats(&self) -> ResponderStats {
        self.stats
    }

    /// What the halves of the response and of the request channel have counted.
    pub const fn channel_stats(&self) -> (SenderStats, ReceiverStats) {
        (self.halves.sender.stats(), self.halves.receiver.stats())
    }

    /// Restarts both channels after a violation. Requests and responses in flight are lost, every token is void, and the
    /// requester ends what it has open. Returns how many tokens there were. At most 2 loads, 5 stores, and one for each slot.
    pub fn resync(&mut self) -> usize {
        self.halves.receiver.resync();
        self.halves.sender.resync();
        self.abandon()
    }

    /// Gives up one request, which was done but cannot be answered.
    pub(super) fn abandon_one(&mut self, token: Token) {
        if self.is_open(token) {
            self.tokens.free(token);
            self.stats.abandoned = self.stats.abandoned.saturating_add(1);
        }
    }

    /// The index of the token that the next request gets.
    pub(super) fn vacant_index(&self) -> Option<usize> {
        self.tokens.vacant().map(Token::index)
    }

    /// Whether an answer could be sent now, without any access to shared memory.
    pub(super) fn can_respond(&mut self) -> Result<(), RequestError> {
        self.follow()?;
        self.halves.sender.ready().map_err(|error| self.send_failed(error))
    }

    fn follow(&mut self) -> Result<(), RequestError> {
        match self.halves.follow() {
            Standing::Up => Ok(()),
            Standing::Began => Err(self.restarted()),
            Standing::Down(error) => {
                self.abandon();
                Err(error)
            }
            // Nobody is left to answer to, and so nothing is done any more.
            Standing::Left => {
                self.abandon();
                Err(RequestError::Closed)
            }
        }
    }

    fn restarted(&mut self) -> RequestError {
        self.last = None;
        RequestError::PeerRestarted { open: self.abandon() }
    }

    fn abandon(&mut self) -> usize {
        let open = self.tokens.free_all();
        self.stats.abandoned = self.stats.abandoned.saturating_add(open as u64);
        open
    }

    #[cold]
    fn send_failed(&mut self, error: SendError) -> RequestError {
        match error {
            SendError::PeerRestarted { .. } => self.overtaken(),
            error => RequestError::from_send(error, 0),
        }
    }

    #[cold]
    fn recv_failed(&mut self, error: RecvError) -> RequestError {
        match error {
            RecvError::PeerRestarted { .. } => self.overtaken(),
            // Every request taken so far came by the ring that the requester gave up, and it gave them up with it.
            RecvError::PeerResynced { .. } => RequestError::from_recv(error, self.abandon()),
            error => RequestError::from_recv(error, 0),
        }
    }

    /// The session began, on another core, after this call had looked for it.
    fn overtaken(&mut self) -> RequestError {
        self.follow().err().unwrap_or_else(|| self.restarted())
    }

    fn cancel(&mut self, id: RequestId) -> Incoming {
        match self.tokens.find(id) {
            Some(token) => {
                self.tokens.free(token);
                self.stats.cancelled = self.stats.cancelled.saturating_add(1);
                Incoming::Cancelled(token)
            }
            None => {
                self.stats.late = self.stats.late.saturating_add(1);
                Incoming::Late
            }
        }
    }

    fn violated(&mut self, violation: PeerViolation) -> RequestError {
        RequestError::from_recv(self.halves.receiver.violated(violation), 0)
    }
}
