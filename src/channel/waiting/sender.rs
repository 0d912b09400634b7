//! Waiting for room.

use super::super::error::SendError;
use super::super::notice::Notice;
use super::super::sender::Sender;
use crate::memory::Memory;
use crate::notify::Event;
use core::future::poll_fn;
use core::task::{Context, Poll};
use embedded_hal::delay::DelayNs;

impl<M: Memory> Sender<'_, M> {
    /// Sends one message, or has the task woken by `event` to try again while the channel is full or the link not up.
    ///
    /// No doorbell announces room: `event` is one that is woken periodically, by a timer's tick for instance, or the one on
    /// which the peer's answers arrive. The accesses of two [`try_send`](Self::try_send) and a [`room`](Self::room). One task waits on an event.
    pub fn poll_send<E: Event + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        event: &E,
        message: &[u8],
    ) -> Poll<Result<Notice, SendError>> {
        if let Poll::Ready(sent) = ready(self.try_send(message)) {
            return Poll::Ready(sent);
        }
        event.register(cx.waker());
        // After the registration: room that was there before it is found by this look.
        match self.room() {
            Ok(0) | Err(SendError::NotUp) => Poll::Pending,
            Ok(_) => ready(self.try_send(message)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Sends one message, waiting for room and for the link, and says whether a doorbell is due for it:
    /// [`poll_send`](Self::poll_send) until it is ready.
    ///
    /// Of a future that is dropped before, nothing is sent.
    pub async fn send_async<E: Event + ?Sized>(&mut self, event: &E, message: &[u8]) -> Result<Notice, SendError> {
        poll_fn(|cx| self.poll_send(cx, event, message)).await
    }

    /// Sends one message, trying every `step_ns` until `limit_ns` have passed, and says whether a doorbell is due for it.
    ///
    /// [`SendError::Full`]: there was no room; [`SendError::NotUp`]: the link was not up at the end. Poll the link between the calls, or from
    /// another core. At most `limit_ns / step_ns + 1` times the accesses of [`try_send`](Self::try_send).
    pub fn send_within(
        &mut self,
        delay: &mut impl DelayNs,
        step_ns: u32,
        limit_ns: u32,
        message: &[u8],
    ) -> Result<Notice, SendError> {
        super::within(delay, step_ns, limit_ns, || self.try_send(message), is_done)
    }
}

/// Room and a link are waited for.
pub(super) fn ready(sent: Result<Notice, SendError>) -> Poll<Result<Notice, SendError>> {
    if is_done(&sent) { Poll::Ready(sent) } else { Poll::Pending }
}

/// Whether there is nothing to wait for any more.
pub(super) const fn is_done(sent: &Result<Notice, SendError>) -> bool {
    !matches!(sent, Err(SendError::Full | SendError::NotUp))
}
