//! Requests and responses: each request ends exactly once, and none is done twice.

use super::connect;
use ivshmem::channel::request::*;
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use std::cell::RefCell;

mod budgets;
mod cancellation;
mod hostile;
mod room;
mod server;
mod sessions;
mod threads;

/// Second asks, First answers: 40 bytes each way.
const CHANNELS: [Channel; 2] = [Channel::request(End::Second, 8, 56), Channel::response(End::First, 8, 56).vector(1)];
const REQUESTS: usize = 0;
const RESPONSES: usize = 1;
const EMPTY: &[u8] = &[];

type Asks<'a> = Requester<'a, SharedMemory, 4>;
type Answers<'a> = Responder<'a, SharedMemory, 4>;

type Ends = (Mailbox<'static, SharedMemory>, Mailbox<'static, SharedMemory>, SharedMemory);

/// The end that answers, the end that asks, and a look at their memory.
fn pair() -> Ends {
    let (first, second) = loop_back(1 << 14).unwrap();
    let spy = second.window(0, second.len()).unwrap();
    (Mailbox::new(first, End::First, &CHANNELS).unwrap(), Mailbox::new(second, End::Second, &CHANNELS).unwrap(), spy)
}

/// Everything of one session: both links, the requester and the responder, with a clock of one tick a microsecond.
struct Session<'a> {
    answering_link: Link<'a, SharedMemory>,
    asking_link: Link<'a, SharedMemory>,
    responder: Answers<'a>,
    requester: Asks<'a>,
}

fn session<'a>(a: &'a mut Mailbox<'_, SharedMemory>, b: &'a mut Mailbox<'_, SharedMemory>) -> Session<'a> {
    let ((mut answering_link, mut ca), (mut asking_link, mut cb)) =
        (a.attach(Attach::interrupt_driven(0)), b.attach(Attach::interrupt_driven(1)));
    connect(&mut answering_link, &mut asking_link);
    let responder = ca.responder(REQUESTS, RESPONSES, 1).unwrap();
    let requester = cb.requester(REQUESTS, RESPONSES, 1).unwrap();
    Session { answering_link, asking_link, responder, requester }
}

impl Session<'_> {
    fn start(&mut self, operation: u32, args: &[u8]) -> RequestId {
        let (id, notice) = self.requester.start(0, operation, args, 0).unwrap();
        notice.ignore();
        id
    }

    /// Takes the next message, which is a request.
    #[track_caller]
    fn take(&mut self) -> (Request, Vec<u8>) {
        let mut buffer = [0; 40];
        match self.responder.next(0, &mut buffer) {
            Ok(Some(Incoming::Request(request))) => (request, buffer[..request.len].to_vec()),
            other => panic!("{other:?} where a request was due"),
        }
    }

    fn respond(&mut self, token: Token, bytes: &[u8]) {
        self.responder.respond(token, Status::Done, bytes).unwrap().ignore();
    }

    fn poll(&mut self, now: u64) -> Result<Option<Polled>, RequestError> {
        self.requester.poll(now, &mut [0; 40])
    }
}

fn ended(id: RequestId, outcome: Result<usize, Failure>) -> Result<Option<Polled>, RequestError> {
    Ok(Some(Polled::Ended(Completion { id, outcome })))
}

#[test]
fn whoever_asked_is_answered_in_whatever_order_the_answers_come() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let mut buffer = [0; 40];
    for round in 0..50u32 {
        let ids: Vec<_> = (0..4).map(|i| s.start(round * 4 + i, &[i as u8; 40][..10 * i as usize])).collect();
        let taken: Vec<_> = (0..4).map(|_| s.take()).collect();
        for (i, (request, args)) in taken.iter().enumerate() {
            assert_eq!((request.operation, request.deadline), (round * 4 + i as u32, None));
            assert_eq!(*args, vec![i as u8; 10 * i]);
        }
        assert_eq!((s.requester.open(), s.responder.open()), (4, 4));
        for i in [2, 0, 3, 1] {
            s.respond(taken[i].0.token, &[i as u8 + round as u8; 40][..40 - i]);
            assert_eq!(s.requester.poll(0, &mut buffer), ended(ids[i], Ok(40 - i)));
            assert!(buffer[..40 - i].iter().all(|byte| *byte == i as u8 + round as u8));
        }
        assert_eq!(s.poll(0), Ok(None));
    }
    let (stats, answering) = (s.requester.stats(), s.responder.stats());
    assert_eq!((stats.started, stats.answered, s.requester.open()), (200, 200, 0));
    assert_eq!((answering.taken, answering.done, s.responder.open()), (200, 200, 0));
    assert_eq!((s.requester.channel_stats().0.sent, s.responder.channel_stats().0.sent), (200, 200));
}

#[test]
fn no_more_requests_are_open_than_the_requester_holds() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let ids: Vec<_> = (0..4).map(|i| s.start(i, EMPTY)).collect();
    let too_many = Err(RequestError::TooManyOpen { capacity: 4 });
    assert_eq!(s.requester.start(0, 9, EMPTY, 0), too_many);
    // One that has ended still has its place, until its end was polled for.
    s.requester.cancel(ids[1]).unwrap().ignore();
    assert_eq!(s.requester.start(0, 9, EMPTY, 0), too_many);
    assert_eq!(s.poll(0), ended(ids[1], Err(Failure::Cancelled)));
    let fifth = s.start(9, EMPTY);
    assert!(!ids.contains(&fifth), "the same place, but not the same name");
}

#[test]
fn a_refusal_says_why_and_an_expiry_says_that_nothing_was_done() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let (refused, expired) = (s.start(1, EMPTY), s.start(2, EMPTY));
    let (first, second) = (s.take().0.token, s.take().0.token);
    s.responder.respond(first, Status::Refused, b"interlock open").unwrap().ignore();
    s.responder.respond(second, Status::Expired, EMPTY).unwrap().ignore();
    let mut buffer = [0; 40];
    assert_eq!(s.requester.poll(0, &mut buffer), ended(refused, Err(Failure::Refused { len: 14 })));
    assert_eq!(&buffer[..14], b"interlock open");
    assert_eq!(s.poll(0), ended(expired, Err(Failure::Expired)));
    let (asking, answering) = (s.requester.stats(), s.responder.stats());
    assert_eq!((asking.refused, asking.expired, answering.refused, answering.expired), (1, 1, 1, 1));
}

#[test]
fn lengths_are_checked_on_both_sides_and_nothing_is_lost_by_it() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    assert_eq!((s.requester.max_args(), s.requester.max_result()), (40, 40));
    assert_eq!((s.responder.max_args(), s.responder.max_result()), (40, 40));
    let too_long = RequestError::TooLong { len: 41, max: 40 };
    assert_eq!(s.requester.start(0, 1, &[0; 41], 0), Err(too_long));
    let id = s.start(1, &[7; 40]);
    let too_small = RequestError::BufferTooSmall { need: 40, have: 39 };
    assert_eq!(s.responder.next(0, &mut [0; 39]), Err(too_small));
    let (request, args) = s.take();
    assert_eq!(args, [7; 40]);
    assert_eq!(s.responder.respond(request.token, Status::Done, &[0; 41]), Err(too_long));
    s.respond(request.token, &[8; 40]);
    assert_eq!(s.requester.poll(0, &mut [0; 39]), Err(too_small));
    assert_eq!(s.poll(0), ended(id, Ok(40)));
}

#[test]
fn a_token_answers_once() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let id = s.start(1, EMPTY);
    let token = s.take().0.token;
    s.respond(token, b"once");
    assert!(!s.responder.is_open(token));
    assert_eq!(s.responder.respond(token, Status::Done, b"twice"), Err(RequestError::NotOpen));
    assert_eq!(s.poll(0), ended(id, Ok(4)));
    // Its place is another's now, and it still answers nothing.
    let other = s.start(2, EMPTY);
    let newer = s.take().0.token;
    assert_eq!(s.responder.respond(token, Status::Done, b"twice"), Err(RequestError::NotOpen));
    s.respond(newer, b"right");
    assert_eq!(s.poll(0), ended(other, Ok(5)));
    assert_eq!(s.responder.stats().void, 2);
}

#[test]
fn one_doorbell_is_due_for_whoever_sleeps_and_none_for_whoever_found_something() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    // Each finds the other's ring.
    assert_eq!((s.responder.next(0, &mut []), s.poll(0)), (Ok(None), Ok(None)));
    assert_eq!(s.responder.next(0, &mut []), Ok(None));
    assert!(!s.responder.arm() && !s.requester.arm());
    let (id, notice) = s.requester.start(0, 1, EMPTY, 0).unwrap();
    assert!(notice.is_due());
    assert!(s.responder.arm(), "a request is there");
    let token = s.take().0.token;
    assert!(s.responder.respond(token, Status::Done, EMPTY).unwrap().is_due());
    assert!(s.requester.arm(), "a response is there");
    assert_eq!(s.poll(0), ended(id, Ok(0)));
    assert!(!s.requester.arm());
    let id = s.start(2, EMPTY);
    s.requester.cancel(id).unwrap().ignore();
    assert!(s.requester.arm(), "an end is to be polled for");
}

#[test]
fn heads_lie_where_the_wire_format_says() {
    let (mut a, mut b, spy) = pair();
    let mut s = session(&mut a, &mut b);
    let snapshot = Snapshot::new(&spy, &CHANNELS);
    let (requests, responses) = (snapshot.channel(0).unwrap().slots_at, snapshot.channel(1).unwrap().slots_at);
    let first = s.start(1, EMPTY);
    let (second, notice) = s.requester.start(0, 0xaabb_ccdd, b"8 bytes.", 0x1122_3344).unwrap();
    notice.ignore();
    s.requester.cancel(second).unwrap().ignore();
    // Index 1, generation 2.
    let correlation = 2 << 16 | 1;
    assert_eq!(spy.load(requests) >> 32 & 0xff_ffff, 1 << 16 | 16);
    assert_eq!(spy.load(requests + 8), 1 << 16);
    assert_eq!(spy.load(requests + 64) >> 32 & 0xff_ffff, 1 << 16 | 24);
    assert_eq!(spy.load(requests + 72), correlation);
    assert_eq!(spy.load(requests + 80), 0xaabb_ccdd_1122_3344);
    assert_eq!(spy.load(requests + 88), u64::from_le_bytes(*b"8 bytes."));
    assert_eq!(spy.load(requests + 128) >> 32 & 0xff_ffff, 2 << 16 | 16);
    assert_eq!((spy.load(requests + 136), spy.load(requests + 144)), (correlation, 0));
    let token = s.take().0.token;
    s.responder.respond(token, Status::Refused, b"no").unwrap().ignore();
    assert_eq!(spy.load(responses) >> 32 & 0xff_ffff, 3 << 16 | 18);
    assert_eq!((spy.load(responses + 8), spy.load(responses + 16)), (1 << 16, 2));
    assert_eq!(spy.load(responses + 24), u64::from_le_bytes(*b"no\0\0\0\0\0\0"));
    assert_eq!(s.poll(0), ended(second, Err(Failure::Cancelled)));
    assert_eq!(s.poll(0), ended(first, Err(Failure::Refused { len: 2 })));
}

#[test]
fn halves_are_handed_out_by_kind_direction_and_once_and_both_or_none() {
    let (mut a, mut b, _) = pair();
    let (_link, mut channels) = a.attach(Attach::polled());
    let wrong = |channel, kind| Some(TakeError::WrongKind { channel, kind, protected: false });
    assert_eq!(channels.receiver(0).err(), wrong(0, Kind::Request));
    assert_eq!(channels.responder::<4>(0, 0, 1).err(), wrong(0, Kind::Request));
    let direction = TakeError::WrongDirection { channel: 0, from: End::Second };
    assert_eq!(channels.requester::<4>(0, 1, 1).err(), Some(direction));
    let kept = channels.responder::<4>(0, 1, 1).unwrap();
    assert_eq!(channels.responder::<4>(0, 1, 1).err(), Some(TakeError::Taken { channel: 0 }));
    assert_eq!(kept.open(), 0);
    let (_link, mut channels) = b.attach(Attach::polled());
    assert!(channels.requester::<1000>(0, 1, 1).is_ok());
}
