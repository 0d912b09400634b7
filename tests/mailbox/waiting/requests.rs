//! Tasks that make requests, and tasks that answer them.

use super::super::connect;
use super::bounded::Steps;
use super::interleavings::{Script, Stepped};
use super::{Bell, Meanwhile, Wakes};
use ivshmem::channel::request::*;
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Second asks, First answers.
const CHANNELS: [Channel; 2] = [Channel::request(End::Second, 4, 56), Channel::response(End::First, 4, 56).vector(1)];
/// More steps than a call has.
const STEPS: u32 = 30;

#[test]
fn no_request_is_slept_through_wherever_it_and_its_doorbell_fall() {
    let mut slept = 0;
    for (before, start_at) in [false, true].into_iter().flat_map(|before| (0..STEPS).map(move |at| (before, at))) {
        let case = format!("a request before: {before}, started at {start_at}");
        let (first, second) = loop_back(1 << 14).unwrap();
        let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
        let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
        let (requester, bell) = (RefCell::new(cb.requester::<4>(0, 1, 1).unwrap()), Bell::default());
        let script = Script::default();
        let mut a = Mailbox::new(Stepped { script: &script, inner: first }, End::First, &CHANNELS).unwrap();
        let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
        let mut responder = ca.responder::<4>(0, 1, 1).unwrap();
        connect(&mut la, &mut lb);
        let mut buffer = [0; 40];
        if before {
            requester.borrow_mut().start(0, 1, b"before", 0).unwrap().1.ignore();
            assert!(matches!(responder.next(0, &mut buffer), Ok(Some(Incoming::Request(_)))));
        }
        let event = Stepped { script: &script, inner: &bell };
        let wakes = Wakes::new();
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        script.step.set(0);
        script.at(start_at, || {
            let (_, notice) = requester.borrow_mut().start(0, 7, b"news", 0).unwrap();
            notice.ring(&bell).unwrap();
        });
        let mut polled = responder.poll_next(&mut cx, &event, 0, &mut buffer);
        assert!(script.step.get() < STEPS, "{case}: {} steps", script.step.get());
        script.rest();
        if polled.is_pending() {
            slept += 1;
            assert!(wakes.take() >= 1, "{case}: asleep for ever");
            polled = responder.poll_next(&mut cx, &event, 0, &mut buffer);
        }
        let Poll::Ready(Ok(Incoming::Request(request))) = polled else { panic!("{case}: {polled:?}") };
        assert_eq!((request.operation, &buffer[..request.len]), (7, &b"news"[..]), "{case}");
    }
    assert!(slept > 0, "no case in which the responder sleeps");
}

#[test]
fn no_response_is_slept_through_wherever_it_and_its_doorbell_fall() {
    let mut slept = 0;
    for answer_at in 0..STEPS {
        let case = format!("answered at {answer_at}");
        let (first, second) = loop_back(1 << 14).unwrap();
        let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
        let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
        let (responder, bell) = (RefCell::new(ca.responder::<4>(0, 1, 1).unwrap()), Bell::default());
        let token = Cell::new(None);
        let script = Script::default();
        let mut b = Mailbox::new(Stepped { script: &script, inner: second }, End::Second, &CHANNELS).unwrap();
        let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
        let mut requester = cb.requester::<4>(0, 1, 1).unwrap();
        connect(&mut la, &mut lb);
        let (id, notice) = requester.start(0, 7, b"", 0).unwrap();
        notice.ignore();
        let mut buffer = [0; 40];
        let Ok(Some(Incoming::Request(request))) = responder.borrow_mut().next(0, &mut buffer) else { panic!() };
        token.set(Some(request.token));
        let event = Stepped { script: &script, inner: &bell };
        let wakes = Wakes::new();
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        script.step.set(0);
        script.at(answer_at, || {
            let answer = responder.borrow_mut().respond(token.take().unwrap(), Status::Done, b"done");
            answer.unwrap().ring(&bell).unwrap();
        });
        let mut polled = requester.poll_completed(&mut cx, &event, 0, &mut buffer);
        assert!(script.step.get() < STEPS, "{case}: {} steps", script.step.get());
        script.rest();
        if polled.is_pending() {
            slept += 1;
            assert!(wakes.take() >= 1, "{case}: asleep for ever");
            polled = requester.poll_completed(&mut cx, &event, 0, &mut buffer);
        }
        assert_eq!(polled, Poll::Ready(Ok(Polled::Ended(Completion { id, outcome: Ok(4) }))), "{case}");
    }
    assert!(slept > 0, "no case in which the requester sleeps");
}

#[test]
fn a_request_without_an_answer_ends_at_the_first_wake_after_its_budget() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let ((mut la, _), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let mut requester = cb.requester::<4>(0, 1, 1).unwrap();
    connect(&mut la, &mut lb);
    let (id, notice) = requester.start(1000, 7, b"", 50).unwrap();
    notice.ignore();
    let (tick, wakes, now) = (Bell::default(), Wakes::new(), Cell::new(1000));
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    let (tick, mut buffer) = (&tick, [0; 40]);
    let mut completed = pin!(requester.completed(&tick, || now.get(), &mut buffer));
    assert!(completed.as_mut().poll(&mut cx).is_pending());
    now.set(1049);
    tick.wake();
    assert!(completed.as_mut().poll(&mut cx).is_pending());
    now.set(1050);
    tick.wake();
    assert_eq!(wakes.take(), 2);
    let ended = Polled::Ended(Completion { id, outcome: Err(Failure::TimedOut) });
    assert_eq!(completed.as_mut().poll(&mut cx), Poll::Ready(Ok(ended)));
}

#[test]
fn bounded_waits_for_requests_and_responses_end_with_them_or_with_their_limit() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut responder, requester) = (ca.responder::<4>(0, 1, 1).unwrap(), cb.requester::<4>(0, 1, 1).unwrap());
    let requester = RefCell::new(requester);
    let mut buffer = [0; 40];
    let mut idle = Steps { steps: Vec::new(), act: |_| () };
    assert_eq!(responder.next_within(&mut idle, 10, 20, || 0, &mut buffer), Err(RequestError::NotUp));
    connect(&mut la, &mut lb);
    assert_eq!(responder.next_within(&mut idle, 10, 20, || 0, &mut buffer), Ok(None));
    assert_eq!(requester.borrow_mut().completed_within(&mut idle, 10, 20, || 0, &mut buffer), Ok(None));
    assert_eq!(idle.steps, [10; 6]);
    let mut second_step = Steps {
        steps: Vec::new(),
        act: |step| {
            if step == 2 {
                requester.borrow_mut().start(0, 7, b"", 0).unwrap().1.ignore();
            }
        },
    };
    let taken = responder.next_within(&mut second_step, 10, 1000, || 0, &mut buffer);
    let Ok(Some(Incoming::Request(request))) = taken else { panic!("{taken:?}") };
    assert_eq!(second_step.steps, [10; 2]);
    let mut answers = Steps {
        steps: Vec::new(),
        act: |step| {
            if step == 3 {
                responder.respond(request.token, Status::Done, b"").unwrap().ignore();
            }
        },
    };
    let ended = requester.borrow_mut().completed_within(&mut answers, 10, 1000, || 0, &mut buffer);
    assert!(matches!(ended, Ok(Some(Polled::Ended(Completion { outcome: Ok(0), .. })))), "{ended:?}");
    assert_eq!(answers.steps, [10; 3]);
}

#[test]
fn a_responder_without_room_for_an_answer_takes_the_request_at_the_first_wake_after_there_is() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut responder, mut requester) = (ca.responder::<8>(0, 1, 1).unwrap(), cb.requester::<8>(0, 1, 1).unwrap());
    connect(&mut la, &mut lb);
    let (tick, wakes) = (Bell::default(), Wakes::new());
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    let mut buffer = [0; 40];
    for _ in 0..4 {
        requester.start(0, 7, b"", 0).unwrap().1.ignore();
        let taken = responder.poll_next(&mut cx, &&tick, 0, &mut buffer);
        let Poll::Ready(Ok(Incoming::Request(request))) = taken else { panic!("{taken:?}") };
        responder.respond(request.token, Status::Done, b"").unwrap().ignore();
    }
    requester.start(0, 8, b"", 0).unwrap().1.ignore();
    assert!(responder.poll_next(&mut cx, &&tick, 0, &mut buffer).is_pending(), "four responses fill the channel");
    assert!(matches!(requester.poll(0, &mut [0; 40]), Ok(Some(Polled::Ended(_)))));
    tick.wake();
    assert_eq!(wakes.take(), 1);
    let taken = responder.poll_next(&mut cx, &&tick, 0, &mut buffer);
    assert!(matches!(taken, Poll::Ready(Ok(Incoming::Request(Request { operation: 8, .. })))), "{taken:?}");
}

#[test]
fn a_server_sleeps_through_no_request_wherever_it_and_its_doorbell_fall() {
    let mut slept = 0;
    for start_at in 0..2 * STEPS {
        let (first, second) = loop_back(1 << 14).unwrap();
        let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
        let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
        let (requester, bell) = (RefCell::new(cb.requester::<4>(0, 1, 1).unwrap()), Bell::default());
        let script = Script::default();
        let mut a = Mailbox::new(Stepped { script: &script, inner: first }, End::First, &CHANNELS).unwrap();
        let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
        let mut server = Server::<_, 4, 40>::new(ca.responder::<4>(0, 1, 1).unwrap()).unwrap();
        connect(&mut la, &mut lb);
        let event = Stepped { script: &script, inner: &bell };
        let wakes = Wakes::new();
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        let mut scratch = [0; 40];
        let answer = |call: Call<'_>, _: &mut [u8]| Answer::Done(call.operation as usize);
        let idle = pin!(server.serve_async(&event, 1, || 0, &mut scratch, answer)).poll(&mut cx);
        assert!(idle.is_pending(), "{idle:?}");
        script.step.set(0);
        script.at(start_at, || {
            let (_, notice) = requester.borrow_mut().start(0, 7, b"news", 0).unwrap();
            notice.ring(&bell).unwrap();
        });
        let mut polled = server.poll_serve(&mut cx, &event, 1, 0, &mut scratch, answer);
        assert!(script.step.get() < 2 * STEPS, "started at {start_at}: {} steps", script.step.get());
        script.rest();
        if polled.is_pending() {
            slept += 1;
            assert!(wakes.take() >= 1, "started at {start_at}: asleep for ever");
            polled = server.poll_serve(&mut cx, &event, 1, 0, &mut scratch, answer);
        }
        let Poll::Ready(Ok(Served { handled: 1, waiting: 0, .. })) = polled else { panic!("{start_at}: {polled:?}") };
        let ended = requester.borrow_mut().poll(0, &mut scratch);
        assert!(matches!(ended, Ok(Some(Polled::Ended(Completion { outcome: Ok(7), .. })))), "{ended:?}");
    }
    assert!(slept > 0, "no case in which the server sleeps");
}

#[test]
fn a_task_whose_link_comes_up_while_it_registers_is_rung_for_the_first_request() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let (la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let (mut responder, mut requester) = (ca.responder::<4>(0, 1, 1).unwrap(), cb.requester::<4>(0, 1, 1).unwrap());
    let links = RefCell::new((la, lb));
    let event = Meanwhile(|| {
        let (la, lb) = &mut *links.borrow_mut();
        connect(la, lb);
    });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(responder.poll_next(&mut cx, &event, 0, &mut [0; 40]).is_pending());
    assert!(requester.start(0, 7, b"", 0).unwrap().1.is_due(), "asleep, and nobody rings");
}

#[test]
fn a_server_does_not_sleep_over_a_request_that_comes_after_many_late_cancellations() {
    const CHANNELS: [Channel; 2] =
        [Channel::request(End::Second, 16, 56), Channel::response(End::First, 16, 56).vector(1)];
    let (first, second) = loop_back(1 << 16).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let mut server = Server::<_, 2, 40>::new(ca.responder::<2>(0, 1, 1).unwrap()).unwrap();
    let mut requester = cb.requester::<16>(0, 1, 1).unwrap();
    connect(&mut la, &mut lb);
    let (bell, wakes) = (Bell::default(), Wakes::new());
    let waker = wakes.clone().into();
    // As an executor: the task runs as long as it is woken.
    let mut run = || {
        let (mut served, mut cx) = (0, Context::from_waker(&waker));
        wakes.take();
        loop {
            match server.poll_serve(&mut cx, &&bell, 8, 0, &mut [0; 40], |_, _| Answer::Done(0)) {
                Poll::Ready(result) => served += result.unwrap().handled,
                Poll::Pending if wakes.take() > 0 => {}
                Poll::Pending => return served,
            }
        }
    };
    assert_eq!(run(), 0);
    let ids = [(); 8].map(|()| {
        let (id, notice) = requester.start(0, 7, b"", 0).unwrap();
        notice.ring(&bell).unwrap();
        id
    });
    assert_eq!(run(), 8);
    for id in ids {
        requester.cancel(id).unwrap().ring(&bell).unwrap();
    }
    requester.start(0, 8, b"", 0).unwrap().1.ring(&bell).unwrap();
    assert_eq!(run(), 1, "asleep over a request, and no doorbell is to come");
}

#[test]
fn a_server_that_found_only_what_had_expired_is_ready_with_the_doorbell_for_its_answer() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let mut server = Server::<_, 2, 40>::new(ca.responder::<2>(0, 1, 1).unwrap()).unwrap();
    let mut requester = cb.requester::<4>(0, 1, 1).unwrap();
    connect(&mut la, &mut lb);
    let bell = Bell::default();
    let mut cx = Context::from_waker(Waker::noop());
    requester.start(0, 7, b"late", 10).unwrap().1.ignore();
    let waits = server.serve(0, 0, &mut [], |_, _| Answer::Done(0)).unwrap();
    assert_eq!((waits.handled, waits.waiting), (0, 1));
    assert_eq!(requester.poll(0, &mut [0; 40]), Ok(None));
    assert!(!requester.arm());
    let polled = server.poll_serve(&mut cx, &&bell, 1, 10, &mut [], |_, _| panic!("its budget has passed"));
    let Poll::Ready(Ok(Served { handled: 0, notice, .. })) = polled else { panic!("{polled:?}") };
    assert!(notice.is_due());
}
