//! The mailbox's own code in every interleaving, and with every value that a load may see, of two threads: each test is named
//! after a clause of `docs/wire-format.md`.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --test loom`, or `cargo xtask test loom`. Bounds, besides each model's own: rings of 4 slots,
//! and loom's: a load sees at most the last 7 values of a word, and none that is stored later.
#![cfg(loom)]

mod ends;
mod restart;
mod ring;
mod sampling;
mod sleep;
mod waker;

use ends::{Bound, Memory, Side, explore};
use ivshmem::channel::*;

/// One channel from the First end to the Second, of messages of two words.
const CHANNELS: [Channel; 1] = [Channel::queuing(End::First, 4, 16)];

/// The sending half and the receiving half.
fn halves(first: &mut Side, second: &mut Side) -> (Sender<'static, Memory>, Receiver<'static, Memory>) {
    (first.channels.sender(0).unwrap(), second.channels.receiver(0).unwrap())
}

/// A message of which every byte says which it is, so that parts of two are not taken for one.
fn message(number: u8) -> [u8; 16] {
    [number; 16]
}

/// The number of a message received.
#[track_caller]
fn number(bytes: &[u8]) -> u8 {
    assert_eq!(bytes, message(bytes[0]), "parts of two messages");
    bytes[0]
}

/// Receives, letting others go on, until there is something.
#[track_caller]
fn await_message(receiver: &mut Receiver<'_, Memory>) -> Result<u8, RecvError> {
    loop {
        if let Some(bytes) = receiver.try_recv(&mut [0; 16])? {
            return Ok(number(bytes));
        }
        loom::thread::yield_now();
    }
}

/// Sends, waiting for room.
#[track_caller]
fn send(sender: &mut Sender<'_, Memory>, number: u8) -> Result<Notice, SendError> {
    loop {
        match sender.try_send(&message(number)) {
            Err(SendError::Full) => loom::thread::yield_now(),
            result => return result,
        }
    }
}
