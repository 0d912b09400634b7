//! Cancelled requests, and cancellations that cross the answer.

use super::*;

#[test]
fn a_cancelled_request_ends_once_and_its_token_is_void() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let id = s.start(1, EMPTY);
    let token = s.take().0.token;
    s.requester.cancel(id).unwrap().ignore();
    assert_eq!(s.requester.cancel(id), Err(RequestError::NotOpen));
    assert_eq!(s.poll(0), ended(id, Err(Failure::Cancelled)));
    assert_eq!(s.responder.next(0, &mut []), Ok(Some(Incoming::Cancelled(token))));
    assert_eq!(s.responder.respond(token, Status::Done, EMPTY), Err(RequestError::NotOpen));
    assert_eq!(s.poll(0), Ok(None));
    assert_eq!((s.responder.stats().cancelled, s.responder.open()), (1, 0));
}

#[test]
fn a_cancellation_that_crosses_the_answer_is_late_on_both_sides() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let id = s.start(1, EMPTY);
    let token = s.take().0.token;
    s.respond(token, EMPTY);
    s.requester.cancel(id).unwrap().ignore();
    assert_eq!(s.responder.next(0, &mut []), Ok(Some(Incoming::Late)));
    assert_eq!(s.poll(0), ended(id, Err(Failure::Cancelled)));
    assert_eq!(s.poll(0), Ok(Some(Polled::Late)));
    assert_eq!((s.requester.stats().late, s.responder.stats().late), (1, 1));
}

#[test]
fn a_cancellation_ends_the_request_although_the_responder_cannot_be_told() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    // 4 requests and 4 cancellations fill the channel.
    for round in 0..4 {
        let id = s.start(1, EMPTY);
        s.requester.cancel(id).unwrap().ignore();
        assert_eq!(s.poll(0), ended(id, Err(Failure::Cancelled)));
        assert_eq!(s.requester.stats().untold, 0, "{round}");
    }
    assert_eq!(s.requester.start(0, 1, EMPTY, 0), Err(RequestError::Full));
    assert!(matches!(s.responder.next(0, &mut [0; 40]), Ok(Some(Incoming::Request(_)))));
    assert!(matches!(s.responder.next(0, &mut [0; 40]), Ok(Some(Incoming::Cancelled(_)))));
    let id = s.start(1, EMPTY);
    let other = s.start(2, EMPTY);
    assert_eq!(s.requester.cancel(id).map(Notice::is_due), Ok(false));
    assert_eq!(s.poll(0), ended(id, Err(Failure::Cancelled)));
    assert_eq!((s.requester.stats().untold, s.requester.open()), (1, 1));
    s.requester.cancel(other).unwrap().ignore();
}

#[test]
fn a_cancellation_under_an_old_name_leaves_the_request_that_has_its_place_now() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let old = s.start(1, EMPTY);
    s.requester.cancel(old).unwrap().ignore();
    assert_eq!(s.poll(0), ended(old, Err(Failure::Cancelled)));
    // In all four places, and so in the old one's too.
    (0..4).for_each(|operation| _ = s.start(operation, EMPTY));
    assert_eq!(s.requester.cancel(old), Err(RequestError::NotOpen));
    assert_eq!((s.requester.open(), s.poll(0)), (4, Ok(None)));
}
