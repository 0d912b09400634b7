//! The end that asks.

use super::error::RequestError;
use super::halves::{Halves, Standing};
use super::head::{HEAD, Order, RequestId, Status, head, words};
use super::outcome::{Completion, Failure, Polled};
use super::stats::RequesterStats;
use super::table::{Match, Table};
use crate::channel::channels::{Channels, TakeError};
use crate::channel::error::{PeerViolation, RecvError, SendError};
use crate::channel::notice::Notice;
use crate::channel::receiver::{Receiver, ReceiverStats};
use crate::channel::sender::{Sender, SenderStats};
use crate::channel::wire::kind;
use crate::memory::Memory;

/// Makes requests on one channel and takes the responses from another, with up to `N` requests (1 to 65536) open at once.
#[derive(Debug)]
pub struct Requester<'a, M, const N: usize> {
    halves: Halves<'a, M>,
    ticks_per_microsecond: u64,
    table: Table<N>,
    /// This side restarted the response channel, and the responder was not seen to follow.
    resyncing: bool,
    stats: RequesterStats,
}

impl<'a, M: Memory> Channels<'a, M> {
    /// This end as requester, on a request channel that it sends and a response channel that the other end sends.
    ///
    /// `ticks_per_microsecond` says how fast the clock runs that the requester's calls are given.
    pub fn requester<const N: usize>(
        &mut self,
        request: usize,
        response: usize,
        ticks_per_microsecond: u64,
    ) -> Result<Requester<'a, M, N>, TakeError> {
        let (requests, responses) = self.take_pair(request, response, self.mailbox.end)?;
        let sender = Sender::new(self.mailbox, request, requests);
        let receiver = Receiver::new(self.mailbox, response, responses);
        Ok(Requester {
            halves: Halves::new(self.mailbox, sender, receiver),
            ticks_per_microsecond,
            table: Table::new(),
            resyncing: false,
            stats: RequesterStats::default(),
        })
    }
}

impl<M: Memory, const N: usize> Requester<'_, M, N> {
    /// Sends a request to do `operation` with `args`, of at most [`max_args`](Self::max_args) bytes, and names it.
    ///
    /// After `budget` microseconds from `now` (0: never) it ends as [`Failure::TimedOut`]. The responder counts the same
    /// budget from when it takes the request, and does not begin once it has passed: no common clock is needed.
    ///
    /// At most 2 loads, 1 store and the request's words, and a look at up to `N` private entries; the first call of a
    /// session also stores 5 words and one for each slot, and so does one that answers [`RequestError::PeerResynced`]. No error leaves a request behind.
    pub fn start(
        &mut self,
        now: u64,
        operation: u32,
        args: &[u8],
        budget: u32,
    ) -> Result<(RequestId, Notice), RequestError> {
        let max = self.max_args();
        if args.len() > usize::from(max) {
            return Err(RequestError::TooLong { len: args.len(), max });
        }
        self.follow()?;
        if self.resyncing && !self.halves.receiver.has_joined() {
            // A response to this request could still be put into the ring given up, and be lost without a word.
            return Err(RequestError::Resyncing);
        }
        self.resyncing = false;
        let id = self.table.vacant().ok_or(RequestError::TooManyOpen { capacity: N })?;
        let order = Order { budget, operation };
        let published = self.halves.sender.try_publish_parts(kind::REQUEST, &head(id, order.to_word()), args);
        published.map_err(|error| self.send_failed(error))?;
        self.table.start(id, order.deadline(now, self.ticks_per_microsecond));
        self.stats.started = self.stats.started.saturating_add(1);
        Ok((id, self.halves.sender.notice()))
    }

    /// Ends a request and tells the responder, which drops it unless it is done already. [`poll`](Self::poll) then gives its end.
    ///
    /// The responder is not told if the channel is full: that is counted, and no error. But for
    /// [`RequestError::NotOpen`], the request has ended whatever the answer.
    /// At most 2 loads, 1 store and 2 words; a new session and a restart as for [`start`](Self::start).
    pub fn cancel(&mut self, id: RequestId) -> Result<Notice, RequestError> {
        self.follow()?;
        if !self.table.end(id, Failure::Cancelled) {
            return Err(RequestError::NotOpen);
        }
        match self.halves.sender.try_publish_parts(kind::CANCEL, &head(id, 0), &[]) {
            Ok(()) => Ok(self.halves.sender.notice()),
            Err(SendError::Full) => {
                self.stats.untold = self.stats.untold.saturating_add(1);
                Ok(Notice::NONE)
            }
            Err(error) => Err(self.send_failed(error)),
        }
    }

    /// Gives the end of one request, if there is one to tell of; its result, if it has one, is then in `buffer`.
    ///
    /// Takes at most one message, and a response that is there counts although its budget has passed. Call it as often as a
    /// cycle allows, until it answers `None`: a peer that floods decides when that is. A buffer of [`max_result`](Self::max_result) bytes takes any result.
    /// At most 4 loads, 1 store and the response's words, and two looks at up to `N` private entries; a new session and a restart as for [`start`](Self::start).
    pub fn poll(&mut self, now: u64, buffer: &mut [u8]) -> Result<Option<Polled>, RequestError> {
        let standing = self.follow();
        if let Err(error @ RequestError::PeerRestarted { .. }) = standing {
            return Err(error);
        }
        if let Some(completion) = self.table.take_ended() {
            return Ok(Some(self.ended(completion)));
        }
        standing?;
        // A restart of the request channel is only found by looking, and requests in it are lost without a word.
        let looked = if self.table.open() > 0 { self.halves.sender.room().err() } else { None };
        if let Some(error @ (SendError::PeerRestarted { .. } | SendError::PeerResynced { .. })) = looked {
            return Err(self.send_failed(error));
        }
        let mut head = [0; HEAD];
        let taken = self.halves.receiver.try_take_parts(&mut head, buffer);
        let (late, error) = match taken {
            Ok(Some(parts)) => match self.response(head, parts.len) {
                Ok(Polled::Late) => (true, None),
                polled => return polled.map(Some),
            },
            Ok(None) => (false, looked.map(|error| RequestError::from_send(error, 0))),
            Err(error @ (RecvError::PeerRestarted { .. } | RecvError::PeerResynced { .. })) => {
                return Err(self.recv_failed(error));
            }
            Err(RecvError::Closed) => {
                self.table.end_all(Failure::Closed);
                match self.table.take_ended() {
                    Some(completion) => return Ok(Some(self.ended(completion))),
                    None => return Err(RequestError::Closed),
                }
            }
            Err(error) => (false, Some(RequestError::from_recv(error, 0))),
        };
        if let Some(id) = self.table.take_expired(now) {
            return Ok(Some(self.ended(Completion { id, outcome: Err(Failure::TimedOut) })));
        }
        match error {
            Some(error) => Err(error),
            None => Ok(late.then_some(Polled::Late)),
        }
    }

    /// Asks for one doorbell for the next response, and says whether there is something to poll for already. If so, do not sleep;
    /// if not, sleep no longer than until [`deadline`](Self::deadline). At most 2 loads and 2 stores.
    #[must_use = "sleeping although a response is there waits for a doorbell that was never due"]
    pub fn arm(&mut self) -> bool {
        self.table.ended() > 0 || self.halves.receiver.arm()
    }

    /// When the first budget passes, or earlier, in the ticks of [`start`](Self::start).
    pub const fn deadline(&self) -> Option<u64> {
        self.table.earliest()
    }

    /// Requests started whose end was not polled for yet: at most `N`.
    pub const fn open(&self) -> usize {
        self.table.open().saturating_add(self.table.ended())
    }

    /// The most bytes of arguments.
    pub const fn max_args(&self) -> u16 {
        self.halves.sender.max_len().saturating_sub(kind::HEAD)
    }

    /// The most bytes of a result.
    pub const fn max_result(&self) -> u16 {
        self.halves.receiver.max_len().saturating_sub(kind::HEAD)
    }

    /// What this requester has counted.
    pub const fn stats(&self) -> RequesterStats {
        self.stats
    }

    /// What the halves of the request and of the response channel have counted.
    pub const fn channel_stats(&self) -> (SenderStats, ReceiverStats) {
        (self.halves.sender.stats(), self.halves.receiver.stats())
    }

    /// Restarts both channels after a violation. Every open request ends as [`Failure::Resynced`]; returns how many did.
    ///
    /// [`start`](Self::start) answers [`RequestError::Resyncing`] until a [`poll`](Self::poll) finds that the responder has
    /// followed. At most 2 loads, 5 stores, and one for each slot.
    pub fn resync(&mut self) -> usize {
        self.halves.sender.resync();
        self.halves.receiver.resync();
        self.resyncing = self.halves.receiver.session().is_some();
        self.table.end_all(Failure::Resynced)
    }

    fn follow(&mut self) -> Result<(), RequestError> {
        match self.halves.follow() {
            Standing::Up | Standing::Left => Ok(()),
            Standing::Began => Err(self.restarted()),
            Standing::Down(error) => {
                if self.table.open() > 0 {
                    let closed = error == RequestError::Closed;
                    self.table.end_all(if closed { Failure::Closed } else { Failure::PeerRestarted });
                }
                Err(error)
            }
        }
    }

    fn restarted(&mut self) -> RequestError {
        self.resyncing = false;
        RequestError::PeerRestarted { open: self.table.end_all(Failure::PeerRestarted) }
    }

    #[cold]
    fn send_failed(&mut self, error: SendError) -> RequestError {
        match error {
            SendError::PeerRestarted { .. } => self.overtaken(),
            SendError::PeerResynced { .. } => RequestError::from_send(error, self.table.end_all(Failure::Resynced)),
            _ => RequestError::from_send(error, 0),
        }
    }

    #[cold]
    fn recv_failed(&mut self, error: RecvError) -> RequestError {
        match error {
            RecvError::PeerRestarted { .. } => self.overtaken(),
            RecvError::PeerResynced { .. } => RequestError::from_recv(error, self.table.end_all(Failure::Resynced)),
            _ => RequestError::from_recv(error, 0),
        }
    }

    /// The session began, on another core, after this call had looked for it.
    fn overtaken(&mut self) -> RequestError {
        self.follow().err().unwrap_or_else(|| self.restarted())
    }

    /// Judges a response by its head; `len` bytes follow it.
    fn response(&mut self, head: [u8; HEAD], len: usize) -> Result<Polled, RequestError> {
        let (correlation, status) = words(&head);
        let foreign = PeerViolation::Correlation { found: correlation };
        let Some(id) = RequestId::from_word(correlation) else { return Err(self.violated(foreign)) };
        let outcome = match Status::from_word(status) {
            Some(Status::Done) => Ok(len),
            Some(Status::Expired) => Err(Failure::Expired),
            Some(Status::Refused) => Err(Failure::Refused { len }),
            None => return Err(self.violated(PeerViolation::Status { found: status })),
        };
        match self.table.answer(id) {
            Match::Open => Ok(self.ended(Completion { id, outcome })),
            Match::Late => {
                self.stats.late = self.stats.late.saturating_add(1);
                Ok(Polled::Late)
            }
            Match::Foreign => Err(self.violated(foreign)),
        }
    }

    fn violated(&mut self, violation: PeerViolation) -> RequestError {
        RequestError::from_recv(self.halves.receiver.violated(violation), 0)
    }

    /// Counts an end.
    fn ended(&mut self, completion: Completion) -> Polled {
        let stats = &mut self.stats;
        let count = match completion.outcome {
            Ok(_) => &mut stats.answered,
            Err(Failure::Refused { .. }) => &mut stats.refused,
            Err(Failure::Expired) => &mut stats.expired,
            Err(Failure::TimedOut) => &mut stats.timed_out,
            Err(Failure::Cancelled) => &mut stats.cancelled,
            Err(Failure::PeerRestarted) => &mut stats.restarted,
            Err(Failure::Resynced) => &mut stats.resynced,
            Err(Failure::Closed) => &mut stats.closed,
        };
        *count = count.saturating_add(1);
        Polled::Ended(completion)
    }
}
