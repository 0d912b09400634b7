//! The two questions a channel asks of hardware: ring a peer's vector, and has my vector fired?
//!
//! A doorbell is a hint. Everything works, slower, with every doorbell lost; see [`crate::channel`].

use core::task::Waker;

/// Rings a peer.
///
/// Implemented by the device's Doorbell register, by an ivshmem server's client and by test doubles.
pub trait Doorbell {
    /// Why a ring was refused on this side. What happens on the other side is never known.
    type Error;

    /// Rings `vector` (0 to 255) of the peer whose IVPosition is `peer` (0 to 65535).
    ///
    /// On hardware this is one 32-bit register write and a VM exit of microseconds.
    fn ring(&self, peer: u16, vector: u16) -> Result<(), Self::Error>;
}

/// The record of one own vector: how often it fired, and whom to wake.
pub trait Event {
    /// How often the vector fired so far, wrapping. Doorbells coalesce: never count messages by it.
    fn count(&self) -> u32;

    /// Registers the task to wake at the next firing, in place of any earlier one: one task waits on an event.
    ///
    /// Register first and look at the channel after it, or the firing in between is lost.
    fn register(&self, waker: &Waker);
}

/// Sleeps until a vector fires, for a bounded time.
///
/// The bound is the implementor's: it is the longest time by which a lost doorbell delays a message.
pub trait Wait {
    /// How often the vector fired so far, wrapping.
    fn count(&self) -> u32;

    /// Returns `true` once [`count`](Self::count) differs from `seen`, `false` once the bound has passed.
    ///
    /// Returns at once if the count differs already: a firing between reading `seen` and this call is not lost.
    fn wait(&self, seen: u32) -> bool;
}
