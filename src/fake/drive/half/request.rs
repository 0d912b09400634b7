//! The halves of a request channel and the response channel that follows it.

use super::{Called, Circumstances, Half, words};
use crate::channel::request::{
    Completion, Failure, Incoming, Polled, Request, RequestError, RequestId, Requester, Responder, Status, Token,
};
use crate::channel::{Channel, Channels};
use crate::fake::drive::traffic::{Traffic, message, number};
use crate::memory::Memory;
use core::fmt;
use std::vec;
use std::vec::Vec;

/// Requests open at once, on either side.
const OPEN: usize = 3;

/// What the request of this number is answered: all that is decided by it, so that the requester knows.
fn answer(number: u64, max: u16) -> (Status, Vec<u8>) {
    let status = if number % 5 == 4 { Status::Refused } else { Status::Done };
    (status, message(number ^ 0xAA, max))
}

/// What a call of either side may do when it begins a session, or answers that the peer began a channel anew.
fn anew(sending: Channel) -> usize {
    5 + sending.slots() as usize
}

/// A requester.
#[derive(Debug)]
pub(super) struct Asks<'a, M> {
    index: usize,
    request: Channel,
    response: Channel,
    sessions: u32,
    requester: Requester<'a, M, OPEN>,
    /// Those that were started and have not ended: name and number.
    open: Vec<(RequestId, u64)>,
}

impl<'a, M: Memory> Asks<'a, M> {
    pub(super) fn new(index: usize, configs: &[Channel], channels: &mut Channels<'a, M>) -> Self {
        let requester = channels.requester(index, index + 1, 1).expect("taken once");
        let (request, response) = (configs[index], configs[index + 1]);
        Self { index, request, response, sessions: 0, requester, open: Vec::new() }
    }

    fn start(&mut self, budget: u32, now: u64, traffic: &Traffic) -> Result<(), RequestError> {
        let max = self.requester.max_args();
        let number = traffic.next_number();
        let started = self.requester.start(now, number as u32, &message(number, max), budget);
        started.map(|(id, notice)| {
            notice.ignore();
            traffic.sent();
            assert!(self.open.iter().all(|(other, _)| *other != id), "{id:?} is the name of two");
            self.open.push((id, number));
        })
    }

    fn poll(&mut self, room: usize, now: u64, honest: impl Fn() -> bool) -> Result<bool, RequestError> {
        let mut buffer = vec![0; room];
        let polled = self.requester.poll(now, &mut buffer)?;
        let Some(Polled::Ended(Completion { id, outcome })) = polled else { return Ok(false) };
        let place = self.open.iter().position(|(other, _)| *other == id);
        let (_, number) = self.open.swap_remove(place.expect("a request ends once, and was started"));
        let (status, expected) = answer(number, self.requester.max_result());
        let (found, len) = match outcome {
            Ok(len) => (Status::Done, len),
            Err(Failure::Refused { len }) => (Status::Refused, len),
            Err(_) => return Ok(true),
        };
        assert!(len <= self.requester.max_result().into());
        assert!(
            !honest() || (found, &buffer[..len]) == (status, &expected[..]),
            "request {number} has another's answer"
        );
        Ok(true)
    }

    fn check_account(&self) {
        let stats = self.requester.stats();
        let ends = [
            stats.answered,
            stats.refused,
            stats.expired,
            stats.timed_out,
            stats.cancelled,
            stats.restarted,
            stats.resynced,
            stats.closed,
        ];
        let open = self.requester.open();
        assert_eq!(stats.started, ends.iter().sum::<u64>() + open as u64, "{stats:?}");
        assert_eq!(open, self.open.len(), "an end was not told of, or twice");
    }
}

impl<M: Memory + fmt::Debug> Half for Asks<'_, M> {
    fn index(&self) -> usize {
        self.index
    }

    fn call(&mut self, with: Circumstances<'_>) -> Called {
        let Circumstances { input, traffic, now, .. } = with;
        let (called, result) = match input.byte() % 12 {
            0..4 => {
                let result = self.start(input.byte().into(), now, traffic);
                (Called::within(2, 1, words(self.request)), result)
            }
            // Perhaps too small.
            what @ 4..9 => {
                let max = self.requester.max_result();
                let room = if what == 8 { input.byte().into() } else { max.into() };
                let result = self.poll(room, now, || !with.tampered.get());
                (Called::within(4, 1, words(self.response)), result.map(|_| ()))
            }
            9 if !self.open.is_empty() => {
                let (id, _) = self.open[usize::from(input.byte()) % self.open.len()];
                let result = self.requester.cancel(id).map(|notice| notice.ignore());
                (Called::within(2, 1, 2), result)
            }
            10 => {
                let _ = self.requester.arm();
                return Called::within(2, 2, 0);
            }
            _ => {
                self.requester.resync();
                return Called::within(2, anew(self.request), 0);
            }
        };
        self.check_account();
        finish(called, result, &mut self.sessions, with.sessions, self.request)
    }

    fn must_send(&mut self, traffic: &Traffic) {
        self.start(0, 0, traffic).expect("a new session takes a request");
    }

    fn must_receive(&mut self, _: &Traffic) {
        if !self.open.is_empty() {
            let max = self.requester.max_result();
            assert_eq!(self.poll(max.into(), 0, || true), Ok(true), "the answer is there");
        }
    }
}

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
enum Respond {
    Now,
    /// Without asking for a doorbell.
    InABatch,
    Expired,
}

/// A responder.
#[derive(Debug)]
pub(super) struct Answers<'a, M> {
    index: usize,
    request: Channel,
    response: Channel,
    sessions: u32,
    responder: Responder<'a, M, OPEN>,
    /// Those that were taken and not answered, and a few that are over: the request's number.
    taken: Vec<(Token, u64)>,
}

impl<'a, M: Memory> Answers<'a, M> {
    pub(super) fn new(index: usize, configs: &[Channel], channels: &mut Channels<'a, M>) -> Self {
        let responder = channels.responder(index, index + 1, 1).expect("taken once");
        let (request, response) = (configs[index], configs[index + 1]);
        Self { index, request, response, sessions: 0, responder, taken: Vec::new() }
    }

    fn next(
        &mut self,
        room: usize,
        now: u64,
        traffic: &Traffic,
        honest: impl Fn() -> bool,
    ) -> Result<bool, RequestError> {
        let mut buffer = vec![0; room];
        let Some(incoming) = self.responder.next(now, &mut buffer)? else { return Ok(false) };
        let Incoming::Request(Request { token, operation, len, .. }) = incoming else { return Ok(true) };
        let max = self.responder.max_args();
        assert!(len <= max.into());
        if honest() {
            // In order, whole, and at most once.
            traffic.received(&buffer[..len], max, false);
            assert_eq!(u64::from(operation), number(&buffer[..len]) & 0xFFFF_FFFF);
        }
        self.taken.push((token, operation.into()));
        Ok(true)
    }

    fn respond(&mut self, place: usize, how: Respond) -> Result<(), RequestError> {
        let (token, number) = self.taken[place];
        let (status, bytes) = match how {
            Respond::Expired => (Status::Expired, Vec::new()),
            Respond::Now | Respond::InABatch => answer(number, self.responder.max_result()),
        };
        let was_open = self.responder.is_open(token);
        let result = match how {
            Respond::InABatch => self.responder.publish(token, status, &bytes),
            _ => self.responder.respond(token, status, &bytes).map(|notice| notice.ignore()),
        };
        assert!(was_open || result.is_err(), "an answer to a request that is over");
        result
    }

    fn check_account(&self) {
        let stats = self.responder.stats();
        let ends = [stats.done, stats.expired, stats.refused, stats.cancelled, stats.abandoned];
        assert_eq!(stats.taken, ends.iter().sum::<u64>() + self.responder.open() as u64, "{stats:?}");
        assert!(self.responder.open() <= OPEN);
    }
}

impl<M: Memory + fmt::Debug> Half for Answers<'_, M> {
    fn index(&self) -> usize {
        self.index
    }

    fn call(&mut self, with: Circumstances<'_>) -> Called {
        let Circumstances { input, traffic, now, .. } = with;
        let (called, result) = match input.byte() % 12 {
            // Perhaps too small.
            what @ 0..5 => {
                let room = if what == 4 { input.byte().into() } else { self.responder.max_args().into() };
                let result = self.next(room, now, traffic, || !with.tampered.get());
                (Called::within(4, 1, words(self.request)), result.map(|_| ()))
            }
            what @ 5..10 if !self.taken.is_empty() => {
                let place = usize::from(input.byte()) % self.taken.len();
                let (how, loads) = match what {
                    8 => (Respond::InABatch, 1),
                    9 => (Respond::Expired, 2),
                    _ => (Respond::Now, 2),
                };
                let result = self.respond(place, how);
                if self.taken.len() > 2 * OPEN {
                    self.taken.remove(0);
                }
                (Called::within(loads, 1, words(self.response)), result)
            }
            10 => {
                let _ = self.responder.arm();
                return Called::within(2, 2, 0);
            }
            _ => {
                self.responder.resync();
                return Called::within(2, anew(self.response), 0);
            }
        };
        self.check_account();
        finish(called, result, &mut self.sessions, with.sessions, self.response)
    }

    fn must_send(&mut self, _: &Traffic) {
        if let Some(place) = self.taken.len().checked_sub(1) {
            self.respond(place, Respond::Now).expect("there is room for an answer");
            self.taken.clear();
        }
    }

    fn must_receive(&mut self, traffic: &Traffic) {
        let max = self.responder.max_args();
        assert_eq!(self.next(max.into(), 0, traffic, || true), Ok(true), "the request is there");
    }
}

/// What either side may do besides, when a session begins or a channel begins anew.
fn finish(
    called: Called,
    result: Result<(), RequestError>,
    joined: &mut u32,
    sessions: u32,
    sending: Channel,
) -> Called {
    let mut called = called.accusing(matches!(result, Err(RequestError::Violated(_))));
    if *joined != sessions || matches!(result, Err(RequestError::PeerResynced { .. })) {
        called.bound.stores += anew(sending);
    }
    if !matches!(result, Err(RequestError::NotUp | RequestError::Closed)) {
        *joined = sessions;
    }
    called
}
