//! A requester or a responder that dies at any of its stores: the other end sees a whole message or none, and what was open ends once.

use ivshmem::channel::request::*;
use ivshmem::channel::*;
use ivshmem::fake::memory::{Cutter, loop_back};
use ivshmem::memory::{Memory, SharedMemory};

/// Second asks, First answers.
const CHANNELS: [Channel; 2] = [Channel::request(End::Second, 4, 56), Channel::response(End::First, 4, 56)];
const LENGTH: usize = 1 << 13;
/// More stores than anything below makes.
const ENOUGH: usize = 60;

type Asks<'a, M> = Requester<'a, M, 3>;
type Answers<'a, M> = Responder<'a, M, 3>;

fn up<A: Memory, B: Memory>(first: &mut Link<'_, A>, second: &mut Link<'_, B>) -> bool {
    (0..3).any(|_| first.poll(0).is_up() & second.poll(0).is_up())
}

fn window(memory: &SharedMemory) -> SharedMemory {
    memory.window(0, memory.len()).unwrap()
}

fn arguments() -> Vec<u8> {
    (1..=40).collect()
}

fn next<M: Memory>(responder: &mut Answers<'_, M>) -> Option<(Incoming, Vec<u8>)> {
    let mut buffer = [0; 40];
    let incoming = responder.next(0, &mut buffer).expect("nobody did what no honest end does")?;
    Some((incoming, buffer.to_vec()))
}

/// Asks and answers until the rings are in use, and so that their slots hold earlier messages.
fn warm_up<A: Memory, B: Memory>(responder: &mut Answers<'_, A>, requester: &mut Asks<'_, B>, rounds: usize) {
    for _ in 0..rounds {
        requester.start(0, 1, b"earlier", 0).unwrap().1.ignore();
        let Some((Incoming::Request(request), _)) = next(responder) else { panic!("no request") };
        responder.respond(request.token, Status::Done, b"earlier").unwrap().ignore();
        assert!(matches!(requester.poll(0, &mut [0; 40]), Ok(Some(Polled::Ended(_)))));
    }
}

#[test]
fn a_request_or_its_cancellation_is_invisible_before_its_last_store_and_whole_after_it() {
    for (rounds, cancels) in [(0, false), (6, false), (6, true)] {
        let mut seen = Vec::new();
        for stores in 0..ENOUGH {
            let (first, second) = loop_back(LENGTH).unwrap();
            let cutter = Cutter::new(second, usize::MAX);
            let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
            let mut b = Mailbox::new(&cutter, End::Second, &CHANNELS).unwrap();
            let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
            let mut responder: Answers<'_, _> = ca.responder(0, 1, 1).unwrap();
            let mut requester: Asks<'_, _> = cb.requester(0, 1, 1).unwrap();
            assert!(up(&mut la, &mut lb));
            warm_up(&mut responder, &mut requester, rounds);
            let open = cancels.then(|| requester.start(0, 7, &arguments(), 9).unwrap().0);
            let taken = open.map(|_| next(&mut responder).unwrap());
            let before = cutter.written().len();
            cutter.cut_after(stores);
            match open {
                Some(id) => requester.cancel(id).unwrap().ignore(),
                None => requester.start(0, 7, &arguments(), 9).unwrap().1.ignore(),
            }
            let needed = cutter.written().len() - before;
            let found = next(&mut responder);
            seen.push((stores >= needed, found.is_some()));
            match (found, taken) {
                (Some((Incoming::Request(request), bytes)), None) => {
                    assert_eq!((request.operation, request.deadline, bytes), (7, Some(9), arguments()));
                }
                (Some((Incoming::Cancelled(token), _)), Some((Incoming::Request(request), _))) => {
                    assert_eq!(token, request.token);
                }
                (None, _) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(seen.iter().all(|(whole, visible)| whole == visible), "{seen:?}");
        assert!(seen.iter().any(|(whole, _)| *whole) && seen.iter().any(|(whole, _)| !*whole));
    }
}

#[test]
fn a_response_is_invisible_before_its_last_store_and_whole_after_it_and_the_request_ends_once() {
    for rounds in [0, 6] {
        let mut seen = Vec::new();
        for stores in 0..ENOUGH {
            let (first, second) = loop_back(LENGTH).unwrap();
            let (stays, cutter) = (window(&first), Cutter::new(first, usize::MAX));
            let mut a = Mailbox::new(&cutter, End::First, &CHANNELS).unwrap();
            let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
            let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
            let mut responder: Answers<'_, _> = ca.responder(0, 1, 1).unwrap();
            let mut requester: Asks<'_, _> = cb.requester(0, 1, 1).unwrap();
            assert!(up(&mut la, &mut lb));
            warm_up(&mut responder, &mut requester, rounds);
            let id = requester.start(0, 7, b"do", 0).unwrap().0;
            let Some((Incoming::Request(request), _)) = next(&mut responder) else { panic!("no request") };
            let before = cutter.written().len();
            cutter.cut_after(stores);
            responder.respond(request.token, Status::Done, &arguments()).unwrap().ignore();
            let needed = cutter.written().len() - before;
            let mut buffer = [0; 40];
            let polled = requester.poll(0, &mut buffer).unwrap();
            seen.push((stores >= needed, polled.is_some()));
            if let Some(polled) = polled {
                assert_eq!((polled, buffer.to_vec()), (Polled::Ended(Completion { id, outcome: Ok(40) }), arguments()));
            }
            // The responder's next life: what is open ends, and what ended does not end again.
            let mut a = Mailbox::new(stays, End::First, &CHANNELS).unwrap();
            let (mut la, _) = a.attach(Attach::polled());
            assert!(up(&mut la, &mut lb));
            let open = usize::from(polled.is_none());
            assert_eq!(requester.poll(0, &mut buffer), Err(RequestError::PeerRestarted { open }));
            if open > 0 {
                let end = Completion { id, outcome: Err(Failure::PeerRestarted) };
                assert_eq!(requester.poll(0, &mut buffer), Ok(Some(Polled::Ended(end))));
            }
            assert_eq!(requester.poll(0, &mut buffer), Ok(None));
        }
        assert!(seen.iter().all(|(whole, visible)| whole == visible), "{seen:?}");
        assert!(seen.iter().any(|(whole, _)| *whole) && seen.iter().any(|(whole, _)| !*whole));
    }
}

/// What either end does in its second life, in which it dies.
fn ask<M: Memory>(requester: &mut Asks<'_, M>, link: &mut Link<'_, M>) {
    for round in 0..6 {
        let _ = link.poll(0);
        let started = requester.start(0, round, b"dying", 0);
        if let (Ok((id, _)), 1 | 4) = (started, round) {
            let _ = requester.cancel(id);
        }
        let _ = requester.poll(0, &mut [0; 40]);
        if round == 3 {
            let _ = requester.resync();
        }
    }
}

fn answer<M: Memory>(responder: &mut Answers<'_, M>, link: &mut Link<'_, M>) {
    for round in 0..6 {
        let _ = link.poll(0);
        while let Ok(Some(incoming)) = responder.next(0, &mut [0; 40]) {
            if let Incoming::Request(request) = incoming {
                let _ = responder.respond(request.token, Status::Done, b"dying");
            }
        }
        if round == 3 {
            let _ = responder.resync();
        }
    }
}

#[test]
fn a_requester_that_dies_at_any_store_accuses_nobody_and_its_next_life_is_answered() {
    for stores in 0..120 {
        let (first, second) = loop_back(LENGTH).unwrap();
        let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
        let (mut la, mut ca) = a.attach(Attach::polled());
        let mut responder: Answers<'_, _> = ca.responder(0, 1, 1).unwrap();
        // A life before, so that there is something stale; one that dies while both go on in turns; and one after it.
        for dies in [None, Some(stores), None] {
            let cutter = Cutter::new(window(&second), dies.unwrap_or(usize::MAX));
            let mut b = Mailbox::new(&cutter, End::Second, &CHANNELS).unwrap();
            let (mut lb, mut cb) = b.attach(Attach::polled());
            let mut requester: Asks<'_, _> = cb.requester(0, 1, 1).unwrap();
            if dies.is_some() {
                for _ in 0..4 {
                    ask(&mut requester, &mut lb);
                    answer(&mut responder, &mut la);
                }
            } else {
                assert!(up(&mut la, &mut lb), "not up after a death at store {stores}");
                // Whatever there is to say of the restart is said once.
                let _ = responder.next(0, &mut [0; 40]);
                warm_up(&mut responder, &mut requester, 9);
            }
        }
        assert_eq!(responder.channel_stats().0.violations + responder.channel_stats().1.violations, 0, "{stores}");
        assert_eq!(la.stats().violations, 0, "{stores}");
    }
}

#[test]
fn a_responder_that_dies_at_any_store_accuses_nobody_and_every_request_ends_once() {
    for stores in 0..120 {
        let (first, second) = loop_back(LENGTH).unwrap();
        let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
        let (mut lb, mut cb) = b.attach(Attach::polled());
        let mut requester: Asks<'_, _> = cb.requester(0, 1, 1).unwrap();
        for dies in [None, Some(stores), None] {
            let cutter = Cutter::new(window(&first), dies.unwrap_or(usize::MAX));
            let mut a = Mailbox::new(&cutter, End::First, &CHANNELS).unwrap();
            let (mut la, mut ca) = a.attach(Attach::polled());
            let mut responder: Answers<'_, _> = ca.responder(0, 1, 1).unwrap();
            if dies.is_some() {
                for _ in 0..4 {
                    ask(&mut requester, &mut lb);
                    answer(&mut responder, &mut la);
                }
            } else {
                assert!(up(&mut la, &mut lb), "not up after a death at store {stores}");
                for _ in 0..8 {
                    let _ = requester.poll(0, &mut [0; 40]);
                    let _ = responder.next(0, &mut [0; 40]);
                }
                let stats = requester.stats();
                let told = stats.answered + stats.cancelled + stats.restarted + stats.resynced;
                assert_eq!((requester.open(), told), (0, stats.started), "{stats:?}");
                warm_up(&mut responder, &mut requester, 9);
            }
        }
        assert_eq!(requester.channel_stats().0.violations + requester.channel_stats().1.violations, 0, "{stores}");
        assert_eq!(lb.stats().violations, 0, "{stores}");
    }
}
