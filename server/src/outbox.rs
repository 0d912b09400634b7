//! What waits to be sent to one client.
//!
//! A client that does not read costs the others nothing: its messages wait here, one entry for each coming or going,
//! and past a bound the client is dropped.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use crate::protocol::{self, MEMORY, VERSION};

/// How many messages one client gets in a row before the others have their turn.
const TURN: usize = 256;

/// A client's eventfds, in the order of its vectors.
pub(crate) type Vectors = Arc<[OwnedFd]>;

#[derive(Debug)]
enum Entry {
    /// A message without a descriptor.
    Plain(i64),
    Memory,
    /// A peer's vectors, from `next` on.
    Arrival {
        peer: u16,
        vectors: Vectors,
        next: usize,
    },
}

/// How far sending got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// Nothing waits any more.
    Empty,
    /// The client has to read first.
    Full,
    /// More could be sent, but it is the others' turn.
    More,
    /// The kernel has too many descriptors of ours in flight: some client has to read first, and nothing will tell
    /// when.
    Congested,
    /// The connection is lost.
    Lost(Errno),
}

/// What waits to be sent to one client.
#[derive(Debug)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    /// How many of the first entries are still of the greeting.
    greeting: usize,
    backlog: usize,
}

impl Outbox {
    /// The greeting of the client `id`: version, id, memory, the others' vectors, its own. `backlog` entries may come
    /// on top.
    pub fn greeting<'a>(
        id: u16,
        vectors: &Vectors,
        others: impl Iterator<Item = (u16, &'a Vectors)>,
        backlog: usize,
    ) -> Self {
        let arrival = |(peer, vectors): (u16, &Vectors)| Entry::Arrival { peer, vectors: vectors.clone(), next: 0 };
        let mut entries = VecDeque::from([Entry::Plain(VERSION), Entry::Plain(id.into()), Entry::Memory]);
        entries.extend(others.map(arrival));
        entries.push_back(arrival((id, vectors)));
        Self { greeting: entries.len(), entries, backlog }
    }

    /// Another peer came.
    pub fn arrival(&mut self, peer: u16, vectors: &Vectors) {
        self.entries.push_back(Entry::Arrival { peer, vectors: vectors.clone(), next: 0 });
    }

    /// A peer left. What the client was not told of its arrival yet, it will not be: this bounds the descriptors that a
    /// client that does not read keeps open to those of the peers that live.
    pub fn departure(&mut self, peer: u16) {
        let of_peer = |entry: &Entry| matches!(entry, Entry::Arrival { peer: other, .. } if *other == peer);
        let unseen = self
            .entries
            .iter()
            .position(of_peer)
            .and_then(|place| self.remove(place))
            .is_some_and(|entry| matches!(entry, Entry::Arrival { next: 0, .. }));
        if !unseen {
            self.entries.push_back(Entry::Plain(peer.into()));
        }
    }

    /// Whether more waits than a client may leave unread.
    pub fn is_overrun(&self) -> bool {
        self.entries.len() - self.greeting > self.backlog
    }

    fn remove(&mut self, place: usize) -> Option<Entry> {
        if place < self.greeting {
            self.greeting -= 1;
        }
        self.entries.remove(place)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sends what can be sent without waiting, at most one turn's worth.
    pub fn flush(&mut self, socket: BorrowedFd<'_>, memory: BorrowedFd<'_>) -> Flush {
        for _ in 0..TURN {
            let Some(entry) = self.entries.front_mut() else { return Flush::Empty };
            let (outcome, done) = match entry {
                Entry::Plain(value) => (protocol::send(socket, *value, None), true),
                Entry::Memory => (protocol::send(socket, MEMORY, Some(memory)), true),
                Entry::Arrival { peer, vectors, next } => {
                    let outcome = match vectors.get(*next) {
                        Some(vector) => protocol::send(socket, i64::from(*peer), Some(vector.as_fd())),
                        None => Ok(()),
                    };
                    if outcome.is_ok() {
                        *next += 1;
                    }
                    (outcome, *next >= vectors.len())
                }
            };
            match outcome {
                Ok(()) if done => {
                    self.remove(0);
                }
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Flush::Full,
                Err(Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM) => return Flush::Congested,
                Err(error) => return Flush::Lost(error),
            }
        }
        if self.entries.is_empty() { Flush::Empty } else { Flush::More }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{MESSAGE_LEN, Received, receive};
    use std::os::unix::net::UnixStream;

    fn vectors(count: usize) -> Vectors {
        (0..count).map(|_| OwnedFd::from(UnixStream::pair().unwrap().0)).collect()
    }

    /// Everything that waits, as (value, with descriptor).
    fn sent(outbox: &mut Outbox) -> Vec<(i64, bool)> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let memory = vectors(1);
        let mut messages = Vec::new();
        loop {
            let flush = outbox.flush(ours.as_fd(), memory[0].as_fd());
            assert!(matches!(flush, Flush::Empty | Flush::Full | Flush::More), "{flush:?}");
            let mut buffer = [0; MESSAGE_LEN];
            while let Received::Bytes(count, descriptors) = receive(theirs.as_fd(), &mut buffer).unwrap() {
                assert_eq!(count, MESSAGE_LEN);
                messages.push((i64::from_le_bytes(buffer), !descriptors.is_empty()));
            }
            if flush == Flush::Empty {
                return messages;
            }
        }
    }

    const GREETING: [(i64, bool); 3] = [(0, false), (5, false), (-1, true)];

    fn outbox(backlog: usize) -> Outbox {
        Outbox::greeting(5, &vectors(1), std::iter::empty(), backlog)
    }

    #[test]
    fn the_greeting_is_version_id_memory_the_others_and_oneself() {
        let (four, two) = (vectors(2), vectors(2));
        let others = [(4, &four), (2, &two)];
        let mut outbox = Outbox::greeting(5, &vectors(2), others.into_iter(), 0);
        let rest = [(4, true), (4, true), (2, true), (2, true), (5, true), (5, true)];
        assert_eq!(sent(&mut outbox), [&GREETING[..], &rest].concat());
    }

    #[test]
    fn a_peer_that_comes_and_goes_unseen_leaves_nothing() {
        let mut outbox = outbox(0);
        let eventfds = vectors(2);
        outbox.arrival(9, &eventfds);
        outbox.departure(9);
        assert_eq!(Arc::strong_count(&eventfds), 1, "its descriptors are free");
        assert!(!outbox.is_overrun());
        assert_eq!(sent(&mut outbox), [&GREETING[..], &[(5, true)]].concat());
    }

    #[test]
    fn a_peer_that_was_half_announced_is_announced_as_gone() {
        let mut outbox = outbox(0);
        let eventfds = vectors(2 * TURN);
        outbox.arrival(9, &eventfds);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(matches!(outbox.flush(ours.as_fd(), vectors(1)[0].as_fd()), Flush::More | Flush::Full));
        outbox.departure(9);
        assert_eq!(Arc::strong_count(&eventfds), 1, "its descriptors are free");
        assert_eq!(sent(&mut outbox), [(9, false)]);
    }

    #[test]
    fn a_peer_that_was_announced_is_announced_as_gone() {
        let mut outbox = outbox(0);
        sent(&mut outbox);
        outbox.departure(9);
        assert_eq!(sent(&mut outbox), [(9, false)]);
    }

    #[test]
    fn it_is_overrun_past_the_backlog_beyond_the_greeting() {
        let mut outbox = outbox(2);
        let eventfds = vectors(1);
        outbox.arrival(6, &eventfds);
        outbox.arrival(7, &eventfds);
        assert!(!outbox.is_overrun());
        outbox.arrival(8, &eventfds);
        assert!(outbox.is_overrun());
    }

    #[test]
    fn a_lost_connection_is_told_from_a_full_one() {
        let mut outbox = outbox(0);
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(outbox.flush(ours.as_fd(), vectors(1)[0].as_fd()), Flush::Lost(Errno::PIPE));
    }
}
