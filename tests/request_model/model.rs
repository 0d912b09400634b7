//! What is known of the requests from outside, and what may become of each.

use ivshmem::channel::request::*;
use std::collections::{BTreeSet, HashMap};

/// What is known of one request, from outside.
pub struct Asked {
    pub session: u64,
    pub deadline: Option<u64>,
    pub cancelled: bool,
    pub done: bool,
}

#[derive(Default)]
pub struct Model {
    /// By number, which is the request's operation.
    pub asked: Vec<Asked>,
    /// Answered or refused, by the responder's word.
    pub answers: BTreeSet<u32>,
    pub ended: u64,
    pub clocks: [u64; 2],
    pub disturbed: bool,
}

impl Model {
    /// A request was given to whoever does it.
    pub fn doing(&mut self, operation: u32, args: &[u8], session: Option<u64>) {
        let asked = &mut self.asked[operation as usize];
        assert!(!asked.done, "request {operation} was given twice");
        asked.done = true;
        assert_eq!(args, arguments(operation, asked.session), "its arguments came with it");
        assert!(session.is_none_or(|session| session == asked.session), "a request of another session");
    }

    /// A request has ended. `bytes` are its result.
    pub fn ended(&mut self, open: &mut HashMap<RequestId, u32>, Completion { id, outcome }: Completion, bytes: &[u8]) {
        let number = open.remove(&id).expect("a request ended twice, or was never started");
        let asked = &self.asked[number as usize];
        self.ended += 1;
        match outcome {
            Ok(len) => {
                assert!(asked.done, "an answer to what was not done");
                assert_eq!(bytes[..len], result(number, asked.session), "the answer to another request");
            }
            Err(Failure::Refused { len }) => assert_eq!(bytes[..len], result(number, asked.session)),
            Err(Failure::Expired) => assert!(!asked.done && asked.deadline.is_some()),
            Err(Failure::TimedOut) => {
                assert!(asked.deadline.is_some_and(|deadline| self.clocks[1] >= deadline), "too early");
            }
            Err(Failure::Cancelled) => assert!(asked.cancelled),
            Err(Failure::PeerRestarted | Failure::Resynced | Failure::Closed) => {
                assert!(self.disturbed, "{outcome:?} though nothing had happened");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

pub fn arguments(number: u32, session: u64) -> Vec<u8> {
    [&session.to_le_bytes()[..], &vec![number as u8; number as usize % 25]].concat()
}

pub fn result(number: u32, session: u64) -> Vec<u8> {
    [&session.to_be_bytes()[..], &number.to_le_bytes()].concat()
}
