//! Requests between two ends.

use super::{Hooked, Rng, act, leak, others};
use ivshmem::channel::request::*;
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use std::cell::RefCell;
use std::collections::HashMap;

const SEEDS: u64 = 100;

const REQUESTS: [Channel; 2] = [Channel::request(End::Second, 4, 56), Channel::response(End::First, 4, 56).vector(1)];

/// What happened to each request, by its number.
#[derive(Default)]
struct Account {
    started: u32,
    done: HashMap<u32, u32>,
    ended: HashMap<u32, bool>,
}

struct Asks<M: 'static> {
    requester: Requester<'static, M, 3>,
    open: HashMap<RequestId, u32>,
    account: &'static RefCell<Account>,
    answered: u64,
    restarts: u32,
    now: u64,
}

impl<M: Memory> Asks<M> {
    fn act(&mut self, rng: &mut Rng) {
        self.now += rng.below(3);
        match rng.below(40) {
            0 => {
                self.requester.resync();
            }
            1 => {
                let id = self.open.keys().next().copied();
                if let Some(id) = id {
                    let cancelled = self.requester.cancel(id).map(Notice::ignore);
                    cancelled.err().into_iter().for_each(|error| self.failed(error));
                }
            }
            2 => {
                let _either = self.requester.arm();
            }
            3..18 => {
                let number = self.account.borrow().started + 1;
                let budget = if rng.below(4) == 0 { 20 } else { 0 };
                match self.requester.start(self.now, number, &number.to_le_bytes(), budget) {
                    Ok((id, notice)) => {
                        notice.ignore();
                        self.account.borrow_mut().started = number;
                        assert!(self.open.insert(id, number).is_none());
                    }
                    Err(error) => self.failed(error),
                }
            }
            _ => {
                let mut buffer = [0; 40];
                match self.requester.poll(self.now, &mut buffer) {
                    Ok(Some(Polled::Ended(Completion { id, outcome }))) => {
                        let number = self.open.remove(&id).expect("ends once");
                        let mut account = self.account.borrow_mut();
                        assert!(account.ended.insert(number, outcome.is_ok()).is_none(), "{number} ended twice");
                        if let Ok(len) = outcome {
                            assert_eq!(&buffer[..len], &number.to_le_bytes(), "another's answer");
                            assert_eq!(account.done.get(&number), Some(&1));
                            self.answered += 1;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => self.failed(error),
                }
            }
        }
        assert_eq!(self.requester.open(), self.open.len());
    }

    fn failed(&mut self, error: RequestError) {
        match error {
            RequestError::Violated(violation) => panic!("the responder is accused: {violation}"),
            RequestError::PeerRestarted { .. } => self.restarts += 1,
            _ => {}
        }
    }

    fn fresh(&mut self, requester: Requester<'static, M, 3>) {
        self.requester = requester;
        self.open.clear();
    }
}

struct Answers<M: 'static> {
    responder: Responder<'static, M, 3>,
    taken: Vec<(Token, u32)>,
    restarts: u32,
    account: &'static RefCell<Account>,
}

impl<M: Memory> Answers<M> {
    fn act(&mut self, rng: &mut Rng) {
        match rng.below(40) {
            0 => {
                self.responder.resync();
            }
            1 => {
                let _either = self.responder.arm();
            }
            2..22 => {
                let mut buffer = [0; 40];
                match self.responder.next(0, &mut buffer) {
                    Ok(Some(Incoming::Request(request))) => {
                        assert_eq!(&buffer[..request.len], &request.operation.to_le_bytes());
                        // Done when taken.
                        let mut account = self.account.borrow_mut();
                        let done = account.done.entry(request.operation).or_default();
                        *done += 1;
                        assert_eq!(*done, 1, "{} is done twice", request.operation);
                        self.taken.push((request.token, request.operation));
                    }
                    Ok(_) => {}
                    Err(error) => self.failed(error),
                }
            }
            _ => {
                if self.taken.is_empty() {
                    return;
                }
                let place = rng.below(self.taken.len() as u64) as usize;
                let (token, number) = self.taken[place];
                match self.responder.respond(token, Status::Done, &number.to_le_bytes()) {
                    Ok(notice) => {
                        notice.ignore();
                        self.taken.swap_remove(place);
                    }
                    Err(RequestError::NotOpen) => {
                        self.taken.swap_remove(place);
                    }
                    Err(RequestError::Full) => panic!("no room for an answer"),
                    Err(error) => self.failed(error),
                }
            }
        }
    }

    fn failed(&mut self, error: RequestError) {
        match error {
            RequestError::Violated(violation) => panic!("the requester is accused: {violation}"),
            RequestError::PeerRestarted { .. } => self.restarts += 1,
            _ => {}
        }
    }
}

fn run(seeds: u64, asker_is_tested: bool) -> u64 {
    let mut answered = 0;
    for seed in 1..=seeds {
        let (first, second) = loop_back(1 << 14).unwrap();
        let hook = others();
        let account: &'static RefCell<Account> = leak(RefCell::new(Account::default()));
        let quiet = others();
        let (on_first, on_second) = if asker_is_tested { (quiet, hook) } else { (hook, quiet) };
        let spare_first = first.window(0, first.len()).unwrap();
        let spare_second = second.window(0, second.len()).unwrap();
        let life_of_first = move |memory: &SharedMemory| {
            let inner = memory.window(0, memory.len()).unwrap();
            let mailbox = leak(Mailbox::new(Hooked { inner, others: on_first }, End::First, &REQUESTS).unwrap());
            let (link, mut channels) = mailbox.attach(Attach::interrupt_driven(0));
            (link, channels.responder::<3>(0, 1, 1).unwrap())
        };
        let life_of_second = move |memory: &SharedMemory| {
            let inner = memory.window(0, memory.len()).unwrap();
            let mailbox = leak(Mailbox::new(Hooked { inner, others: on_second }, End::Second, &REQUESTS).unwrap());
            let (link, mut channels) = mailbox.attach(Attach::interrupt_driven(1));
            (link, channels.requester::<3>(0, 1, 1).unwrap())
        };
        let (la, responder) = life_of_first(&first);
        let (lb, requester) = life_of_second(&second);
        let la: &'static RefCell<_> = leak(RefCell::new(la));
        let lb: &'static RefCell<_> = leak(RefCell::new(lb));
        let answers: &'static RefCell<_> =
            leak(RefCell::new(Answers { responder, taken: Vec::new(), restarts: 0, account }));
        let asks: &'static RefCell<_> =
            leak(RefCell::new(Asks { requester, open: HashMap::new(), account, answered: 0, restarts: 0, now: 0 }));
        let mut rng = Rng::of_seed(seed);
        let others = RefCell::new(Rng(rng.0 ^ 0x55aa_5555));
        let busy = 1 + seed % 8;
        *hook.borrow_mut() = Some(Box::new(move || {
            loop {
                let mut others = others.borrow_mut();
                if others.below(busy + 1) != 0 {
                    break;
                }
                let who = others.below(20);
                let mut rng = Rng(others.below(1 << 40) | 1);
                drop(others);
                match who {
                    0..3 => {
                        if let Ok(mut link) = la.try_borrow_mut() {
                            let state = link.poll(0);
                            assert!(!matches!(state, LinkState::Violated(_)), "{state:?}");
                        }
                    }
                    3..6 => {
                        if let Ok(mut link) = lb.try_borrow_mut() {
                            let state = link.poll(0);
                            assert!(!matches!(state, LinkState::Violated(_)), "{state:?}");
                        }
                    }
                    // The other end's next life, or its close.
                    6 if rng.below(10) == 0 => {
                        if asker_is_tested {
                            if let (Ok(mut link), Ok(mut answers)) = (la.try_borrow_mut(), answers.try_borrow_mut()) {
                                if rng.below(4) == 0 {
                                    link.close();
                                } else {
                                    let (new, responder) = life_of_first(&spare_first);
                                    *link = new;
                                    answers.responder = responder;
                                    answers.taken.clear();
                                }
                            }
                        } else if let (Ok(mut link), Ok(mut asks)) = (lb.try_borrow_mut(), asks.try_borrow_mut()) {
                            if rng.below(4) == 0 {
                                link.close();
                            } else {
                                let (new, requester) = life_of_second(&spare_second);
                                *link = new;
                                asks.fresh(requester);
                            }
                        }
                    }
                    _ if asker_is_tested => {
                        if let Ok(mut answers) = answers.try_borrow_mut() {
                            answers.act(&mut rng);
                        }
                    }
                    _ => {
                        if let Ok(mut asks) = asks.try_borrow_mut() {
                            asks.act(&mut rng);
                        }
                    }
                }
            }
        }));
        for _ in 0..3000 {
            act(hook);
            if asker_is_tested {
                asks.borrow_mut().act(&mut rng);
            } else {
                answers.borrow_mut().act(&mut rng);
            }
        }
        *hook.borrow_mut() = None;
        answered += asks.borrow().answered;
        // Each session but the first is said once to the half that is tested, which lives through all.
        let (said, link) = if asker_is_tested { (asks.borrow().restarts, lb) } else { (answers.borrow().restarts, la) };
        let sessions = link.borrow().stats().sessions;
        assert!(said < sessions, "{said} restarts in {sessions} sessions, seed {seed}");
    }
    answered
}

#[test]
fn every_request_ends_once_and_is_done_at_most_once_whatever_other_cores_do_in_the_requesters_calls() {
    let answered = run(SEEDS, true);
    assert!(answered > 1000, "{answered}");
}

#[test]
fn every_request_ends_once_and_is_done_at_most_once_whatever_other_cores_do_in_the_responders_calls() {
    let answered = run(SEEDS, false);
    assert!(answered > 1000, "{answered}");
}
