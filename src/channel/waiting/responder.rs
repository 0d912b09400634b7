//! Waiting for a request.

use super::super::request::{Incoming, RequestError, Responder};
use super::requester::{is_done, ready};
use crate::memory::Memory;
use crate::notify::Event;
use core::future::poll_fn;
use core::task::{Context, Poll};
use embedded_hal::delay::DelayNs;

impl<M: Memory, const N: usize> Responder<'_, M, N> {
    /// Takes the next message, as [`next`](Self::next) does, or has the task woken by `event`, the record of the request channel's
    /// vector, when there may be one. A link that is not up counts as no message.
    ///
    /// While `N` requests are open, or the response channel is full, none is taken though there may be some: answer first, and as no doorbell
    /// announces room, wake the event now and then. At most the accesses of 3 `next` and 2 [`arm`](Self::arm). One task waits on an event.
    pub fn poll_next<E: Event + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        event: &E,
        now: u64,
        buffer: &mut [u8],
    ) -> Poll<Result<Incoming, RequestError>> {
        let look = |this: &mut Self| ready(this.next(now, buffer));
        super::poll_on(self, cx, event, look, Self::arm)
    }

    /// Takes the next message, waiting for it: [`poll_next`](Self::poll_next) until it is ready. `clock` is looked at whenever the
    /// task is woken.
    ///
    /// Dropping the future loses no request.
    pub async fn next_async<E: Event + ?Sized>(
        &mut self,
        event: &E,
        clock: impl Fn() -> u64,
        buffer: &mut [u8],
    ) -> Result<Incoming, RequestError> {
        poll_fn(|cx| self.poll_next(cx, event, clock(), buffer)).await
    }

    /// Takes the next message, looking every `step_ns` until `limit_ns` have passed.
    ///
    /// `None`: nothing came; [`RequestError::NotUp`]: nor was the link up at the end. Poll the link between the calls, or from another
    /// core. At most `limit_ns / step_ns + 1` times the accesses of [`next`](Self::next).
    pub fn next_within(
        &mut self,
        delay: &mut impl DelayNs,
        step_ns: u32,
        limit_ns: u32,
        clock: impl Fn() -> u64,
        buffer: &mut [u8],
    ) -> Result<Option<Incoming>, RequestError> {
        super::within(delay, step_ns, limit_ns, || self.next(clock(), buffer), is_done)
    }
}
