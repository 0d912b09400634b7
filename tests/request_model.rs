//! Random interleavings of everything a requester and a responder can do, restarts, resyncs, closes, cancellations, budgets and lost
//! doorbells included, against a plain model: every request started ends exactly once, and is done at most once.

use ivshmem::channel::request::*;
use ivshmem::channel::{wire, *};
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

const CHANNELS: [Channel; 2] = [Channel::request(End::Second, 4, 48), Channel::response(End::First, 4, 48)];
/// Requests that the requester has open at most, and those that a responder or server has.
const ASKED: usize = 5;
const TAKEN: usize = 3;
/// Ticks a microsecond.
const TICKS: u64 = 10;

#[derive(Clone, Debug)]
enum Step {
    /// The link, on either side.
    Poll(bool),
    Start {
        budget: u32,
    },
    /// For the end of a request.
    Look,
    Cancel(u8),
    /// Takes a request, or serves up to so many.
    Take(u32),
    Respond {
        which: u8,
        refuse: bool,
    },
    /// With a token that has answered, or never could.
    RespondAgain(u8),
    Arm(bool),
    /// The clock of either side, which are never the same.
    Tick(bool, u8),
    Resync(bool),
    Restart(bool),
    Close(bool),
    /// For one poll the peer seems to be gone, though it is not.
    Flicker(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let side = any::<bool>();
    prop_oneof![
        8 => side.prop_map(Step::Poll),
        8 => prop_oneof![Just(0), 1u32..6].prop_map(|budget| Step::Start { budget }),
        8 => Just(Step::Look),
        2 => any::<u8>().prop_map(Step::Cancel),
        8 => (0u32..4).prop_map(Step::Take),
        8 => (any::<u8>(), any::<bool>()).prop_map(|(which, refuse)| Step::Respond { which, refuse }),
        1 => any::<u8>().prop_map(Step::RespondAgain),
        1 => side.prop_map(Step::Arm),
        4 => (side, any::<u8>()).prop_map(|(side, ticks)| Step::Tick(side, ticks)),
        1 => side.prop_map(Step::Resync),
        1 => side.prop_map(Step::Restart),
        1 => side.prop_map(Step::Close),
        1 => side.prop_map(Step::Flicker),
    ]
}

/// One of the two ends' link, and when it was last up.
struct Linked {
    link: Link<'static, SharedMemory>,
    session: Option<u64>,
    closed: bool,
}

impl Linked {
    fn poll(&mut self) {
        self.session = match self.link.poll(0) {
            LinkState::Up { session } => Some(session),
            _ => None,
        }
    }
}

struct Asking {
    linked: Linked,
    requester: Requester<'static, SharedMemory, ASKED>,
    /// The numbers of the requests that this requester has open, by name.
    open: HashMap<RequestId, u32>,
}

enum Work {
    Later { responder: Box<Responder<'static, SharedMemory, TAKEN>>, tokens: Vec<(Token, u32)>, spent: Vec<Token> },
    Cycle(Box<Server<'static, SharedMemory, TAKEN, 32>>),
}

struct Answering {
    linked: Linked,
    work: Work,
}

fn attach(memory: &SharedMemory, end: End) -> (Linked, Channels<'static, SharedMemory>) {
    let memory = memory.window(0, memory.len()).unwrap();
    // Leaked, as a dead one would be.
    let mailbox = Box::leak(Box::new(Mailbox::new(memory, end, &CHANNELS).unwrap()));
    let (link, channels) = mailbox.attach(Attach::interrupt_driven(end as u16));
    (Linked { link, session: None, closed: false }, channels)
}

/// What is known of one request, from outside.
struct Asked {
    session: u64,
    deadline: Option<u64>,
    cancelled: bool,
    done: bool,
}

#[derive(Default)]
struct Model {
    /// By number, which is the request's operation.
    asked: Vec<Asked>,
    /// Answered or refused, by the responder's word.
    answers: BTreeSet<u32>,
    ended: u64,
    clocks: [u64; 2],
    disturbed: bool,
}

impl Model {
    /// A request was given to whoever does it.
    fn doing(&mut self, operation: u32, args: &[u8], session: Option<u64>) {
        let asked = &mut self.asked[operation as usize];
        assert!(!asked.done, "request {operation} was given twice");
        asked.done = true;
        assert_eq!(args, arguments(operation, asked.session), "its arguments came with it");
        assert!(session.is_none_or(|session| session == asked.session), "a request of another session");
    }

    /// A request has ended. `bytes` are its result.
    fn ended(&mut self, open: &mut HashMap<RequestId, u32>, Completion { id, outcome }: Completion, bytes: &[u8]) {
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

fn arguments(number: u32, session: u64) -> Vec<u8> {
    [&session.to_le_bytes()[..], &vec![number as u8; number as usize % 25]].concat()
}

fn result(number: u32, session: u64) -> Vec<u8> {
    [&session.to_be_bytes()[..], &number.to_le_bytes()].concat()
}

struct World {
    memories: [SharedMemory; 2],
    answering: Answering,
    asking: Asking,
    server: bool,
    model: Model,
}

impl World {
    fn new(server: bool) -> Self {
        let (first, second) = loop_back(1 << 14).unwrap();
        let memories = [first, second];
        let (answering, asking) = (Self::answer(&memories, server), Self::ask(&memories));
        Self { memories, answering, asking, server, model: Model::default() }
    }

    fn ask(memories: &[SharedMemory; 2]) -> Asking {
        let (linked, mut channels) = attach(&memories[1], End::Second);
        Asking { linked, requester: channels.requester(0, 1, TICKS).unwrap(), open: HashMap::new() }
    }

    fn answer(memories: &[SharedMemory; 2], server: bool) -> Answering {
        let (linked, mut channels) = attach(&memories[0], End::First);
        let responder = channels.responder(0, 1, TICKS).unwrap();
        let work = match server {
            true => Work::Cycle(Box::new(Server::new(responder).unwrap())),
            false => Work::Later { responder: Box::new(responder), tokens: Vec::new(), spent: Vec::new() },
        };
        Answering { linked, work }
    }

    fn linked(&mut self, asks: bool) -> &mut Linked {
        if asks { &mut self.asking.linked } else { &mut self.answering.linked }
    }

    fn restart(&mut self, asks: bool) {
        if asks {
            // What it had open died with it: nobody is left to hear of it.
            self.asking = Self::ask(&self.memories);
        } else {
            self.answering = Self::answer(&self.memories, self.server);
        }
    }

    fn start(&mut self, budget: u32) -> Result<(), RequestError> {
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

    fn look(&mut self) {
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

    fn take(&mut self, budget: u32) {
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

    fn respond(&mut self, which: u8, refuse: bool) {
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

    fn step(&mut self, step: Step) {
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
    fn settle(&mut self) {
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

fn run(server: bool, steps: Vec<Step>) {
    let mut world = World::new(server);
    for step in steps {
        world.step(step);
    }
    world.settle();
    assert_eq!(world.asking.open, HashMap::new(), "requests that never end");
    // And new ones are answered, each.
    let ended = world.model.ended;
    for _ in 0..8 {
        let started = match world.start(0) {
            // News that was due, once.
            Err(RequestError::PeerRestarted { open: 0 } | RequestError::PeerResynced { open: 0 }) => world.start(0),
            started => started,
        };
        started.expect("nothing is in the way of a new request");
        for _ in 0..4 {
            world.take(1);
            world.respond(0, false);
            world.look();
        }
    }
    assert_eq!(world.model.ended, ended + 8, "the channels are dead");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_request_ends_exactly_once_and_is_done_at_most_once_answered_later(
        steps in proptest::collection::vec(step(), 1..300)
    ) {
        run(false, steps);
    }

    #[test]
    fn every_request_ends_exactly_once_and_is_done_at_most_once_on_a_budget_per_cycle(
        steps in proptest::collection::vec(step(), 1..300)
    ) {
        run(true, steps);
    }
}
