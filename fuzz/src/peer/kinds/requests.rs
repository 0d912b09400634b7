//! Requests in both directions.

use super::BODY;
use crate::peer::region::Moment;
use crate::peer::said::Order;
use ivshmem::channel::request::{
    Completion, Failure, Incoming, Polled, RequestError, RequestId, Requester, Responder, Status, Token,
};
use ivshmem::fake::input::Input;
use ivshmem_peer::Mapping;

/// Requests open at once, each way.
const OPEN: usize = 2;

/// Asks the peer.
pub struct Asks<'a> {
    requester: Requester<'a, Mapping, OPEN>,
    /// What is asked next.
    next: u64,
    /// What has not ended: the arguments, which an honest peer gives back.
    open: Vec<(RequestId, [u8; 8])>,
}

impl<'a> Asks<'a> {
    pub fn new(requester: Requester<'a, Mapping, OPEN>) -> Self {
        Self { requester, next: 0, open: Vec::new() }
    }

    /// Cancels one, looks for an end, asks once more: or only some of these.
    pub fn call(&mut self, input: &Input<'_>, moment: Moment) {
        let what = input.byte();
        if what >= 0xF0 {
            self.requester.resync();
        }
        if what & 1 != 0 && !self.open.is_empty() {
            let (id, _) = self.open[usize::from(what / 8) % self.open.len()];
            check(self.requester.cancel(id).map(|notice| notice.ignore()), moment);
        }
        if what & 2 != 0 {
            check(self.poll(moment), moment);
        }
        if what & 4 != 0 {
            check(self.start(u32::from(what / 8), moment), moment);
        }
        assert_eq!(self.requester.open(), self.open.len(), "an end was not told of, or twice");
    }

    fn start(&mut self, budget: u32, moment: Moment) -> Result<(), RequestError> {
        let args = self.next.to_le_bytes();
        let (id, notice) = self.requester.start(moment.now, 0, &args, budget)?;
        notice.ignore();
        assert!(self.open.iter().all(|(other, _)| *other != id), "{id:?} is the name of two");
        self.next += 1;
        self.open.push((id, args));
        Ok(())
    }

    fn poll(&mut self, moment: Moment) -> Result<(), RequestError> {
        let mut buffer = [0; BODY as usize];
        let Some(Polled::Ended(Completion { id, outcome })) = self.requester.poll(moment.now, &mut buffer)? else {
            return Ok(());
        };
        let place = self.open.iter().position(|(other, _)| *other == id);
        let (_, args) = self.open.swap_remove(place.expect("a request ends once, and was started"));
        match outcome {
            Ok(len) => assert!(!moment.honest || buffer[..len] == args, "another's answer"),
            Err(Failure::Refused { len }) => assert!(!moment.honest && len <= buffer.len(), "it refuses nothing"),
            Err(_) => {}
        }
        Ok(())
    }
}

/// Answers the peer.
pub struct Answers<'a> {
    responder: Responder<'a, Mapping, OPEN>,
    /// What was taken, and is over perhaps.
    taken: Vec<Token>,
    order: Order,
}

impl<'a> Answers<'a> {
    pub fn new(responder: Responder<'a, Mapping, OPEN>) -> Self {
        Self { responder, taken: Vec::new(), order: Order::default() }
    }

    pub fn call(&mut self, input: &Input<'_>, moment: Moment) {
        let what = input.byte();
        let result = match what {
            0xF0.. => {
                self.responder.resync();
                Ok(())
            }
            0x70..0xF0 if !self.taken.is_empty() => self.respond(usize::from(what) % self.taken.len()),
            _ => self.take(moment),
        };
        if result.is_err() || what >= 0xF0 {
            self.order.lost();
        }
        let over = what >= 0xF0 || matches!(result, Err(RequestError::PeerRestarted { .. }));
        assert!(!(over && self.responder.open() > 0), "a request outlived its session, or its channel's");
        check(result, moment);
        let open = self.taken.iter().filter(|token| self.responder.is_open(**token)).count();
        assert_eq!(self.responder.open(), open, "a request is open that was not taken, or was answered");
    }

    fn take(&mut self, moment: Moment) -> Result<(), RequestError> {
        let mut buffer = [0; BODY as usize];
        match self.responder.next(moment.now, &mut buffer)? {
            Some(Incoming::Request(request)) => {
                let args = &buffer[..request.len];
                if moment.honest {
                    self.order.came(args);
                }
                assert!(!self.taken.contains(&request.token), "{:?} is of two", request.token);
                self.taken.push(request.token);
            }
            Some(Incoming::Cancelled(token)) => {
                assert!(self.taken.contains(&token) && !self.responder.is_open(token), "{token:?}");
            }
            Some(Incoming::Late) | None => {}
        }
        Ok(())
    }

    /// Answers one that was taken, unless it is over.
    fn respond(&mut self, place: usize) -> Result<(), RequestError> {
        let token = self.taken[place];
        let was_open = self.responder.is_open(token);
        let result = self.responder.respond(token, Status::Done, &[place as u8; BODY as usize]);
        assert!(was_open || result.is_err(), "an answer to what is over");
        assert!(result.is_err() || !self.responder.is_open(token), "answered, and still open");
        result.map(|notice| notice.ignore())
    }
}

/// Nothing is held against an honest peer, nor against this side what the peer did.
fn check(result: Result<(), RequestError>, moment: Moment) {
    match result {
        Err(RequestError::Violated(violation)) => assert!(!moment.honest, "{violation:?}"),
        Err(RequestError::BufferTooSmall { .. } | RequestError::TooLong { .. }) => panic!("{result:?}"),
        _ => {}
    }
}
