//! A channel's half, and a call of it.

use super::traffic::Traffic;
use crate::channel::{Channel, Receiver, RecvError, SendError, Sender};
use crate::fake::input::Input;
use crate::fake::memory::Bound;
use crate::memory::Memory;
use core::cell::Cell;
use std::vec;

/// What came of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called {
    /// What its documentation allows it.
    pub(super) bound: Bound,
    /// Whether it accused the peer of what no honest one does.
    pub(super) accuses: bool,
}

/// What a call of a half needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'c> {
    pub(super) input: &'c Input<'c>,
    pub(super) traffic: &'c Traffic,
    /// Whether the peer may have done what no honest one does.
    pub(super) tampered: &'c Cell<bool>,
    /// Sessions of the link so far.
    pub(super) sessions: u32,
}

/// A half of a channel.
#[derive(Debug)]
pub(super) struct Half<'a, M> {
    pub(super) index: usize,
    config: Channel,
    /// Sessions of the link at the last call that joined one.
    sessions: u32,
    side: Side<'a, M>,
}

#[derive(Debug)]
enum Side<'a, M> {
    Sender(Sender<'a, M>),
    Receiver {
        receiver: Receiver<'a, M>,
        /// Whether the last call received a message.
        received: bool,
        /// Whether nothing was reported since the last message.
        gapless: bool,
    },
}

impl<'a, M: Memory> Half<'a, M> {
    pub(super) fn sender(index: usize, config: Channel, sender: Sender<'a, M>) -> Self {
        Self { index, config, sessions: 0, side: Side::Sender(sender) }
    }

    pub(super) fn receiver(index: usize, config: Channel, receiver: Receiver<'a, M>) -> Self {
        let side = Side::Receiver { receiver, received: false, gapless: false };
        Self { index, config, sessions: 0, side }
    }

    /// One call, of the `what`-th kind that this half has.
    pub(super) fn call(&mut self, what: u8, with: Circumstances<'_>) -> Called {
        // The next call that joins a session may join a new one.
        let begins = self.sessions != with.sessions;
        let slots = self.config.slots() as usize;
        let words = usize::from(self.config.max_len()).div_ceil(8);
        let max = self.config.max_len();
        let (bound, accuses) = match &mut self.side {
            Side::Sender(sender) => {
                let (loads, result) = match what % 8 {
                    0..5 => (2, send(sender, with, max)),
                    5 => (1, publish(sender, with, max)),
                    6 => {
                        sender.notice().ignore();
                        return Called { bound: Bound { loads: 1, stores: 0, words: 0 }, accuses: false };
                    }
                    _ => {
                        assert!(sender.resync() <= slots as u64);
                        return Called { bound: Bound { loads: 0, stores: 4 + slots, words: 0 }, accuses: false };
                    }
                };
                assert!(sender.in_flight() <= slots as u64);
                if !matches!(result, Err(SendError::NotUp | SendError::Closed)) {
                    self.sessions = with.sessions;
                }
                let starts = begins || matches!(result, Err(SendError::PeerResynced { .. }));
                let stores = if starts { 1 + 4 + slots } else { 1 };
                (Bound { loads, stores, words }, matches!(result, Err(SendError::Violated(_))))
            }
            Side::Receiver { receiver, received, gapless } => match what % 8 {
                0..6 => {
                    // Once in a while one that is too small.
                    let room = if what % 8 == 5 { usize::from(with.input.byte()) } else { max.into() };
                    let mut buffer = vec![0; room];
                    let result = receiver.try_recv(&mut buffer);
                    let bound = Bound { loads: 3 - usize::from(*received), stores: 1 + usize::from(begins), words };
                    if !matches!(result, Err(RecvError::NotUp | RecvError::Closed)) {
                        self.sessions = with.sessions;
                    }
                    *received = false;
                    if let Ok(Some(bytes)) = result {
                        assert!(bytes.len() <= max.into());
                        if !with.tampered.get() {
                            with.traffic.received(bytes, max, *gapless);
                        }
                        (*received, *gapless) = (true, true);
                    }
                    if !matches!(result, Ok(_) | Err(RecvError::BufferTooSmall { .. })) {
                        *gapless = false;
                    }
                    (bound, matches!(result, Err(RecvError::Violated(_))))
                }
                6 => {
                    let _ = receiver.arm();
                    (Bound { loads: 1, stores: 2, words: 0 }, false)
                }
                _ => {
                    receiver.resync();
                    (*received, *gapless) = (false, false);
                    (Bound { loads: 0, stores: 1, words: 0 }, false)
                }
            },
        };
        Called { bound, accuses }
    }

    /// Sends a message if this half does, with a peer that is honest and there.
    pub(super) fn must_send(&mut self, traffic: &Traffic) {
        if let Side::Sender(sender) = &mut self.side {
            sender.try_send(&traffic.message(self.config.max_len())).expect("a new session takes a message").ignore();
            traffic.sent();
        }
    }

    /// Receives that message if this half does.
    pub(super) fn must_receive(&mut self, traffic: &Traffic) {
        if let Side::Receiver { receiver, .. } = &mut self.side {
            let max = self.config.max_len();
            let mut buffer = vec![0; max.into()];
            let message = receiver.try_recv(&mut buffer).expect("a new session carries messages");
            traffic.received(message.expect("the message is there"), max, false);
        }
    }
}

fn send<M: Memory>(sender: &mut Sender<'_, M>, with: Circumstances<'_>, max: u16) -> Result<(), SendError> {
    sender.try_send(&with.traffic.message(max)).map(|notice| {
        with.traffic.sent();
        notice.ignore();
    })
}

fn publish<M: Memory>(sender: &mut Sender<'_, M>, with: Circumstances<'_>, max: u16) -> Result<(), SendError> {
    sender.try_publish(&with.traffic.message(max)).inspect(|()| with.traffic.sent())
}
