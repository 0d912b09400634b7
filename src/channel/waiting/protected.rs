//! Waiting for room, for a message and for a value of a protected channel.

use super::super::error::{RecvError, SendError};
use super::super::notice::Notice;
use super::super::protection::{Checked, ProtectedReader, ProtectedReceiver, ProtectedSender};
use super::{receiver, sender};
use crate::memory::Memory;
use crate::notify::Event;
use core::future::poll_fn;
use core::task::{Context, Poll};
use embedded_hal::delay::DelayNs;

impl<M: Memory> ProtectedSender<'_, M> {
    /// Sends one message, or has the task woken by `event` to try again while the channel is full or the link not up: as
    /// [`Sender::poll_send`](super::super::Sender::poll_send), with at most the accesses of 3 [`try_send`](Self::try_send).
    pub fn poll_send<E: Event + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        event: &E,
        message: &[u8],
    ) -> Poll<Result<Notice, SendError>> {
        let look = |this: &mut Self| sender::ready(this.try_send(message));
        // No doorbell announces room, and so there is no wish to make: only to look again.
        super::poll_on(self, cx, event, look, |_| true)
    }

    /// Sends one message, waiting for room and for the link: [`poll_send`](Self::poll_send) until it is ready.
    ///
    /// Of a future that is dropped before, nothing is sent.
    pub async fn send_async<E: Event + ?Sized>(&mut self, event: &E, message: &[u8]) -> Result<Notice, SendError> {
        poll_fn(|cx| self.poll_send(cx, event, message)).await
    }

    /// Sends one message, trying every `step_ns` until `limit_ns` have passed: as [`Sender::send_within`](super::super::Sender::send_within).
    pub fn send_within(
        &mut self,
        delay: &mut impl DelayNs,
        step_ns: u32,
        limit_ns: u32,
        message: &[u8],
    ) -> Result<Notice, SendError> {
        super::within(delay, step_ns, limit_ns, || self.try_send(message), sender::is_done)
    }
}

impl<M: Memory> ProtectedReceiver<'_, M> {
    /// Receives and checks the next message, as [`try_recv`](Self::try_recv) does, or has the task woken by `event`, the record of this
    /// channel's vector, when there is something to look at. A link that is not up counts as no message.
    ///
    /// The age counts from the last look that found nothing: where there is a validity period, wake the event more often than that, or
    /// what comes after a long sleep is stale. At most the accesses of 3 `try_recv` and 2 [`arm`](Self::arm). One task waits on an event.
    pub fn poll_recv<'b, E: Event + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        event: &E,
        now: u64,
        buffer: &'b mut [u8],
    ) -> Poll<Result<Checked<'b>, RecvError>> {
        let look = |this: &mut Self| receiver::ready(this.take(buffer, now));
        super::poll_on(self, cx, event, look, Self::arm).map_ok(|received| received.into_checked(buffer))
    }

    /// Receives and checks the next message, waiting for it: [`poll_recv`](Self::poll_recv) until it is ready. `clock` is looked at
    /// whenever the task is woken.
    ///
    /// Dropping the future loses no message.
    pub async fn recv_async<'b, E: Event + ?Sized>(
        &mut self,
        event: &E,
        clock: impl Fn() -> u64,
        buffer: &'b mut [u8],
    ) -> Result<Checked<'b>, RecvError> {
        let look = |this: &mut Self, buffer: &mut [u8]| receiver::ready(this.take(buffer, clock()));
        let received = poll_fn(|cx| super::poll_on(self, cx, event, |this| look(this, buffer), Self::arm)).await?;
        Ok(received.into_checked(buffer))
    }

    /// Receives and checks the next message, looking every `step_ns` until `limit_ns` have passed: as
    /// [`Receiver::recv_within`](super::super::Receiver::recv_within).
    pub fn recv_within<'b>(
        &mut self,
        delay: &mut impl DelayNs,
        step_ns: u32,
        limit_ns: u32,
        clock: impl Fn() -> u64,
        buffer: &'b mut [u8],
    ) -> Result<Option<Checked<'b>>, RecvError> {
        let look = || self.take(buffer, clock());
        let received = super::within(delay, step_ns, limit_ns, look, receiver::is_done)?;
        Ok(received.map(|received| received.into_checked(buffer)))
    }
}

impl<M: Memory> ProtectedReader<'_, M> {
    /// Whether there is a value that [`read`](Self::read) has not given yet: as [`Reader::poll_changed`](super::super::Reader::poll_changed).
    pub fn poll_changed<E: Event + ?Sized>(&mut self, cx: &mut Context<'_>, event: &E) -> Poll<()> {
        self.reader.poll_changed(cx, event)
    }

    /// Waits for a value that [`read`](Self::read) has not given yet: [`poll_changed`](Self::poll_changed) until it is ready.
    pub async fn changed<E: Event + ?Sized>(&mut self, event: &E) {
        self.reader.changed(event).await;
    }

    /// Whether such a value comes within `limit_ns`: as [`Reader::changed_within`](super::super::Reader::changed_within).
    pub fn changed_within(&mut self, delay: &mut impl DelayNs, step_ns: u32, limit_ns: u32) -> bool {
        self.reader.changed_within(delay, step_ns, limit_ns)
    }
}
