//! The halves of a queuing channel.

use super::{Called, Circumstances, Half, words};
use crate::channel::{Channel, Channels, Receiver, RecvError, SendError, Sender};
use crate::fake::drive::traffic::Traffic;
use crate::memory::Memory;
use core::fmt;
use std::vec;

/// A sender.
#[derive(Debug)]
pub(super) struct Sends<'a, M> {
    index: usize,
    config: Channel,
    /// Sessions of the link at the last call that joined one.
    sessions: u32,
    sender: Sender<'a, M>,
}

impl<'a, M: Memory> Sends<'a, M> {
    pub(super) fn new(index: usize, config: Channel, channels: &mut Channels<'a, M>) -> Self {
        Self { index, config, sessions: 0, sender: channels.sender(index).expect("taken once") }
    }
}

impl<M: Memory + fmt::Debug> Half for Sends<'_, M> {
    fn index(&self) -> usize {
        self.index
    }

    fn call(&mut self, with: Circumstances<'_>) -> Called {
        let Self { config, sender, .. } = self;
        let slots = config.slots() as usize;
        let message = with.traffic.message(config.max_len());
        let (loads, result) = match with.input.byte() % 8 {
            0..3 => (2, sender.try_send(&message).map(|notice| notice.ignore()).inspect(|()| with.traffic.sent())),
            3 => {
                let sent = sender.try_send_lossy(&message);
                let dropped = matches!(sent, Ok(None));
                let sent = sent.map(|notice| notice.into_iter().for_each(|notice| notice.ignore()));
                (
                    2,
                    sent.inspect(|()| {
                        if !dropped {
                            with.traffic.sent()
                        }
                    }),
                )
            }
            4 => (1, sender.room().map(|room| assert!(room <= slots as u32))),
            5 => (1, sender.try_publish(&message).inspect(|()| with.traffic.sent())),
            6 => {
                sender.notice().ignore();
                return Called::within(1, 0, 0);
            }
            _ => {
                assert!(sender.resync() <= slots as u64);
                return Called::within(1, 4 + slots, 0);
            }
        };
        assert!(sender.in_flight() <= slots as u64);
        // The first call of a session, and one that answers PeerResynced, begins the ring anew.
        let anew = self.sessions != with.sessions || matches!(result, Err(SendError::PeerResynced { .. }));
        if !matches!(result, Err(SendError::NotUp | SendError::Closed)) {
            self.sessions = with.sessions;
        }
        let stores = if anew { 1 + 4 + slots } else { 1 };
        Called::within(loads, stores, words(*config)).accusing(matches!(result, Err(SendError::Violated(_))))
    }

    fn must_send(&mut self, traffic: &Traffic) {
        let message = traffic.message(self.config.max_len());
        self.sender.try_send(&message).expect("a new session takes a message").ignore();
        traffic.sent();
    }

    fn must_receive(&mut self, _: &Traffic) {}
}

/// A receiver.
#[derive(Debug)]
pub(super) struct Receives<'a, M> {
    index: usize,
    config: Channel,
    /// Sessions of the link at the last call that joined one.
    sessions: u32,
    receiver: Receiver<'a, M>,
    /// Whether the last call received a message.
    received: bool,
    /// Whether nothing was reported since the last message.
    gapless: bool,
}

impl<'a, M: Memory> Receives<'a, M> {
    pub(super) fn new(index: usize, config: Channel, channels: &mut Channels<'a, M>) -> Self {
        let receiver = channels.receiver(index).expect("taken once");
        Self { index, config, sessions: 0, receiver, received: false, gapless: false }
    }

    fn receive(&mut self, room: usize, with: Circumstances<'_>) -> Called {
        let mut buffer = vec![0; room];
        let max = self.config.max_len();
        let result = self.receiver.try_recv(&mut buffer);
        let (joined, begins) = (self.received, self.sessions != with.sessions);
        if !matches!(result, Err(RecvError::NotUp | RecvError::Closed)) {
            self.sessions = with.sessions;
        }
        self.received = false;
        if let Ok(Some(bytes)) = result {
            assert!(bytes.len() <= max.into());
            if !with.tampered.get() {
                with.traffic.received(bytes, max, self.gapless);
            }
            (self.received, self.gapless) = (true, true);
        }
        if !matches!(result, Ok(_) | Err(RecvError::BufferTooSmall { .. })) {
            self.gapless = false;
        }
        // One load more until the sender is seen to have joined, one store more on the first call of a session.
        let called = Called::within(3 - usize::from(joined), 1 + usize::from(begins), words(self.config));
        called.accusing(matches!(result, Err(RecvError::Violated(_))))
    }
}

impl<M: Memory + fmt::Debug> Half for Receives<'_, M> {
    fn index(&self) -> usize {
        self.index
    }

    fn call(&mut self, with: Circumstances<'_>) -> Called {
        match with.input.byte() % 8 {
            0..5 => self.receive(self.config.max_len().into(), with),
            // Perhaps too small.
            5 => self.receive(with.input.byte().into(), with),
            6 => {
                let _ = self.receiver.arm();
                Called::within(2, 2, 0)
            }
            _ => {
                self.receiver.resync();
                (self.received, self.gapless) = (false, false);
                Called::within(1, 1, 0)
            }
        }
    }

    fn must_send(&mut self, _: &Traffic) {}

    fn must_receive(&mut self, traffic: &Traffic) {
        let max = self.config.max_len();
        let mut buffer = vec![0; max.into()];
        let message = self.receiver.try_recv(&mut buffer).expect("a new session carries messages");
        traffic.received(message.expect("the message is there"), max, false);
    }
}
