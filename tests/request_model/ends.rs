//! The end that asks and the one that answers, each with its link.

use crate::{ASKED, CHANNELS, TAKEN, TICKS};
use ivshmem::channel::request::*;
use ivshmem::channel::*;
use ivshmem::memory::{Memory, SharedMemory};
use std::collections::HashMap;

/// One of the two ends' link, and when it was last up.
pub struct Linked {
    pub link: Link<'static, SharedMemory>,
    pub session: Option<u64>,
    pub closed: bool,
}

impl Linked {
    pub fn poll(&mut self) {
        self.session = match self.link.poll(0) {
            LinkState::Up { session } => Some(session),
            _ => None,
        }
    }
}

pub struct Asking {
    pub linked: Linked,
    pub requester: Requester<'static, SharedMemory, ASKED>,
    /// The numbers of the requests that this requester has open, by name.
    pub open: HashMap<RequestId, u32>,
}

impl Asking {
    pub fn attach(memory: &SharedMemory) -> Self {
        let (linked, mut channels) = attach(memory, End::Second);
        Self { linked, requester: channels.requester(0, 1, TICKS).unwrap(), open: HashMap::new() }
    }
}

pub enum Work {
    Later { responder: Box<Responder<'static, SharedMemory, TAKEN>>, tokens: Vec<(Token, u32)>, spent: Vec<Token> },
    Cycle(Box<Server<'static, SharedMemory, TAKEN, 32>>),
}

pub struct Answering {
    pub linked: Linked,
    pub work: Work,
}

impl Answering {
    pub fn attach(memory: &SharedMemory, server: bool) -> Self {
        let (linked, mut channels) = attach(memory, End::First);
        let responder = channels.responder(0, 1, TICKS).unwrap();
        let work = match server {
            true => Work::Cycle(Box::new(Server::new(responder).unwrap())),
            false => Work::Later { responder: Box::new(responder), tokens: Vec::new(), spent: Vec::new() },
        };
        Self { linked, work }
    }
}

fn attach(memory: &SharedMemory, end: End) -> (Linked, Channels<'static, SharedMemory>) {
    let memory = memory.window(0, memory.len()).unwrap();
    // Leaked, as a dead one would be.
    let mailbox = Box::leak(Box::new(Mailbox::new(memory, end, &CHANNELS).unwrap()));
    let (link, channels) = mailbox.attach(Attach::interrupt_driven(end as u16));
    (Linked { link, session: None, closed: false }, channels)
}
