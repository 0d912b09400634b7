//! Waiting for a message.

use super::super::error::RecvError;
use super::super::receiver::Receiver;
use crate::memory::Memory;
use crate::notify::Event;
use core::future::poll_fn;
use core::task::{Context, Poll};
use embedded_hal::delay::DelayNs;

impl<M: Memory> Receiver<'_, M> {
    /// Receives the next message, or has the task woken by `event`, the record of this channel's vector, when there is something
    /// to look at. A link that is not up counts as no message.
    ///
    /// At most the accesses of 3 [`try_recv`](Self::try_recv) and 2 [`arm`](Self::arm). One task waits on an event.
    pub fn poll_recv<'b, E: Event + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        event: &E,
        buffer: &'b mut [u8],
    ) -> Poll<Result<&'b [u8], RecvError>> {
        // Always inside: the message was copied to the buffer's beginning.
        self.poll_take(cx, event, buffer).map_ok(|length| buffer.get(..length).unwrap_or_default())
    }

    /// Receives the next message into `buffer` and returns its bytes, waiting for it: [`poll_recv`](Self::poll_recv) until it is ready.
    ///
    /// Dropping the future loses no message.
    pub async fn recv_async<'b, E: Event + ?Sized>(
        &mut self,
        event: &E,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], RecvError> {
        let length = poll_fn(|cx| self.poll_take(cx, event, buffer)).await?;
        Ok(buffer.get(..length).unwrap_or_default())
    }

    /// Receives the next message into `buffer` and returns its bytes, looking every `step_ns` until `limit_ns` have passed.
    ///
    /// `None`: nothing came; [`RecvError::NotUp`]: nor was the link up at the end. Poll the link between the calls, or from another
    /// core. At most `limit_ns / step_ns + 1` times the accesses of [`try_recv`](Self::try_recv).
    pub fn recv_within<'b>(
        &mut self,
        delay: &mut impl DelayNs,
        step_ns: u32,
        limit_ns: u32,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, RecvError> {
        let look = || self.try_recv(buffer).map(|message| message.map(<[u8]>::len));
        let taken = super::within(delay, step_ns, limit_ns, look, is_done)?;
        Ok(taken.and_then(|length| buffer.get(..length)))
    }

    fn poll_take<E: Event + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        event: &E,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, RecvError>> {
        let slept_at = self.armed_at.take();
        let look = |this: &mut Self| ready(this.try_recv(buffer).map(|message| message.map(<[u8]>::len)));
        let arm = |this: &mut Self| {
            // Read before the wish: a doorbell that it brings is not in it.
            this.armed_at.get_or_insert_with(|| event.count());
            this.arm()
        };
        let taken = super::poll_on(self, cx, event, look, arm);
        if taken.is_pending() {
            self.stats.sleeps = self.stats.sleeps.saturating_add(1);
            return taken;
        }
        let at_once = self.armed_at.take().is_none();
        if at_once && matches!(taken, Poll::Ready(Ok(_))) && slept_at == Some(event.count()) {
            // Slept, and no doorbell came since: something else woke the task.
            self.stats.recovered_by_poll = self.stats.recovered_by_poll.saturating_add(1);
        }
        taken
    }
}

/// No message and no link are waited for.
pub(super) fn ready<T>(taken: Result<Option<T>, RecvError>) -> Poll<Result<T, RecvError>> {
    match taken.transpose() {
        None | Some(Err(RecvError::NotUp)) => Poll::Pending,
        Some(result) => Poll::Ready(result),
    }
}

/// Whether there is nothing to wait for any more.
pub(super) const fn is_done<T>(taken: &Result<Option<T>, RecvError>) -> bool {
    !matches!(taken, Ok(None) | Err(RecvError::NotUp))
}
