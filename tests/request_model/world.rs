//! Both ends over one memory, and beside them the model: what each step does, and what holds after it.

use crate::ends::{Answering, Asking, Linked, Work};
use crate::model::{Asked, Model, arguments, result};
use crate::step::Step;
use crate::{CHANNELS, TAKEN, TICKS};
use ivshmem::channel::request::*;
use ivshmem::channel::{wire, *};
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};

pub struct World {
    memories: [SharedMemory; 2],
    answering: Answering,
    pub asking: Asking,
    server: bool,
    pub model: Model,
}

impl World {
    pub fn new(server: bool) -> Self {
        let (first, second) = loop_back(1 << 14).unwrap();
        let memories = [first, second];
        let (answering, asking) = (Answering::attach(&memories[0], server), Asking::attach(&memories[1]));
        Self { memories, answering, asking, server, model: Model::default() }
    }

    fn linked(&mut self, asks: bool) -> &mut Linked {
        if asks { &mut self.asking.linked } else { &mut self.answering.linked }
    }

    fn restart(&mut self, asks: bool) {
        if asks {
            // What it had open died with it: nobody is left to hear of it.
            self.asking = Asking::attach(&self.memories[1]);
        } else {
            self.answering = Answering::attach(&self.memories[0], self.server);
        }
    }

    pub fn start(&mut self, budget: u32) -> Result<(), RequestError> {
        let Some(session) = self.asking.linked.session else {
            assert!(self.asking.requester.start(0, 0, &[], 0).is_err(), "started with nobody there");
            return Err(RequestError::NotUp);
        };
        let number = self.model.asked.len() as u32;
        let now = self.model.clocks[1];
        let (id, notice) = self.asking.requester.start(now, number, &arguments(number, session), budget)?;
        // Lost, each of them.
        notice.ignore();
        assert_eq!(self.asking.open.insert(id, number), None, "a name given twice");
        let deadline = (budget > 0).then_some(now + u64::from(budget) * TICKS);
        self.model.asked.push(Asked { session, deadline, cancelled: false, done: false });
        Ok(())
    }

    pub fn look(&mut self) {
        let mut buffer = [0; 32];
        let polled = self.asking.requester.poll(self.model.clocks[1], &mut buffer);
        if let Ok(Some(Polled::Ended(completion))) = polled {
            self.model.ended(&mut self.asking.open, completion, &buffer);
        }
    }

    fn cancel(&mut self, which: u8) {
        let mut open: Vec<_> = self.asking.open.iter().map(|(id, number)| (*number, *id)).collect();
        open.sort_unstable_by_key(|(number, _)| *number);
        let Some((number, id)) = open.get(usize::from(which) % open.len().max(1)) else { return };
        self.model.asked[*number as usize].cancelled = true;
        if let Ok(notice) = self.asking.requester.cancel(*id) {
            notice.ignore();
        }
    }

    pub fn take(&mut self, budget: u32) {
        let (session, now, model) = (self.answering.linked.session, self.model.clocks[0], &mut self.model);
        let mut buffer = [0; 32];
        match &mut self.answering.work {
            Work::Later { responder, tokens, .. } => match responder.next(now, &mut buffer) {
                Ok(Some(Incoming::Request(request))) => {
                    model.doing(request.operation, &buffer[..request.len], session);
                    let budget = model.asked[request.operation as usize].deadline.is_some();
                    assert_eq!(request.deadline.is_some(), budget);
                    tokens.push((request.token, request.operation));
                }
                Ok(Some(Incoming::Cancelled(token))) => {
                    let at = tokens.iter().position(|(found, _)| *found == token).expect("cancelled, but not open");
                    let (_, number) = tokens.remove(at);
                    assert!(model.asked[number as usize].cancelled);
                }
                _ => {}
            },
            Work::Cycle(server) => {
                let mut handled = 0;
                let served = server.serve(budget, now, &mut buffer, |call, bytes| {
                    handled += 1;
                    model.doing(call.operation, call.args, session);
                    assert!(call.deadline.is_none_or(|deadline| now < deadline), "begun too late");
                    let result = result(call.operation, model.asked[call.operation as usize].session);
                    bytes[..result.len()].copy_from_slice(&result);
                    match call.operation % 4 {
                        0 => Answer::Refused(result.len()),
                        _ => Answer::Done(result.len()),
                    }
                });
                assert!(handled <= budget);
                if let Ok(served) = served {
                    assert_eq!(served.handled, handled);
                    assert!(served.waiting <= TAKEN && (served.waiting == 0 || handled == budget));
                    served.notice.ignore();
                }
            }
        }
    }

    pub fn respond(&mut self, which: u8, refuse: bool) {
        let Work::Later { responder, tokens, spent } = &mut self.answering.work else { return };
        if tokens.is_empty() {
            return;
        }
        let at = usize::from(which) % tokens.len();
        let (token, number) = tokens[at];
        let result = result(number, self.model.asked[number as usize].session);
        let status = if refuse { Status::Refused } else { Status::Done };
        match responder.respond(token, status, &result) {
            Ok(notice) => {
                notice.ignore();
                assert!(self.model.answers.insert(number), "answered twice");
            }
            Err(RequestError::Full) => panic!("a request was taken for whose answer there is no room"),
            // Once; the token is still good then.
            Err(RequestError::PeerResynced { .. }) => return,
            Err(error) => assert!(!responder.is_open(token), "{error}"),
        }
        spent.push(tokens.swap_remove(at).0);
    }

    fn respond_again(&mut self, which: u8) {
        let Work::Later { responder, spent, .. } = &mut self.answering.work else { return };
        if let Some(token) = spent.get(usize::from(which) % spent.len().max(1)) {
            assert!(responder.respond(*token, Status::Done, b"again").is_err());
        }
    }

    pub fn step(&mut self, step: Step) {
        self.model.disturbed |= matches!(step, Step::Resync(_) | Step::Restart(_) | Step::Close(_) | Step::Flicker(_));
        match step {
            Step::Poll(asks) => self.linked(asks).poll(),
            Step::Start { budget } => drop(self.start(budget)),
            Step::Look => self.look(),
            Step::Cancel(which) => self.cancel(which),
            Step::Take(budget) => self.take(budget),
            Step::Respond { which, refuse } => self.respond(which, refuse),
            Step::RespondAgain(which) => self.respond_again(which),
            Step::Arm(true) => drop(self.asking.requester.arm()),
            Step::Arm(false) => match &mut self.answering.work {
                Work::Later { responder, .. } => drop(responder.arm()),
                Work::Cycle(server) => drop(server.arm()),
            },
            Step::Tick(asks, ticks) => self.model.clocks[usize::from(asks)] += u64::from(ticks),
            Step::Resync(true) => drop(self.asking.requester.resync()),
            Step::Resync(false) => match &mut self.answering.work {
                Work::Later { responder, .. } => drop(responder.resync()),
                Work::Cycle(server) => drop(server.resync()),
            },
            Step::Restart(asks) => self.restart(asks),
            Step::Close(asks) => {
                let linked = self.linked(asks);
                linked.link.close();
                (linked.session, linked.closed) = (None, true);
            }
            Step::Flicker(asks) => {
                let peer = if asks { End::First } else { End::Second };
                let magic = Snapshot::new(&self.memories[0], &CHANNELS).link(peer).offset + wire::link::MAGIC;
                self.memories[0].store(magic, 0);
                self.linked(asks).poll();
                self.memories[0].store(magic, wire::MAGIC);
            }
        }
        self.check();
    }

    /// What holds after every step.
    fn check(&self) {
        let requester = &self.asking.requester;
        let stats = requester.stats();
        let ended = [
            stats.answered,
            stats.refused,
            stats.expired,
            stats.timed_out,
            stats.cancelled,
            stats.restarted,
            stats.resynced,
            stats.closed,
        ];
        let open = requester.open() as u64;
        assert_eq!(stats.started, ended.iter().sum::<u64>() + open, "{stats:?}");
        assert_eq!(open, self.asking.open.len() as u64);
        let (responder, tokens) = match &self.answering.work {
            Work::Later { responder, tokens, .. } => (&**responder, Some(tokens)),
            Work::Cycle(server) => (server.responder(), None),
        };
        let stats = responder.stats();
        let over = stats.done + stats.expired + stats.refused + stats.cancelled + stats.abandoned;
        assert_eq!(stats.taken, over + responder.open() as u64, "{stats:?}");
        if let Some(tokens) = tokens {
            let open = tokens.iter().filter(|(token, _)| responder.is_open(*token)).count();
            assert_eq!(open, responder.open());
        }
        let links = [&self.answering.linked.link, &self.asking.linked.link].map(|link| link.stats().violations);
        let halves = [requester.channel_stats(), responder.channel_stats()];
        let halves = halves.map(|(sender, receiver)| sender.violations + receiver.violations);
        assert_eq!((links, halves), ([0; 2], [0; 2]), "an honest peer was accused");
    }

    /// Lets everything come to its end, with no clock running and no budget passing.
    pub fn settle(&mut self) {
        for asks in [false, true] {
            if self.linked(asks).closed {
                self.model.disturbed = true;
                self.restart(asks);
            }
        }
        for _ in 0..80 {
            self.linked(false).poll();
            self.linked(true).poll();
            self.take(9);
            self.respond(0, false);
            self.look();
            self.check();
        }
    }
}
