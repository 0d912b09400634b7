//! What an image brings of its own, with nothing in it that could panic; and, for the control, something that can.

use core::task::Waker;
use embedded_hal::delay::DelayNs;
use ivshmem::channel::RecvError;
use ivshmem::channel::request::{Answer, Call};
use ivshmem::notify::Event;

/// A user's work on a request.
pub type Handler = fn(Call<'_>, &mut [u8]) -> Answer;

/// A user's work on a message.
pub type Handle = fn(Result<&[u8], RecvError>);

#[derive(Debug)]
pub struct Delay;

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        core::hint::black_box(ns);
    }
}

#[derive(Debug)]
pub struct Bell;

impl Event for Bell {
    fn count(&self) -> u32 {
        core::hint::black_box(0)
    }

    fn register(&self, waker: &Waker) {
        waker.wake_by_ref();
    }
}

/// Memory that forgets to check an offset, as `SharedMemory` must not.
#[cfg(feature = "reachable-panic")]
#[derive(Debug)]
pub struct Indexed([u64; 512]);

#[cfg(feature = "reachable-panic")]
impl ivshmem::memory::Memory for Indexed {
    fn len(&self) -> usize {
        4096
    }

    fn load(&self, offset: usize) -> u64 {
        self.0[offset / 8]
    }

    fn store(&self, _: usize, _: u64) {}

    fn publish(&self, _: usize, _: u64) {}

    fn copy_out(&self, _: usize, _: &mut [u8]) {}

    fn copy_in(&self, _: usize, _: &[u8]) {}
}
