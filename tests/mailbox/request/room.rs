//! No request is taken whose answer could not be kept.

use super::*;

#[test]
fn no_request_is_taken_whose_answer_could_not_be_kept_and_cancellations_still_are() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    // The responder's table is full.
    let ids: Vec<_> = (0..4).map(|i| s.start(i, EMPTY)).collect();
    let tokens: Vec<_> = (0..4).map(|_| s.take().0.token).collect();
    s.requester.cancel(ids[2]).unwrap().ignore();
    assert_eq!(s.poll(0), ended(ids[2], Err(Failure::Cancelled)));
    let fifth = s.start(5, EMPTY);
    assert_eq!(s.responder.next(0, &mut [0; 40]), Ok(Some(Incoming::Cancelled(tokens[2]))));
    let (request, _) = s.take();
    assert_eq!((request.operation, s.responder.stats().held_back), (5, 1));
    for (token, id) in [(tokens[0], ids[0]), (tokens[1], ids[1]), (tokens[3], ids[3]), (request.token, fifth)] {
        s.respond(token, EMPTY);
        assert_eq!(s.poll(0), ended(id, Ok(0)));
    }
    // 8 answers fill the response channel, unread.
    for _ in 0..8 {
        let (id, notice) = s.requester.start(0, 1, EMPTY, 0).unwrap();
        notice.ignore();
        // Cancelled, so that the requester can go on without reading responses.
        let token = s.take().0.token;
        s.respond(token, EMPTY);
        s.requester.cancel(id).unwrap().ignore();
        assert_eq!(s.poll(0), ended(id, Err(Failure::Cancelled)));
        assert_eq!(s.responder.next(0, &mut [0; 40]), Ok(Some(Incoming::Late)));
    }
    s.start(1, EMPTY);
    assert_eq!(s.responder.next(0, &mut [0; 40]), Ok(None));
    // Each answer read makes room, a quarter of the channel at a time.
    assert_eq!((s.poll(0), s.poll(0)), (Ok(Some(Polled::Late)), Ok(Some(Polled::Late))));
    assert_eq!(s.take().0.operation, 1);
}

#[test]
fn room_for_the_answers_to_what_was_taken_is_kept_free() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    // 6 answers lie unread in a channel of 8.
    for _ in 0..6 {
        let id = s.start(1, EMPTY);
        let token = s.take().0.token;
        s.respond(token, EMPTY);
        s.requester.cancel(id).unwrap().ignore();
        assert_eq!(s.poll(0), ended(id, Err(Failure::Cancelled)));
        assert_eq!(s.responder.next(0, &mut [0; 40]), Ok(Some(Incoming::Late)));
    }
    for operation in 0..3 {
        s.start(operation, EMPTY);
    }
    let tokens = [s.take().0.token, s.take().0.token];
    assert_eq!(s.responder.next(0, &mut [0; 40]), Ok(None), "its answer would find no room");
    for token in tokens {
        s.respond(token, EMPTY);
    }
}
