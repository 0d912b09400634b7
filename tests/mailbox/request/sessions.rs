//! Restarts, resyncs and closes: what was open ends, once, and nothing of it comes back.

use super::*;

#[test]
fn every_request_open_when_the_responder_restarts_ends_once_as_such() {
    let (mut a, mut b, _) = pair();
    let (mut asking_link, mut cb) = b.attach(Attach::polled());
    let mut requester = cb.requester::<4>(REQUESTS, RESPONSES, 1).unwrap();
    for life in 0..5 {
        let (mut answering_link, mut ca) = a.attach(Attach::polled());
        let mut responder = ca.responder::<4>(REQUESTS, RESPONSES, 1).unwrap();
        connect(&mut answering_link, &mut asking_link);
        if life > 0 {
            assert_eq!(requester.start(0, 9, EMPTY, 0), Err(RequestError::PeerRestarted { open: 0 }));
        }
        let ids: Vec<_> = (0..3).map(|i| requester.start(0, i, EMPTY, 1000).unwrap().0).collect();
        // One is answered, one answer is sent and not read, one is not even begun.
        for _ in 0..2 {
            let Ok(Some(Incoming::Request(request))) = responder.next(0, &mut [0; 40]) else { panic!() };
            responder.respond(request.token, Status::Done, EMPTY).unwrap().ignore();
        }
        assert_eq!(requester.poll(0, &mut [0; 40]), ended(ids[0], Ok(0)));
        // The responder is gone: the link sees it, and so does the requester, before anyone new is there.
        let _ = a.attach(Attach::polled());
        assert_eq!(asking_link.poll(0), LinkState::PeerRestarted);
        let mut ends = [(); 2].map(|()| requester.poll(5000, &mut [0; 40]));
        ends.sort_by_key(|end| *end != ended(ids[1], Err(Failure::PeerRestarted)));
        assert_eq!(ends, [ids[1], ids[2]].map(|id| ended(id, Err(Failure::PeerRestarted))));
        assert_eq!(requester.poll(5000, &mut [0; 40]), Err(RequestError::NotUp));
        assert_eq!(requester.cancel(ids[2]), Err(RequestError::NotUp));
    }
    let stats = requester.stats();
    assert_eq!((stats.started, stats.answered, stats.restarted, requester.open()), (15, 5, 10, 0));
}

#[test]
fn a_restart_between_two_calls_is_reported_once_for_both_channels() {
    let (mut a, mut b, _) = pair();
    let (mut asking_link, mut cb) = b.attach(Attach::polled());
    let mut requester = cb.requester::<4>(REQUESTS, RESPONSES, 1).unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (mut answering_link, _) = a.attach(Attach::polled());
        connect(&mut answering_link, &mut asking_link);
        if ids.is_empty() {
            ids.extend((0..2).map(|i| requester.start(0, i, EMPTY, 0).unwrap().0));
        }
    }
    assert_eq!(requester.poll(0, &mut [0; 40]), Err(RequestError::PeerRestarted { open: 2 }));
    let newer = requester.start(0, 3, EMPTY, 0).unwrap().0;
    assert_eq!(requester.poll(0, &mut [0; 40]), ended(ids[0], Err(Failure::PeerRestarted)));
    assert_eq!(requester.poll(0, &mut [0; 40]), ended(ids[1], Err(Failure::PeerRestarted)));
    assert_eq!(requester.poll(0, &mut [0; 40]), Ok(None));
    assert_eq!(requester.open(), 1, "{newer:?} is of the new session");
}

#[test]
fn a_token_of_an_earlier_session_answers_nothing_in_a_later_one() {
    let (mut a, mut b, _) = pair();
    let (mut answering_link, mut ca) = a.attach(Attach::polled());
    let mut responder = ca.responder::<4>(REQUESTS, RESPONSES, 1).unwrap();
    let mut old = Vec::new();
    for life in 0..4 {
        let (mut asking_link, mut cb) = b.attach(Attach::polled());
        let mut requester = cb.requester::<4>(REQUESTS, RESPONSES, 1).unwrap();
        connect(&mut answering_link, &mut asking_link);
        // Every requester's first request has the same name.
        let id = requester.start(0, life, EMPTY, 0).unwrap().0;
        if life > 0 {
            let open = Err(RequestError::PeerRestarted { open: 1 });
            assert_eq!(responder.respond(old[old.len() - 1], Status::Done, b"old"), open);
        }
        for token in &old {
            assert_eq!(responder.respond(*token, Status::Done, b"old"), Err(RequestError::NotOpen));
        }
        assert_eq!(requester.poll(0, &mut [0; 40]), Ok(None));
        let Ok(Some(Incoming::Request(request))) = responder.next(0, &mut [0; 40]) else { panic!() };
        assert_eq!(request.operation, life);
        old.push(request.token);
        let second = requester.start(0, 9, EMPTY, 0).unwrap().0;
        let Ok(Some(Incoming::Request(request))) = responder.next(0, &mut [0; 40]) else { panic!() };
        responder.respond(request.token, Status::Done, b"new").unwrap().ignore();
        assert_eq!(requester.poll(0, &mut [0; 40]), ended(second, Ok(3)));
        assert_ne!(id, second);
    }
    let stats = responder.stats();
    assert_eq!((stats.taken, stats.done, stats.abandoned, responder.open()), (8, 4, 3, 1));
}

#[test]
fn a_server_does_nothing_of_a_session_that_has_ended() {
    let (mut a, mut b, _) = pair();
    let (mut answering_link, mut ca) = a.attach(Attach::polled());
    let mut server = Server::<_, 4, 40>::new(ca.responder(REQUESTS, RESPONSES, 1).unwrap()).unwrap();
    for life in 0..3u32 {
        let (mut asking_link, mut cb) = b.attach(Attach::polled());
        let mut requester = cb.requester::<4>(REQUESTS, RESPONSES, 1).unwrap();
        connect(&mut answering_link, &mut asking_link);
        for i in 0..4 {
            requester.start(0, life * 10 + i, EMPTY, 0).unwrap().1.ignore();
        }
        let mut handled = Vec::new();
        let mut handler = |call: Call<'_>, _: &mut [u8]| {
            handled.push(call.operation);
            Answer::Done(0)
        };
        if life > 0 {
            let error = server.serve(9, 0, &mut [], &mut handler);
            assert_eq!(error, Err(RequestError::PeerRestarted { open: 3 }));
        }
        let served = server.serve(1, 0, &mut [], handler).unwrap();
        assert_eq!((served.handled, served.waiting), (1, 3));
        assert_eq!(handled, [life * 10], "what waited from the earlier session is not done");
    }
}

/// Lets both sides go on until everything reported once is reported, and the requester can start requests again.
fn settle(s: &mut Session<'_>) -> Vec<Completion> {
    let mut ends = Vec::new();
    for _ in 0..8 {
        s.answering_link.poll(0);
        s.asking_link.poll(0);
        match s.responder.next(0, &mut [0; 40]) {
            Ok(None) | Err(RequestError::PeerResynced { .. }) => {}
            other => panic!("{other:?}"),
        }
        match s.poll(0) {
            Ok(Some(Polled::Ended(end))) => ends.push(end),
            Ok(_) | Err(RequestError::PeerResynced { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    ends
}

#[test]
fn a_resync_by_either_end_ends_what_is_open_once_and_loses_nothing_afterwards() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    for by_requester in [true, false, true, true, false, false] {
        let ids: Vec<_> = (0..3).map(|i| s.start(i, EMPTY)).collect();
        let (answered, kept) = (s.take().0.token, s.take().0.token);
        s.respond(answered, EMPTY);
        if by_requester {
            assert_eq!(s.requester.resync(), 3);
        } else {
            assert_eq!(s.responder.resync(), 1);
        }
        let mut ends = settle(&mut s);
        ends.sort_by_key(|end| ids.iter().position(|id| *id == end.id));
        let resynced = |id: &RequestId| Completion { id: *id, outcome: Err(Failure::Resynced) };
        assert_eq!(ends, ids.iter().map(resynced).collect::<Vec<_>>());
        assert!(!s.responder.is_open(kept));
        for _ in 0..20 {
            let id = s.start(7, EMPTY);
            let token = s.take().0.token;
            s.respond(token, EMPTY);
            assert_eq!(s.poll(0), ended(id, Ok(0)));
        }
    }
    assert_eq!((s.requester.stats().resynced, s.responder.stats().abandoned), (18, 6));
}

#[test]
fn a_restart_of_one_channel_alone_ends_what_is_open_too() {
    // As an end in another language may do: the responder begins only the request, or only the response channel anew.
    for channel in [REQUESTS, RESPONSES] {
        let (mut a, mut b, spy) = pair();
        let mut s = session(&mut a, &mut b);
        let ids = [s.start(1, EMPTY), s.start(2, EMPTY)];
        s.take();
        assert_eq!(s.poll(0), Ok(None));
        // First's line of the channel: an acknowledgement of the next generation, or a ring that is offered under it.
        let line = wire::CHANNEL_LINES + channel * wire::LINE;
        let key = Snapshot::new(&spy, &CHANNELS).channel(REQUESTS).unwrap().acknowledged.key.next_generation();
        if channel == REQUESTS {
            spy.store(line + wire::ACKNOWLEDGED, wire::Keyed { count: 0, key }.to_word());
        } else {
            spy.store(line + wire::RING_AFTER, key.bits().into());
            spy.store(line + wire::RING, key.bits().into());
        }
        s.asking_link.poll(0);
        assert_eq!(s.poll(0), Err(RequestError::PeerResynced { open: 2 }));
        let mut ends = [s.poll(0), s.poll(0)];
        ends.sort_by_key(|end| *end != ended(ids[0], Err(Failure::Resynced)));
        assert_eq!(ends, ids.map(|id| ended(id, Err(Failure::Resynced))));
        assert_eq!((s.poll(0), s.requester.open()), (Ok(None), 0));
        // Said by whichever call finds it.
        let key = key.next_generation();
        if channel == REQUESTS {
            s.start(3, EMPTY);
            spy.store(line + wire::ACKNOWLEDGED, wire::Keyed { count: 0, key }.to_word());
            s.asking_link.poll(0);
            assert_eq!(s.requester.start(0, 4, EMPTY, 0), Err(RequestError::PeerResynced { open: 1 }));
        }
    }
}

#[test]
fn a_requester_that_resynced_starts_nothing_until_the_responder_has_followed() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let id = s.start(1, EMPTY);
    let token = s.take().0.token;
    s.respond(token, EMPTY);
    assert_eq!(s.poll(0), ended(id, Ok(0)));
    s.requester.resync();
    // An answer given now would go into the ring that the requester has given up.
    for _ in 0..3 {
        assert_eq!(s.requester.start(0, 2, EMPTY, 0), Err(RequestError::Resyncing));
        assert_eq!(s.poll(0), Ok(None));
    }
    settle(&mut s);
    let id = s.start(2, EMPTY);
    let token = s.take().0.token;
    s.respond(token, EMPTY);
    assert_eq!(s.poll(0), ended(id, Ok(0)));
}

#[test]
fn what_a_responder_answered_before_it_closed_is_received_and_the_rest_ends_as_closed() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let ids: Vec<_> = (0..3).map(|i| s.start(i, EMPTY)).collect();
    let token = s.take().0.token;
    s.respond(token, b"bye");
    s.answering_link.close();
    assert_eq!(s.asking_link.poll(0), LinkState::Closed);
    assert_eq!(s.requester.start(0, 9, EMPTY, 0), Err(RequestError::Closed));
    assert_eq!(s.poll(0), ended(ids[0], Ok(3)));
    assert_eq!(s.poll(0), ended(ids[1], Err(Failure::Closed)));
    assert_eq!(s.poll(0), ended(ids[2], Err(Failure::Closed)));
    assert_eq!(s.poll(0), Err(RequestError::Closed));
    // The responder's own calls say the same.
    assert_eq!(s.responder.next(0, &mut [0; 40]), Err(RequestError::Closed));
    assert_eq!(s.responder.respond(token, Status::Done, EMPTY), Err(RequestError::Closed));
}

#[test]
fn a_responder_does_nothing_for_a_requester_that_has_closed() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let ids: Vec<_> = (0..2).map(|i| s.start(i, EMPTY)).collect();
    let token = s.take().0.token;
    s.asking_link.close();
    assert_eq!(s.answering_link.poll(0), LinkState::Closed);
    assert_eq!(s.responder.next(0, &mut [0; 40]), Err(RequestError::Closed));
    assert_eq!(s.responder.respond(token, Status::Done, EMPTY), Err(RequestError::Closed));
    assert_eq!((s.responder.open(), s.responder.stats().abandoned), (0, 1));
    assert_eq!(s.poll(0), ended(ids[0], Err(Failure::Closed)));
    assert_eq!(s.poll(0), ended(ids[1], Err(Failure::Closed)));
    assert_eq!(s.poll(0), Err(RequestError::Closed));
}

#[test]
fn a_request_is_not_done_again_however_many_lives_the_responder_has() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let (mut lb, mut cb) = b.attach(Attach::polled());
    let mut requester = cb.requester::<4>(REQUESTS, RESPONSES, 1).unwrap();
    let mut buffer = [0; 40];
    // As many as would bring its key round.
    for life in 0..4100 {
        let (mut la, mut ca) = a.attach(Attach::polled());
        let mut responder = ca.responder::<4>(REQUESTS, RESPONSES, 1).unwrap();
        connect(&mut la, &mut lb);
        if life == 0 {
            requester.start(0, 7, b"once", 0).unwrap().1.ignore();
            let Some(Incoming::Request(request)) = responder.next(0, &mut buffer).unwrap() else { panic!() };
            responder.respond(request.token, Status::Done, b"").unwrap().ignore();
            assert!(requester.poll(0, &mut buffer).unwrap().is_some());
        }
        assert_eq!(responder.next(0, &mut buffer), Ok(None), "life {life}");
    }
}

#[test]
fn a_responder_that_restarted_and_closed_before_anyone_looked_has_left_nothing_to_receive() {
    let (mut a, mut b, spy) = pair();
    let (mut asking_link, mut cb) = b.attach(Attach::polled());
    let mut requester = cb.requester::<4>(REQUESTS, RESPONSES, 1).unwrap();
    let words = || (0..spy.len()).step_by(8).map(|offset| spy.load(offset)).collect::<Vec<_>>();
    let close_in_a_new_session = |a: &mut Mailbox<'_, SharedMemory>, asking_link: &mut Link<'_, SharedMemory>| {
        let (mut answering_link, _) = a.attach(Attach::polled());
        connect(&mut answering_link, asking_link);
        answering_link.close();
        assert_eq!(asking_link.poll(0), LinkState::Closed);
    };
    // Of a session that the requester never joined it joins nothing afterwards.
    close_in_a_new_session(&mut a, &mut asking_link);
    let before = words();
    assert_eq!(requester.poll(0, &mut [0; 40]), Err(RequestError::Closed));
    assert_eq!(words(), before);
    let (mut answering_link, _) = a.attach(Attach::polled());
    connect(&mut answering_link, &mut asking_link);
    let id = requester.start(0, 1, EMPTY, 0).unwrap().0;
    close_in_a_new_session(&mut a, &mut asking_link);
    let before = words();
    assert_eq!(requester.poll(0, &mut [0; 40]), ended(id, Err(Failure::Closed)));
    assert_eq!(requester.poll(0, &mut [0; 40]), Err(RequestError::Closed));
    assert_eq!(words(), before);
}
