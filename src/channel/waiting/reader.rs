//! Waiting for a value that was not seen yet.

use super::super::sampling::{ReadError, Reader};
use crate::memory::Memory;
use crate::notify::Event;
use core::future::poll_fn;
use core::task::{Context, Poll};
use embedded_hal::delay::DelayNs;

impl<M: Memory> Reader<'_, M> {
    /// Whether there is a value that [`read`](Self::read) has not given yet, or an error that it will give; if not, has the task
    /// woken by `event`, the record of this channel's vector, when there is. A link that is not up counts as no value.
    ///
    /// At most 5 loads and 2 stores. One task waits on an event. A [`Subscriber`](super::super::Subscriber)'s reader is never rung: its
    /// `event` is one that is woken periodically.
    pub fn poll_changed<E: Event + ?Sized>(&mut self, cx: &mut Context<'_>, event: &E) -> Poll<()> {
        let look = |this: &mut Self| if this.has_news() { Poll::Ready(()) } else { Poll::Pending };
        super::poll_on(self, cx, event, look, Self::arm)
    }

    /// Waits for a value that [`read`](Self::read) has not given yet, or for an error that it will give:
    /// [`poll_changed`](Self::poll_changed) until it is ready. Reads nothing itself.
    pub async fn changed<E: Event + ?Sized>(&mut self, event: &E) {
        poll_fn(|cx| self.poll_changed(cx, event)).await;
    }

    /// Whether such a value, or an error, comes while looking every `step_ns` until `limit_ns` have passed.
    ///
    /// Poll the link between the calls, or from another core. At most `limit_ns / step_ns + 1` loads.
    pub fn changed_within(&mut self, delay: &mut impl DelayNs, step_ns: u32, limit_ns: u32) -> bool {
        super::within(delay, step_ns, limit_ns, || self.has_news(), |news| *news)
    }

    fn has_news(&mut self) -> bool {
        match self.ready() {
            Ok(key) => self.is_unread(key),
            Err(ReadError::NotUp) => false,
            Err(_) => true,
        }
    }
}
