//! The server: so many requests a cycle, in order, each once.

use super::*;

#[test]
fn a_server_hands_out_its_budget_each_cycle_in_order_and_each_request_once() {
    let (mut a, mut b, _) = pair();
    let Session { mut requester, responder, .. } = session(&mut a, &mut b);
    let mut server = Server::<_, 4, 40>::new(responder).unwrap();
    let mut ids: Vec<_> = (0..4).map(|i| requester.start(0, i, &[i as u8; 3], 0).unwrap().0).collect();
    let handled = RefCell::new(Vec::new());
    let mut cycle = |budget| {
        let served = server.serve(budget, 0, &mut [0; 100], |call, result| {
            assert_eq!(result.len(), 40, "no more than a response holds");
            handled.borrow_mut().push((call.operation, call.args.to_vec()));
            result[0] = call.args[0];
            Answer::Done(1)
        });
        served.map(|served| (served.handled, served.waiting))
    };
    assert_eq!(cycle(0), Ok((0, 4)));
    assert_eq!(cycle(3), Ok((3, 1)));
    ids.extend((4..6).map(|i| {
        assert!(matches!(requester.poll(0, &mut [0; 40]), Ok(Some(Polled::Ended(_)))));
        requester.start(0, i, &[i as u8; 3], 0).unwrap().0
    }));
    assert_eq!(cycle(2), Ok((2, 1)));
    assert_eq!(cycle(2), Ok((1, 0)));
    assert_eq!(cycle(2), Ok((0, 0)));
    assert_eq!(*handled.borrow(), (0..6).map(|i| (i, vec![i as u8; 3])).collect::<Vec<_>>());
    for id in &ids[2..] {
        assert_eq!(requester.poll(0, &mut [0; 40]), ended(*id, Ok(1)));
    }
}

#[test]
fn a_server_does_nothing_that_was_cancelled_or_has_expired_while_it_waited() {
    let (mut a, mut b, _) = pair();
    let Session { mut requester, responder, .. } = session(&mut a, &mut b);
    let mut server = Server::<_, 4, 40>::new(responder).unwrap();
    let mut start = |operation, budget| requester.start(0, operation, EMPTY, budget).unwrap().0;
    let ids = [start(0, 0), start(1, 0), start(2, 100), start(3, 101)];
    let handled = RefCell::new(Vec::new());
    let mut cycle = |budget, now| {
        let served = server.serve(budget, now, &mut [0; 40], |call, _| {
            handled.borrow_mut().push((call.operation, call.deadline));
            Answer::Done(0)
        });
        served.map(|served| (served.handled, served.waiting))
    };
    // All are taken at 7000, from when their budgets run here.
    assert_eq!(cycle(1, 7000), Ok((1, 3)));
    requester.cancel(ids[1]).unwrap().ignore();
    assert_eq!(cycle(1, 7100), Ok((1, 0)));
    assert_eq!(*handled.borrow(), [(0, None), (3, Some(7101))]);
    let mut ends = Vec::new();
    while let Ok(Some(Polled::Ended(completion))) = requester.poll(0, &mut [0; 40]) {
        ends.push(completion);
    }
    let end = |id, outcome| Completion { id, outcome };
    assert_eq!(
        ends,
        [
            end(ids[1], Err(Failure::Cancelled)),
            end(ids[0], Ok(0)),
            end(ids[2], Err(Failure::Expired)),
            end(ids[3], Ok(0))
        ]
    );
    let stats = server.responder().stats();
    assert_eq!((stats.taken, stats.done, stats.expired, stats.cancelled), (4, 2, 1, 1));
}

#[test]
fn a_server_needs_a_place_for_any_arguments_and_a_result_is_as_long_as_the_buffer_at_most() {
    let (mut a, mut b, _) = pair();
    let Session { responder, .. } = session(&mut a, &mut b);
    let refused = Server::<_, 4, 39>::new(responder).err();
    assert_eq!(refused, Some(RequestError::BufferTooSmall { need: 40, have: 39 }));
    let Session { responder, mut requester, .. } = session(&mut a, &mut b);
    let mut server = Server::<_, 4, 40>::new(responder).unwrap();
    let id = requester.start(0, 1, EMPTY, 0).unwrap().0;
    server.serve(1, 0, &mut [3; 5], |_, _| Answer::Refused(1000)).unwrap().notice.ignore();
    assert_eq!(requester.poll(0, &mut [0; 40]), ended(id, Err(Failure::Refused { len: 5 })));
}

#[test]
fn requests_that_were_cancelled_while_they_waited_take_no_place_from_new_ones() {
    let (mut a, mut b, _) = pair();
    let Session { mut requester, responder, .. } = session(&mut a, &mut b);
    let mut server = Server::<_, 4, 40>::new(responder).unwrap();
    for round in 0..3 {
        let ids: Vec<_> = (0..4).map(|_| requester.start(0, 1, EMPTY, 0).unwrap().0).collect();
        assert_eq!(server.serve(0, 0, &mut [], |_, _| Answer::Done(0)).unwrap().waiting, 4, "{round}");
        for id in ids {
            requester.cancel(id).unwrap().ignore();
            assert_eq!(requester.poll(0, &mut [0; 40]), ended(id, Err(Failure::Cancelled)));
        }
        assert_eq!(server.serve(0, 0, &mut [], |_, _| Answer::Done(0)).unwrap().waiting, 0, "{round}");
    }
    let id = requester.start(0, 2, EMPTY, 0).unwrap().0;
    let served = server.serve(1, 0, &mut [], |call, _| Answer::Refused(call.operation as usize)).unwrap();
    assert_eq!((served.handled, served.waiting), (1, 0));
    assert_eq!(requester.poll(0, &mut [0; 40]), ended(id, Err(Failure::Refused { len: 0 })));
}

#[test]
fn a_server_does_nothing_that_it_could_not_answer() {
    let (mut a, mut b, spy) = pair();
    let Session { mut requester, responder, mut answering_link, .. } = session(&mut a, &mut b);
    let mut server = Server::<_, 4, 40>::new(responder).unwrap();
    let first = requester.start(0, 9, EMPTY, 0).unwrap().0;
    server.serve(1, 0, &mut [], |_, _| Answer::Done(0)).unwrap().notice.ignore();
    assert_eq!(requester.poll(0, &mut [0; 40]), ended(first, Ok(0)));
    (0..3).for_each(|operation| requester.start(0, operation, EMPTY, 0).unwrap().1.ignore());
    assert_eq!(server.serve(0, 0, &mut [], |_, _| Answer::Done(0)).unwrap().waiting, 3);
    // Second's line of the response channel: more is acknowledged than was sent.
    let (section, responses) = {
        let snapshot = Snapshot::new(&spy, &CHANNELS);
        (snapshot.link(End::Second).offset, snapshot.channel(RESPONSES).unwrap())
    };
    let line = section + wire::CHANNEL_LINES + RESPONSES * wire::LINE;
    spy.store(line + wire::ACKNOWLEDGED, wire::Keyed { count: 5, key: responses.acknowledged.key }.to_word());
    let handled = RefCell::new(Vec::new());
    for _ in 0..3 {
        answering_link.poll(0);
        let served = server.serve(3, 0, &mut [], |call, _| {
            handled.borrow_mut().push(call.operation);
            Answer::Done(0)
        });
        let violation = PeerViolation::Acknowledged { found: 5, before: 0, sent: 1 };
        assert_eq!(served, Err(RequestError::Violated(violation)));
    }
    assert_eq!(*handled.borrow(), []);
}
