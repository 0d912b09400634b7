//! Waiting for requests to serve.

use super::super::request::{Answer, Call, RequestError, Served, Server};
use crate::memory::Memory;
use crate::notify::Event;
use core::future::poll_fn;
use core::task::{Context, Poll};

impl<M: Memory, const N: usize, const LEN: usize> Server<'_, M, N, LEN> {
    /// Serves what has come, as [`serve`](Self::serve) does, or has the task woken by `event`, the record of the request channel's vector,
    /// when there may be something to serve. A link that is not up counts as no request.
    ///
    /// Requests that the budget left are served first, before any wait. A task that found only cancellations and expired requests, and not the
    /// last of them, wakes itself. At most the accesses of 3 `serve` and 2 [`arm`](Self::arm). One task
    /// waits on an event.
    pub fn poll_serve<E: Event + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        event: &E,
        budget: u32,
        now: u64,
        scratch: &mut [u8],
        mut handler: impl FnMut(Call<'_>, &mut [u8]) -> Answer,
    ) -> Poll<Result<Served, RequestError>> {
        let look = |this: &mut Self| match this.serve(budget, now, scratch, &mut handler) {
            Ok(Served { handled: 0, notice, .. }) if !notice.is_due() => Poll::Pending,
            Err(RequestError::NotUp) => Poll::Pending,
            result => Poll::Ready(result),
        };
        let polled = super::poll_on(self, cx, event, look, Self::arm);
        if polled.is_pending() && self.has_more() {
            // Nothing but cancellations and requests that are over, as many as the looks may take: no doorbell tells of what is behind them.
            cx.waker().wake_by_ref();
        }
        polled
    }

    /// Serves up to `budget` requests, waiting for the first: [`poll_serve`](Self::poll_serve) until it is ready. `clock` is looked at
    /// whenever the task is woken.
    ///
    /// Dropping the future loses no request.
    pub async fn serve_async<E: Event + ?Sized>(
        &mut self,
        event: &E,
        budget: u32,
        clock: impl Fn() -> u64,
        scratch: &mut [u8],
        mut handler: impl FnMut(Call<'_>, &mut [u8]) -> Answer,
    ) -> Result<Served, RequestError> {
        poll_fn(|cx| self.poll_serve(cx, event, budget, clock(), scratch, &mut handler)).await
    }
}
