//! Budgets: on whose clock, and what an end by time leaves behind.

use super::*;

#[test]
fn a_request_ends_when_its_budget_has_passed_and_its_response_is_then_dropped_and_counted() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let (slow, notice) = s.requester.start(1000, 1, EMPTY, 50).unwrap();
    notice.ignore();
    let (slower, notice) = s.requester.start(1001, 2, EMPTY, 60).unwrap();
    notice.ignore();
    let unhurried = s.start(3, EMPTY);
    assert_eq!(s.requester.deadline(), Some(1050));
    assert_eq!(s.poll(1049), Ok(None));
    assert_eq!(s.poll(1050), ended(slow, Err(Failure::TimedOut)));
    assert_eq!(s.poll(1050), Ok(None));
    assert_eq!(s.requester.deadline(), Some(1061));
    let tokens: Vec<_> = (0..3).map(|_| s.take().0.token).collect();
    for token in tokens {
        s.respond(token, b"done");
    }
    // The first response is late. The second counts although its budget has passed meanwhile: it is there.
    assert_eq!(s.poll(1050), Ok(Some(Polled::Late)));
    assert_eq!(s.poll(5000), ended(slower, Ok(4)));
    assert_eq!(s.poll(5000), ended(unhurried, Ok(4)));
    assert_eq!(s.poll(u64::MAX), Ok(None));
    let stats = s.requester.stats();
    assert_eq!((stats.started, stats.timed_out, stats.answered, stats.late), (3, 1, 2, 1));
}

#[test]
fn late_responses_do_not_keep_other_budgets_from_passing() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let first = s.start(1, EMPTY);
    let (second, notice) = s.requester.start(0, 2, EMPTY, 10).unwrap();
    notice.ignore();
    s.requester.cancel(first).unwrap().ignore();
    assert_eq!(s.poll(0), ended(first, Err(Failure::Cancelled)));
    let (request, _) = s.take();
    s.respond(request.token, EMPTY);
    // One poll finds both: the late response, and the budget passed.
    assert_eq!(s.poll(10), ended(second, Err(Failure::TimedOut)));
    assert_eq!((s.poll(10), s.requester.stats().late), (Ok(None), 1));
}

#[test]
fn a_clock_that_stands_still_or_runs_backwards_only_delays_the_end() {
    let (mut a, mut b, _) = pair();
    let mut s = session(&mut a, &mut b);
    let (id, notice) = s.requester.start(u64::MAX - 5, 1, EMPTY, 100).unwrap();
    notice.ignore();
    assert_eq!(s.poll(0), Ok(None));
    assert_eq!(s.poll(u64::MAX - 5), Ok(None));
    assert_eq!(s.poll(3), Ok(None));
    assert_eq!(s.poll(u64::MAX), ended(id, Err(Failure::TimedOut)));
}
