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
        let taken =
            super::within(delay, step_ns, limit_ns, look, |taken| !matches!(taken, Ok(None) | Err(RecvError::NotUp)))?;
        Ok(taken.and_then(|length| buffer.get(..length)))
    }

    fn poll_take<E: Event + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        event: &E,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, RecvError>> {
        let armed_at = self.armed_at.take();
        if let Poll::Ready(taken) = self.look(buffer) {
            if taken.is_ok() && armed_at == Some(event.count()) {
                // Slept, and no doorbell came since: something else woke the task.
                self.stats.recovered_by_poll = self.stats.recovered_by_poll.saturating_add(1);
            }
            return Poll::Ready(taken);
        }
        // Before the wish: the doorbell that it asks for then finds the waker.
        event.register(cx.waker());
        let count = event.count();
        // After the registration: whatever rang before it is found by these looks. Twice, as the first may have joined a session
        // that began meanwhile, and then nothing was wished for in it yet.
        for _ in 0..2 {
            if !self.arm() {
                break;
            }
            if let Poll::Ready(taken) = self.look(buffer) {
                return Poll::Ready(taken);
            }
        }
        self.armed_at = Some(count);
        self.stats.sleeps = self.stats.sleeps.saturating_add(1);
        Poll::Pending
    }

    fn look(&mut self, buffer: &mut [u8]) -> Poll<Result<usize, RecvError>> {
        match self.try_recv(buffer) {
            Ok(Some(message)) => Poll::Ready(Ok(message.len())),
            Ok(None) | Err(RecvError::NotUp) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
