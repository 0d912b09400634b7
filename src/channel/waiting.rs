//! Waiting for a channel: thin layers over `try_*`, which is the only state machine.
//!
//! | form | for | waits by |
//! |---|---|---|
//! | `try_x` | a loop that polls | not at all |
//! | [`Receiver::recv`](super::Receiver::recv) | a loop that sleeps | spinning, then a [`Wait`](crate::notify::Wait) of bounded length |
//! | `x_within` | a loop without interrupts | a [`DelayNs`] between looks, up to a limit |
//! | `poll_x` | a future of one's own | an [`Event`](crate::notify::Event) that wakes its waker |
//! | `x_async`, for sampling `changed` | a task | `poll_x` until it is ready |
//!
//! # No wake-up is lost
//! `poll_x` looks, registers its waker, arms, and looks again. A doorbell before the registration was for what the second look
//! finds; one after it wakes. The same holds for an interrupt on the core that registers: neither waits for the other.
//!
//! # What no doorbell announces
//! A link that comes up or down, a peer that restarts, and room in a full channel. And a doorbell may be lost. Wake the event now and
//! then (on x86_64 `interrupt::Vector::wake`, from a timer's tick), at least once a poll period: the task then looks once, and looks in vain
//! for the price of a `try_x`. A task that polls the link wakes the others when its state changes.
//!
//! A link that is not up is waited for like a message. Every error is handed on as `try_x` gives it, at once: a task
//! that ignores `Closed` or `Violated` and calls again never lets others run. Nor does one whose channel the peer keeps full, as
//! nothing has to be waited for: a task that shares its executor yields after some number of messages.
//!
//! # Cancellation
//! A future may be dropped at any await: a message is received, or sent, by the very poll that is ready with it, and by no other. What a
//! dropped one leaves behind is at most a wish for one doorbell and a waker, which the next one replaces.

mod reader;
mod receiver;
mod sender;

use embedded_hal::delay::DelayNs;

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
