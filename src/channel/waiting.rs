//! Waiting for a channel: thin layers over `try_*`, which is the only state machine. What users must know stands in [`channel`](super).

#[cfg(feature = "protection")]
mod protected;
mod reader;
mod receiver;
mod requester;
mod responder;
mod sender;
mod server;

use crate::notify::Event;
use core::task::{Context, Poll};
use embedded_hal::delay::DelayNs;

/// Looks; then registers, arms and, if that found news, looks again: twice, as that look may have joined a session that began
/// meanwhile, and then nothing was wished for in it yet. Three looks at most, and two times `arm`.
fn poll_on<T, S, E: Event + ?Sized>(
    half: &mut S,
    cx: &mut Context<'_>,
    event: &E,
    mut look: impl FnMut(&mut S) -> Poll<T>,
    arm: impl Fn(&mut S) -> bool,
) -> Poll<T> {
    if let Poll::Ready(seen) = look(half) {
        return Poll::Ready(seen);
    }
    // Before the wish: the doorbell that it asks for then finds the waker.
    event.register(cx.waker());
    // After the registration: whatever rang before it is found by these looks.
    for _ in 0..2 {
        if !arm(half) {
            break;
        }
        if let Poll::Ready(seen) = look(half) {
            return Poll::Ready(seen);
        }
    }
    Poll::Pending
}

/// Looks until `look` is done, with `step_ns` between two looks and at most `limit_ns` in all; then gives what the last look gave.
fn within<T>(
    delay: &mut impl DelayNs,
    step_ns: u32,
    limit_ns: u32,
    mut look: impl FnMut() -> T,
    is_done: impl Fn(&T) -> bool,
) -> T {
    // A step of 0 counts as one of 1 ns: the looks stay bounded.
    let step_ns = step_ns.max(1);
    let mut waits = limit_ns.checked_div(step_ns).unwrap_or(0);
    loop {
        let seen = look();
        if waits == 0 || is_done(&seen) {
            return seen;
        }
        delay.delay_ns(step_ns);
        waits = waits.saturating_sub(1);
    }
}
