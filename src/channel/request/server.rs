//! A responder that works through its requests on a budget per cycle.

use super::error::RequestError;
use super::head::Status;
use super::responder::{Incoming, Request, Responder};
use super::tokens::Token;
use crate::channel::Notice;
use crate::memory::Memory;
use heapless::Deque;

/// A request as a handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Call<'a> {
    /// What to do: the requester's number for it.
    pub operation: u32,
    /// A private copy of the arguments.
    pub args: &'a [u8],
    /// When its budget has passed, in this side's ticks; `None` if it has none.
    pub deadline: Option<u64>,
}

/// What a handler answers: how many bytes of the buffer it was given are the result, or say why there is none. More than it has count as
/// all of it, with whatever stood in it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Answer {
    /// It did what was asked.
    Done(usize),
    /// It did not.
    Refused(usize),
}

/// What one cycle's work came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a sleeping requester is not woken unless a due doorbell is rung"]
pub struct Served {
    /// Requests handed to the handler, and answered.
    pub handled: u32,
    /// Requests taken that wait for the next cycle.
    pub waiting: usize,
    /// One doorbell for all answers, if it is due.
    pub notice: Notice,
}

/// A [`Responder`] with a place for the arguments of each of its `N` requests, of at most `LEN` bytes.
///
/// What the requester has sent is taken out of the channel at once, so that budgets run and cancellations are heard while requests wait
/// for their turn: one that is cancelled or whose budget has passed by then is not done at all.
#[derive(Debug)]
pub struct Server<'a, M, const N: usize, const LEN: usize> {
    responder: Responder<'a, M, N>,
    queue: Deque<Request, N>,
    args: [[u8; LEN]; N],
    /// Answers sent since the last notice.
    answered: bool,
    /// The last look took as many messages as one may: there may be more, for which no doorbell is due any more.
    more: bool,
}

impl<'a, M: Memory, const N: usize, const LEN: usize> Server<'a, M, N, LEN> {
    /// [`RequestError::BufferTooSmall`] unless `LEN` bytes take any arguments.
    pub fn new(responder: Responder<'a, M, N>) -> Result<Self, RequestError> {
        let need = responder.max_args();
        if LEN < usize::from(need) {
            return Err(RequestError::BufferTooSmall { need, have: LEN });
        }
        Ok(Self { responder, queue: Deque::new(), args: [[0; LEN]; N], answered: false, more: false })
    }

    /// Takes what has come, at most `N` messages, and hands up to `budget` requests, oldest first, to `handler`, each at most once.
    ///
    /// The handler writes its result into the buffer it is given, which is `scratch` or what of it a response can hold, and is
    /// not called for what was cancelled or has expired by `now`. An expired one is answered as [`Status::Expired`], on no budget: there
    /// are `N` at most. An error does not keep what was taken before from being served, unless it says that the session has
    /// ended or is reported once.
    ///
    /// At most `N` calls of [`Responder::next`], `N` of [`Responder::publish`] and 1 of [`Responder::notice`].
    pub fn serve(
        &mut self,
        budget: u32,
        now: u64,
        scratch: &mut [u8],
        mut handler: impl FnMut(Call<'_>, &mut [u8]) -> Answer,
    ) -> Result<Served, RequestError> {
        let taken = self.take_in(now);
        if let Err(error @ (RequestError::PeerRestarted { .. } | RequestError::PeerResynced { .. })) = taken {
            return Err(error);
        }
        let mut handled: u32 = 0;
        while handled < budget {
            match self.work_off(now, scratch, &mut handler)? {
                Some(true) => handled = handled.saturating_add(1),
                Some(false) => {}
                None => break,
            }
        }
        let notice = if core::mem::take(&mut self.answered) {
            self.responder.notice()
        } else {
            taken?;
            Notice::NONE
        };
        Ok(Served { handled, waiting: self.responder.open(), notice })
    }

    /// Asks for one doorbell for the next request: as [`Responder::arm`].
    #[must_use = "sleeping although a request is there waits for a doorbell that was never due"]
    pub fn arm(&mut self) -> bool {
        self.responder.arm()
    }

    /// Restarts both channels: as [`Responder::resync`].
    pub fn resync(&mut self) -> usize {
        self.responder.resync()
    }

    /// The responder, for what it has counted.
    pub const fn responder(&self) -> &Responder<'a, M, N> {
        &self.responder
    }

    /// Takes up to `N` messages.
    fn take_in(&mut self, now: u64) -> Result<(), RequestError> {
        self.more = false;
        for _ in 0..N {
            if !self.take_one(now)? {
                return Ok(());
            }
        }
        self.more = true;
        Ok(())
    }

    /// Whether the last [`serve`](Self::serve) may have left messages in the channel that it had no turn for.
    pub(in crate::channel) const fn has_more(&self) -> bool {
        self.more
    }

    /// Takes one message; `false`: there is none to take.
    pub(super) fn take_one(&mut self, now: u64) -> Result<bool, RequestError> {
        let mut none = [0; 0];
        let place = self.responder.vacant_index().and_then(|index| self.args.get_mut(index));
        let buffer = place.map_or(&mut none[..], |place| &mut place[..]);
        match self.responder.next(now, buffer)? {
            Some(Incoming::Request(request)) => {
                // Cannot be full: cancelled requests that still stand in it are cleared first.
                if self.queue.is_full() {
                    self.clear_void();
                }
                let _ = self.queue.push_back(request);
                Ok(true)
            }
            Some(Incoming::Cancelled(_) | Incoming::Late) => Ok(true),
            None => Ok(false),
        }
    }

    /// Works off the oldest request: `Some(true)` if the handler was called, `Some(false)` if it was skipped, `None` if there is none.
    pub(super) fn work_off(
        &mut self,
        now: u64,
        scratch: &mut [u8],
        handler: &mut impl FnMut(Call<'_>, &mut [u8]) -> Answer,
    ) -> Result<Option<bool>, RequestError> {
        let Some(request) = self.queue.front().copied() else { return Ok(None) };
        let Request { token, operation, len, deadline } = request;
        // Nothing is done that could not be answered.
        self.responder.can_respond()?;
        self.queue.pop_front();
        if !self.responder.is_open(token) {
            return Ok(Some(false));
        }
        if deadline.is_some_and(|deadline| now >= deadline) {
            return self.answer(token, Status::Expired, &[]).map(|()| Some(false));
        }
        let room = scratch.len().min(usize::from(self.responder.max_result()));
        let result = scratch.get_mut(..room).unwrap_or_default();
        let args = self.args.get(token.index()).and_then(|args| args.get(..len)).unwrap_or_default();
        let (status, len) = match handler(Call { operation, args, deadline }, result) {
            Answer::Done(len) => (Status::Done, len),
            Answer::Refused(len) => (Status::Refused, len),
        };
        self.answer(token, status, result.get(..len).unwrap_or(result)).map(|()| Some(true))
    }

    fn answer(&mut self, token: Token, status: Status, bytes: &[u8]) -> Result<(), RequestError> {
        let published = self.responder.publish(token, status, bytes);
        match published {
            Ok(()) => self.answered = true,
            // It is not done again: its requester has restarted, or ends it at the resync that must follow.
            Err(_) => self.responder.abandon_one(token),
        }
        published
    }

    /// Forgets the requests that are over.
    fn clear_void(&mut self) {
        for _ in 0..self.queue.len() {
            if let Some(request) = self.queue.pop_front()
                && self.responder.is_open(request.token)
            {
                let _ = self.queue.push_back(request);
            }
        }
    }
}
