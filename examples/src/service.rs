//! What `echo` and `control-loop` have in common: take each message, answer it, keep the link, count.

use crate::announcer::{Announcer, News};
use crate::clock::Clock;
use crate::response::{MAX_LEN, Response};
use crate::say;
use crate::timer::Sleep;
use core::ops::ControlFlow;
use ivshmem::channel::{Channels, Link, LinkState, Notice, Receiver, RecvError, SendError, Sender, TakeError};
use ivshmem::memory::Memory;
use ivshmem::notify::Doorbell;

/// Looks before a message is worth a doorbell and a sleep.
const SPIN: u32 = 64;

/// One end that answers: messages in on channel 0, one answer for each on channel 1, in order.
///
/// An answer that the peer has no room for waits, and no message is taken meanwhile: nothing is dropped
/// unless the peer restarts. What the peer violates is said, counted, and begun anew.
#[derive(Debug)]
pub struct Service<'a, M, D> {
    link: Announcer<'a, M>,
    messages: Receiver<'a, M>,
    answers: Sender<'a, M>,
    doorbell: Option<D>,
    answer: Response,
    answer_waits: bool,
    counters: Counters,
}

/// What the receivers and senders do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    doorbells: u64,
    dropped: u64,
    resyncs: u32,
}

/// The numbers of an image's last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages received.
    pub received: u64,
    /// Answers sent.
    pub sent: u64,
    /// Answers that a peer which restarted never acknowledged, or that could not be sent to it: at most so many are
    /// lost.
    pub lost: u64,
    /// Doorbells rung.
    pub doorbells: u64,
    /// Messages found by looking although no doorbell announced them.
    pub recovered_by_poll: u64,
    /// Times the peer restarted.
    pub restarts: u32,
    /// Violations of the protocol by the peer.
    pub violations: u32,
    /// Times the link or a channel was begun anew after one.
    pub resyncs: u32,
}

/// What came of one look at the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// A message was taken, and its answer sent or kept; or a channel was begun anew. Bounded work, whatever the peer does.
    Work,
    /// There is nothing to do.
    Nothing,
    /// The message was the last: close the link and end.
    Last,
}

impl<'a, M: Memory, D: Doorbell> Service<'a, M, D> {
    /// Takes the halves. Without a doorbell the peer is never rung, and has to poll.
    pub fn new(
        name: &'static str,
        link: Link<'a, M>,
        mut channels: Channels<'a, M>,
        doorbell: Option<D>,
        clock: Clock,
    ) -> Result<Self, TakeError> {
        Ok(Self {
            link: Announcer::new(name, link, clock),
            messages: channels.receiver(0)?,
            answers: channels.sender(1)?,
            doorbell,
            answer: Response::new(),
            answer_waits: false,
            counters: Counters::default(),
        })
    }

    /// Looks at the peer and says, once each, that it came up, went stale, restarted, left, or cannot be talked to.
    pub fn poll_link(&mut self, now: u64) -> LinkState {
        let News { state, say_restarted, .. } = self.link.poll(now);
        if !state.is_up() && self.answer_waits {
            // Whoever asked is gone.
            self.drop_answer();
        }
        if say_restarted {
            // Of the session that ended nothing more is received: all that is counted so far is of it and those before.
            let (name, Totals { received, sent, lost, restarts, .. }) = (self.link.name(), self.totals());
            say!("{name}: restarted restarts={restarts} received={received} sent={sent} lost={lost}");
        }
        state
    }

    /// Takes one message, if there is one, and answers it with what `answer` writes.
    ///
    /// With `sleep` it waits for the message as [`Receiver::recv`] does; without, or while the link is down or an
    /// answer waits for room, it returns at once.
    pub fn serve(
        &mut self,
        sleep: Option<&Sleep>,
        answer: impl FnOnce(&[u8], &mut Response) -> ControlFlow<()>,
    ) -> Served {
        if self.answer_waits && !self.send() {
            return Served::Nothing;
        }
        let mut buffer = [0; MAX_LEN];
        let message = match sleep {
            Some(sleep) => self.messages.recv(&mut buffer, sleep, SPIN),
            None => self.messages.try_recv(&mut buffer),
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return Served::Nothing,
            Err(error) => return self.receive_failed(error),
        };
        self.answer.clear();
        let flow = answer(message, &mut self.answer);
        self.answer_waits = true;
        self.send();
        if flow.is_break() { Served::Last } else { Served::Work }
    }

    /// Tells the peer that this end is done. What was sent stays for it to receive.
    pub fn close(&mut self) {
        self.link.close();
    }

    /// What was counted so far.
    pub fn totals(&self) -> Totals {
        let (link, messages, answers) = (self.link.stats(), self.messages.stats(), self.answers.stats());
        Totals {
            received: messages.received,
            sent: answers.sent,
            lost: answers.lost_at_most.saturating_add(self.counters.dropped),
            doorbells: self.counters.doorbells,
            recovered_by_poll: messages.recovered_by_poll,
            restarts: link.peer_restarts,
            violations: link.violations.saturating_add(messages.violations).saturating_add(answers.violations),
            resyncs: self.counters.resyncs.saturating_add(self.link.resyncs()),
        }
    }

    /// Sends the answer, and says whether it is gone, one way or another.
    fn send(&mut self) -> bool {
        let sent = match self.answers.try_send(self.answer.bytes()) {
            // Said once when this half first meets a session. The answer is of that session: `poll_link` drops an older.
            Err(SendError::PeerRestarted { .. } | SendError::PeerResynced { .. }) => {
                self.answers.try_send(self.answer.bytes())
            }
            other => other,
        };
        match sent {
            Ok(notice) => {
                self.answer_waits = false;
                self.ring(notice);
            }
            Err(SendError::Full) => {}
            Err(error) => {
                self.drop_answer();
                if matches!(error, SendError::Violated(_)) {
                    self.link.complain(&error);
                    self.answers.resync();
                    self.counters.resyncs = self.counters.resyncs.saturating_add(1);
                }
            }
        }
        !self.answer_waits
    }

    fn ring(&mut self, notice: Notice) {
        let Some(doorbell) = &self.doorbell else { return notice.ignore() };
        // A peer that published an id or a vector that cannot be rung finds the answer by looking.
        if notice.ring(doorbell).unwrap_or(false) {
            self.counters.doorbells = self.counters.doorbells.saturating_add(1);
        }
    }

    fn drop_answer(&mut self) {
        self.answer_waits = false;
        self.counters.dropped = self.counters.dropped.saturating_add(1);
    }

    fn receive_failed(&mut self, error: RecvError) -> Served {
        match error {
            RecvError::Violated(_) => {
                self.link.complain(&error);
                self.messages.resync();
                self.counters.resyncs = self.counters.resyncs.saturating_add(1);
                Served::Work
            }
            // Said once: the next call receives.
            RecvError::PeerRestarted { .. } | RecvError::PeerResynced { .. } => Served::Work,
            _ => Served::Nothing,
        }
    }
}
