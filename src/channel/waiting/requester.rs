//! Waiting for the end of a request.

use super::super::request::{Polled, RequestError, Requester};
use crate::memory::Memory;
use crate::notify::Event;
use core::future::poll_fn;
use core::task::{Context, Poll};
use embedded_hal::delay::DelayNs;

impl<M: Memory, const N: usize> Requester<'_, M, N> {
    /// Gives the end of one request, as [`poll`](Self::poll) does, or has the task woken by `event`, the record of the response
    /// channel's vector, when there is something to poll for. A link that is not up counts as nothing.
    ///
    /// No doorbell tells that a budget has passed: whoever gives budgets wakes the event no later than at [`deadline`](Self::deadline), or
    /// periodically. At most the accesses of 3 `poll` and 2 [`arm`](Self::arm). One task waits on an event.
    pub fn poll_completed<E: Event + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        event: &E,
        now: u64,
        buffer: &mut [u8],
    ) -> Poll<Result<Polled, RequestError>> {
        let look = |this: &mut Self| ready(this.poll(now, buffer));
        super::poll_on(self, cx, event, look, Self::arm)
    }

    /// Gives the end of one request, waiting for it: [`poll_completed`](Self::poll_completed) until it is ready. `clock` is looked at
    /// whenever the task is woken.
    ///
    /// Waits for ever if no request is open. Dropping the future loses nothing.
    pub async fn completed<E: Event + ?Sized>(
        &mut self,
        event: &E,
        clock: impl Fn() -> u64,
        buffer: &mut [u8],
    ) -> Result<Polled, RequestError> {
        poll_fn(|cx| self.poll_completed(cx, event, clock(), buffer)).await
    }

    /// Gives the end of one request, polling every `step_ns` until `limit_ns` have passed.
    ///
    /// `None`: nothing came; [`RequestError::NotUp`]: nor was the link up at the end. Poll the link between the calls, or from another
    /// core. At most `limit_ns / step_ns + 1` times the accesses of [`poll`](Self::poll).
    pub fn completed_within(
        &mut self,
        delay: &mut impl DelayNs,
        step_ns: u32,
        limit_ns: u32,
        clock: impl Fn() -> u64,
        buffer: &mut [u8],
    ) -> Result<Option<Polled>, RequestError> {
        super::within(delay, step_ns, limit_ns, || self.poll(clock(), buffer), is_done)
    }
}

/// Whether there is nothing to wait for any more.
pub(super) fn is_done<T>(looked: &Result<Option<T>, RequestError>) -> bool {
    !matches!(looked, Ok(None) | Err(RequestError::NotUp))
}

/// Nothing there, and no link, are waited for.
pub(super) fn ready<T>(looked: Result<Option<T>, RequestError>) -> Poll<Result<T, RequestError>> {
    match looked.transpose() {
        None | Some(Err(RequestError::NotUp)) => Poll::Pending,
        Some(result) => Poll::Ready(result),
    }
}
