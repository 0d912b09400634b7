//! Requests and responses that no honest peer makes.

use super::*;

/// Where the word at `word` of the message at `position` lies.
fn word(spy: &SharedMemory, channel: usize, position: usize, word: usize) -> usize {
    Snapshot::new(spy, &CHANNELS).channel(channel).unwrap().slots_at + position * 64 + word * 8
}

/// A session in which three requests are open and the second is answered; the first was cancelled.
fn answered<'a>(
    a: &'a mut Mailbox<'_, SharedMemory>,
    b: &'a mut Mailbox<'_, SharedMemory>,
) -> (Session<'a>, [RequestId; 3]) {
    let mut s = session(a, b);
    let ids = [s.start(0, EMPTY), s.start(1, EMPTY), s.start(2, EMPTY)];
    s.requester.cancel(ids[0]).unwrap().ignore();
    assert_eq!(s.poll(0), ended(ids[0], Err(Failure::Cancelled)));
    let (_, second) = (s.take(), s.take().0.token);
    s.respond(second, b"second");
    (s, ids)
}

#[test]
fn a_response_that_no_request_can_have_closes_the_channel_until_resync() {
    // Correlations: index outside the table, generation not given out, zeros, reserved bits; and statuses that do not exist.
    for (at, value) in [
        (1, 2 << 16 | 4),
        (1, 2 << 16 | 0xffff),
        (1, 4 << 16 | 1),
        (1, 0),
        (1, 1 << 63 | 2 << 16 | 1),
        (2, 3),
        (2, 1 << 32),
    ] {
        let (mut a, mut b, spy) = pair();
        let (mut s, ids) = answered(&mut a, &mut b);
        spy.store(word(&spy, RESPONSES, 0, at), value);
        let violation = match at {
            1 => PeerViolation::Correlation { found: value },
            _ => PeerViolation::Status { found: value },
        };
        for _ in 0..3 {
            assert_eq!(s.poll(0), Err(RequestError::Violated(violation)), "{value:#x}");
        }
        assert_eq!(s.requester.channel_stats().1.violations, 1);
        // Requests can be made and budgets pass all the same.
        let (id, notice) = s.requester.start(0, 7, EMPTY, 10).unwrap();
        notice.ignore();
        assert_eq!(s.poll(10), ended(id, Err(Failure::TimedOut)));
        assert_eq!(s.requester.resync(), 2);
        assert_eq!(s.poll(0), ended(ids[1], Err(Failure::Resynced)));
        assert_eq!(s.poll(0), ended(ids[2], Err(Failure::Resynced)));
        assert_eq!(s.poll(0), Ok(None));
    }
}

#[test]
fn a_response_given_twice_is_a_violation_and_ends_nothing_twice() {
    let (mut a, mut b, spy) = pair();
    let (mut s, ids) = answered(&mut a, &mut b);
    assert_eq!(s.poll(0), ended(ids[1], Ok(6)));
    let third = s.take().0.token;
    s.respond(third, b"third");
    let twice = spy.load(word(&spy, RESPONSES, 0, 1));
    spy.store(word(&spy, RESPONSES, 1, 1), twice);
    assert_eq!(s.poll(0), Err(RequestError::Violated(PeerViolation::Correlation { found: twice })));
    assert_eq!((s.requester.stats().answered, s.requester.open()), (1, 1));
}

#[test]
fn a_response_to_a_request_that_was_cancelled_or_is_long_over_is_dropped_and_counted() {
    let (mut a, mut b, spy) = pair();
    let (mut s, ids) = answered(&mut a, &mut b);
    // To the one that was cancelled.
    spy.store(word(&spy, RESPONSES, 0, 1), 1 << 16);
    assert_eq!(s.poll(0), Ok(Some(Polled::Late)));
    // To one at a place that another has now: the fifth request is at the first one's.
    let fourth = s.start(3, EMPTY);
    let fifth = s.start(4, EMPTY);
    let third = s.take().0.token;
    s.respond(third, b"third");
    spy.store(word(&spy, RESPONSES, 1, 1), 1 << 16);
    assert_eq!(s.poll(0), Ok(Some(Polled::Late)));
    let stats = s.requester.stats();
    assert_eq!((stats.late, stats.answered, s.requester.open()), (2, 0, 4), "{ids:?} {fourth:?} {fifth:?}");
}

#[test]
fn a_request_given_twice_or_out_of_order_is_a_violation_and_not_done_again() {
    for found in [1 << 16, 1 << 16 | 3, 0, 0x8000_0002 << 16, 1 << 48 | 2 << 16] {
        let (mut a, mut b, spy) = pair();
        let mut s = session(&mut a, &mut b);
        s.start(1, EMPTY);
        let token = s.take().0.token;
        s.start(2, EMPTY);
        spy.store(word(&spy, REQUESTS, 1, 1), found);
        let violation = RequestError::Violated(PeerViolation::Correlation { found });
        for _ in 0..3 {
            assert_eq!(s.responder.next(0, &mut [0; 40]), Err(violation), "{found:#x}");
        }
        assert_eq!((s.responder.stats().taken, s.responder.channel_stats().1.violations), (1, 1));
        // What was taken before can still be answered.
        s.respond(token, EMPTY);
        assert_eq!(s.responder.resync(), 0);
    }
}

#[test]
fn a_cancellation_of_anything_harms_nothing() {
    let (mut a, mut b, spy) = pair();
    let mut s = session(&mut a, &mut b);
    let id = s.start(1, EMPTY);
    let token = s.take().0.token;
    for (position, name) in [(1, 77 << 16 | 9), (2, 0), (3, u64::MAX >> 16)] {
        let other = s.start(2, EMPTY);
        assert_eq!(s.take().0.operation, 2);
        s.requester.cancel(other).unwrap().ignore();
        assert_eq!(s.poll(0), ended(other, Err(Failure::Cancelled)));
        spy.store(word(&spy, REQUESTS, 2 * position, 1), name);
        assert_eq!(s.responder.next(0, &mut []), Ok(Some(Incoming::Late)), "{name:#x}");
    }
    s.respond(token, EMPTY);
    assert_eq!(s.poll(0), ended(id, Ok(0)));
}

#[test]
fn a_cancellation_is_a_head_and_nothing_else() {
    let (mut a, mut b, spy) = pair();
    let mut s = session(&mut a, &mut b);
    let id = s.start(1, EMPTY);
    s.take();
    s.requester.cancel(id).unwrap().ignore();
    let at = word(&spy, REQUESTS, 1, 0);
    let header = spy.load(at);
    spy.store(at, header & !(0xffff << 32) | 17 << 32);
    // With a buffer too small for it, as a server has none for whatever is no request.
    let violation = PeerViolation::Length { found: 17, max: 16 };
    assert_eq!(s.responder.next(0, &mut []), Err(RequestError::Violated(violation)));
    assert_eq!((s.responder.open(), s.responder.resync()), (1, 1));
}

#[test]
fn messages_of_another_kind_or_without_a_head_are_violations() {
    let kind = |header: u64, kind: u64| header & !(0xff << 48) | kind << 48;
    for found in [0, 3, 4, 255] {
        let (mut a, mut b, spy) = pair();
        let mut s = session(&mut a, &mut b);
        s.start(1, EMPTY);
        let at = word(&spy, REQUESTS, 0, 0);
        spy.store(at, kind(spy.load(at), found));
        let violation = PeerViolation::Kind { found: found as u8 };
        assert_eq!(s.responder.next(0, &mut [0; 40]), Err(RequestError::Violated(violation)));
    }
    for found in [0, 1, 2, 4] {
        let (mut a, mut b, spy) = pair();
        let (mut s, _) = answered(&mut a, &mut b);
        let at = word(&spy, RESPONSES, 0, 0);
        spy.store(at, kind(spy.load(at), found));
        let violation = PeerViolation::Kind { found: found as u8 };
        assert_eq!(s.poll(0), Err(RequestError::Violated(violation)));
    }
    for found in [0, 15] {
        let (mut a, mut b, spy) = pair();
        let (mut s, _) = answered(&mut a, &mut b);
        let at = word(&spy, RESPONSES, 0, 0);
        spy.store(at, spy.load(at) & !(0xffff << 32) | found << 32);
        let violation = PeerViolation::Short { found: found as u16, least: 16 };
        assert_eq!(s.poll(0), Err(RequestError::Violated(violation)));
    }
}

#[test]
fn an_impossible_acknowledgement_of_requests_stops_new_ones_but_not_the_responses() {
    let (mut a, mut b, spy) = pair();
    let (mut s, ids) = answered(&mut a, &mut b);
    let key = Snapshot::new(&spy, &CHANNELS).channel(REQUESTS).unwrap().acknowledged.key;
    spy.store(wire::CHANNEL_LINES, wire::Keyed { count: 5, key }.to_word());
    s.asking_link.poll(0);
    let violation = RequestError::Violated(PeerViolation::Acknowledged { found: 5, before: 0, sent: 4 });
    assert_eq!(s.requester.start(0, 1, EMPTY, 0), Err(violation));
    assert_eq!(s.poll(0), ended(ids[1], Ok(6)));
    assert_eq!(s.poll(0), Err(violation));
    assert_eq!(s.requester.resync(), 1);
}

#[test]
fn what_was_done_and_could_not_be_answered_is_not_done_again_and_keeps_no_place() {
    let (mut a, mut b, spy) = pair();
    let Session { mut answering_link, mut asking_link, responder, mut requester } = session(&mut a, &mut b);
    let mut server = Server::<_, 4, 40>::new(responder).unwrap();
    let mut done = 0;
    for round in 0..6 {
        let id = requester.start(0, round, EMPTY, 0).unwrap().0;
        // While the handler works, an acknowledgement appears of responses that were never sent.
        let key = Snapshot::new(&spy, &CHANNELS).channel(RESPONSES).unwrap().acknowledged.key;
        let line = Snapshot::new(&spy, &CHANNELS).link(End::Second).offset + wire::CHANNEL_LINES + wire::LINE;
        let served = server.serve(1, 0, &mut [], |_, _| {
            spy.store(line + wire::ACKNOWLEDGED, wire::Keyed { count: 5, key }.to_word());
            answering_link.poll(0);
            done += 1;
            Answer::Done(0)
        });
        let violation = PeerViolation::Acknowledged { found: 5, before: 0, sent: 0 };
        assert_eq!(served, Err(RequestError::Violated(violation)));
        assert_eq!((server.responder().open(), server.responder().stats().abandoned), (0, u64::from(round) + 1));
        server.resync();
        // The requester follows, and what it had open ends.
        let mut ends = Vec::new();
        for _ in 0..6 {
            answering_link.poll(0);
            asking_link.poll(0);
            if let Ok(served) = server.serve(1, 0, &mut [], |_, _| panic!("done again")) {
                served.notice.ignore();
            }
            if let Ok(Some(Polled::Ended(end))) = requester.poll(0, &mut [0; 40]) {
                ends.push(end);
            }
        }
        assert_eq!(ends, [Completion { id, outcome: Err(Failure::Resynced) }]);
    }
    assert_eq!(done, 6);
}
