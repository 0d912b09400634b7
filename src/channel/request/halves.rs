//! One half of a request and one of a response channel, which follow the sessions as one.

use super::error::RequestError;
use crate::channel::board::{Closed, Session};
use crate::channel::channels::{Channels, TakeError};
use crate::channel::config::{Channel, End, Kind};
use crate::channel::mailbox::Mailbox;
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::memory::Memory;

/// Both halves of one end, in one session.
#[derive(Debug)]
pub(super) struct Halves<'a, M> {
    mailbox: &'a Mailbox<'a, M>,
    pub(super) sender: Sender<'a, M>,
    pub(super) receiver: Receiver<'a, M>,
    /// The session that both have joined.
    session: Option<Session>,
}

/// How the session stands, at the beginning of a call.
pub(super) enum Standing {
    /// The same as at the last call, or the first.
    Up,
    /// Another than at the last call: said once.
    Began,
    /// The peer closed, and what it sent in this session can still be received.
    Left,
    /// There is none, and the one that was will not come back.
    Down(RequestError),
}

impl<'a, M: Memory> Halves<'a, M> {
    pub(super) fn new(mailbox: &'a Mailbox<'a, M>, sender: Sender<'a, M>, receiver: Receiver<'a, M>) -> Self {
        Self { mailbox, sender, receiver, session: None }
    }

    /// Looks how the session stands, and joins a new one with both halves, so that neither says anything of it later.
    #[inline]
    pub(super) fn follow(&mut self) -> Standing {
        let board = &self.mailbox.board;
        let Some(session) = board.session() else {
            return match board.closed() {
                Closed::There if self.session.is_some() && self.session == board.last_session() => Standing::Left,
                Closed::No => Standing::Down(RequestError::NotUp),
                Closed::Here | Closed::There => Standing::Down(RequestError::Closed),
            };
        };
        if self.session == Some(session) { Standing::Up } else { self.join(session) }
    }

    #[cold]
    fn join(&mut self, session: Session) -> Standing {
        // What they answer is that the session is new, which is said once for both, or what they will say again.
        let _ = (self.sender.ready(), self.receiver.ready());
        if self.sender.session() != Some(session) || self.receiver.session() != Some(session) {
            // The link, on another core, has gone on meanwhile: a later call finds both halves in one session.
            return Standing::Down(RequestError::NotUp);
        }
        match self.session.replace(session) {
            None => Standing::Up,
            Some(_) => Standing::Began,
        }
    }
}

impl<M: Memory> Channels<'_, M> {
    /// Takes this end's halves of a request channel that `from` sends and of its response channel: both or none.
    pub(super) fn take_pair(
        &mut self,
        request: usize,
        response: usize,
        from: End,
    ) -> Result<(Channel, Channel), TakeError> {
        let taken = self.taken;
        let requests = self.take(request, from, Kind::Request, false)?;
        let responses = self.take(response, from.other(), Kind::Response, false);
        if responses.is_err() {
            self.taken = taken;
        }
        Ok((requests, responses?))
    }
}
