//! The client's side of the protocol as a state machine over bytes and descriptors, without any I/O.
//!
//! It takes whatever a server (or something that only looks like one) sends and never panics. The first thing that
//! the protocol forbids ends the session with a [`Violation`], and every later message gives the same one.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;

use crate::protocol::{MAX_VECTORS, MEMORY, MESSAGE_LEN, VERSION};

/// What the server did that the protocol does not allow. Each carries the value that was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// The first message must be 0, the only protocol version there is.
    Version(i64),
    /// The second message is our own id, 0 to 65535.
    Id(i64),
    /// The third message is -1 and carries the shared memory's descriptor.
    Memory {
        /// The message's value.
        value: i64,
        /// Whether it carried a descriptor.
        descriptor: bool,
    },
    /// A descriptor came with a message (of this value) that has none: the version or our id.
    UnexpectedDescriptor(i64),
    /// One message (of this value) carried this many descriptors.
    ManyDescriptors(i64, usize),
    /// A peer's id is 0 to 65535.
    Peer(i64),
    /// The server announced that we ourselves left, while it talks to us.
    OwnDeparture(u16),
    /// More than 2048 vectors for one peer, the most MSI-X can have.
    TooManyVectors(u16),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Version(value) => write!(f, "protocol version {value}, not 0"),
            Self::Id(value) => write!(f, "own id {value}, outside 0..=65535"),
            Self::Memory { value, descriptor: true } => write!(f, "{value} where the shared memory's -1 was due"),
            Self::Memory { value, descriptor: false } => {
                write!(f, "{value} without a descriptor where the shared memory was due")
            }
            Self::UnexpectedDescriptor(value) => write!(f, "a descriptor came with message {value}, which has none"),
            Self::ManyDescriptors(value, count) => write!(f, "{count} descriptors came with one message ({value})"),
            Self::Peer(value) => write!(f, "peer id {value}, outside 0..=65535"),
            Self::OwnDeparture(id) => write!(f, "our own id {id} announced as gone"),
            Self::TooManyVectors(id) => write!(f, "more than {MAX_VECTORS} vectors for peer {id}"),
        }
    }
}

impl core::error::Error for Violation {}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// One more of our own vectors can be received on; vectors come in order from 0.
    Vector {
        /// The vector's number.
        vector: u16,
    },
    /// One more vector of `peer` can be rung; its vectors come in order from 0. Vector 0 means that the peer is new.
    PeerVector {
        /// The peer's id.
        peer: u16,
        /// The vector's number.
        vector: u16,
    },
    /// This peer left; its vectors are closed.
    PeerLeft {
        /// The peer's id.
        peer: u16,
    },
    /// The server is gone. Doorbells between the peers go on working, but nobody comes or goes any more.
    /// Said once; do not poll the socket after this.
    ServerGone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Version,
    Id,
    Memory,
    Running,
    Violated(Violation),
}

/// The state of one connection. `F` is the descriptor; tests use something lighter.
#[derive(Debug)]
pub struct Session<F = OwnedFd> {
    stage: Stage,
    /// The message under way: bytes so far and the descriptors that came with them.
    bytes: [u8; MESSAGE_LEN],
    filled: usize,
    descriptors: Vec<F>,
    id: u16,
    memory: Option<F>,
    vectors: Vec<F>,
    peers: BTreeMap<u16, Vec<F>>,
}

impl<F> Default for Session<F> {
    fn default() -> Self {
        Self {
            stage: Stage::Version,
            bytes: [0; MESSAGE_LEN],
            filled: 0,
            descriptors: Vec::new(),
            id: 0,
            memory: None,
            vectors: Vec::new(),
            peers: BTreeMap::new(),
        }
    }
}

impl<F> Session<F> {
    /// How many bytes complete the message under way, 1 to 8. To read more at once would lose which message a
    /// descriptor belongs to.
    #[must_use]
    pub fn wanted(&self) -> usize {
        MESSAGE_LEN - self.filled
    }

    /// Takes what one read gave: at most [`wanted`](Self::wanted) bytes (more are left out) and the descriptors that
    /// came with them. News only when a message is complete and changes something.
    ///
    /// # Errors
    /// The violation that ended this session, now or earlier.
    pub fn push(&mut self, bytes: &[u8], descriptors: impl IntoIterator<Item = F>) -> Result<Option<News>, Violation> {
        if let Stage::Violated(violation) = self.stage {
            return Err(violation);
        }
        self.descriptors.extend(descriptors);
        for (place, byte) in self.bytes.iter_mut().skip(self.filled).zip(bytes) {
            *place = *byte;
            self.filled += 1;
        }
        if self.filled < MESSAGE_LEN {
            return Ok(None);
        }
        self.filled = 0;
        let value = i64::from_le_bytes(self.bytes);
        let count = self.descriptors.len();
        let descriptor = self.descriptors.pop();
        self.descriptors.clear();
        let outcome =
            if count > 1 { Err(Violation::ManyDescriptors(value, count)) } else { self.message(value, descriptor) };
        outcome.inspect_err(|violation| self.stage = Stage::Violated(*violation))
    }

    fn message(&mut self, value: i64, descriptor: Option<F>) -> Result<Option<News>, Violation> {
        match (self.stage, descriptor) {
            (Stage::Violated(violation), _) => Err(violation),
            (Stage::Version, _) if value != VERSION => Err(Violation::Version(value)),
            (Stage::Version | Stage::Id, Some(_)) => Err(Violation::UnexpectedDescriptor(value)),
            (Stage::Version, None) => {
                self.stage = Stage::Id;
                Ok(None)
            }
            (Stage::Id, None) => {
                self.id = u16::try_from(value).map_err(|_| Violation::Id(value))?;
                self.stage = Stage::Memory;
                Ok(None)
            }
            (Stage::Memory, Some(memory)) if value == MEMORY => {
                self.memory = Some(memory);
                self.stage = Stage::Running;
                Ok(None)
            }
            (Stage::Memory, descriptor) => Err(Violation::Memory { value, descriptor: descriptor.is_some() }),
            (Stage::Running, descriptor) => {
                let peer = u16::try_from(value).map_err(|_| Violation::Peer(value))?;
                match descriptor {
                    Some(descriptor) => self.arrival(peer, descriptor).map(Some),
                    None if peer == self.id => Err(Violation::OwnDeparture(peer)),
                    // QEMU's server says so of peers whose arrival it failed to send: nothing changes then.
                    None => Ok(self.peers.remove(&peer).map(|_| News::PeerLeft { peer })),
                }
            }
        }
    }

    fn arrival(&mut self, peer: u16, descriptor: F) -> Result<News, Violation> {
        let vectors = if peer == self.id { &mut self.vectors } else { self.peers.entry(peer).or_default() };
        let vector = u16::try_from(vectors.len())
            .ok()
            .filter(|vector| *vector < MAX_VECTORS)
            .ok_or(Violation::TooManyVectors(peer))?;
        vectors.push(descriptor);
        Ok(if peer == self.id { News::Vector { vector } } else { News::PeerVector { peer, vector } })
    }

    /// The violation that ended this session, if one did.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        match self.stage {
            Stage::Violated(violation) => Some(violation),
            _ => None,
        }
    }

    /// Our own id and the shared memory, once the server has sent both.
    #[must_use]
    pub fn memory(&self) -> Option<(u16, &F)> {
        self.memory.as_ref().map(|memory| (self.id, memory))
    }

    /// What to wait on for each of our own vectors, in order.
    #[must_use]
    pub fn vectors(&self) -> &[F] {
        &self.vectors
    }

    /// The other peers in ascending order, each with what to write to for each of its vectors.
    pub fn peers(&self) -> impl Iterator<Item = (u16, &[F])> {
        self.peers.iter().map(|(peer, vectors)| (*peer, vectors.as_slice()))
    }

    /// What to write to for each vector of `peer`, which may be ourselves; `None` for a peer that is not there.
    #[must_use]
    pub fn vectors_of(&self, peer: u16) -> Option<&[F]> {
        if peer == self.id && self.memory.is_some() {
            return Some(&self.vectors);
        }
        self.peers.get(&peer).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Stands for a descriptor.
    type Fake = u32;
    type Message = (i64, Option<Fake>);

    fn say(session: &mut Session<Fake>, value: i64, descriptor: Option<Fake>) -> Result<Option<News>, Violation> {
        session.push(&value.to_le_bytes(), descriptor)
    }

    fn running(id: i64) -> Session<Fake> {
        let mut session = Session::default();
        assert_eq!(say(&mut session, 0, None), Ok(None));
        assert_eq!(say(&mut session, id, None), Ok(None));
        assert_eq!(say(&mut session, -1, Some(7)), Ok(None));
        session
    }

    #[test]
    fn the_handshake_is_version_id_memory() {
        let session = running(65535);
        assert_eq!(session.memory(), Some((65535, &7)));
    }

    #[test]
    fn the_nth_descriptor_of_an_id_is_its_vector_n_minus_one() {
        let mut session = running(3);
        assert_eq!(say(&mut session, 0, Some(10)), Ok(Some(News::PeerVector { peer: 0, vector: 0 })));
        assert_eq!(say(&mut session, 3, Some(30)), Ok(Some(News::Vector { vector: 0 })));
        assert_eq!(say(&mut session, 0, Some(11)), Ok(Some(News::PeerVector { peer: 0, vector: 1 })));
        assert_eq!(say(&mut session, 3, Some(31)), Ok(Some(News::Vector { vector: 1 })));
        assert_eq!(session.vectors(), [30, 31]);
        assert_eq!(session.vectors_of(3), Some([30, 31].as_slice()));
        assert_eq!(session.vectors_of(0), Some([10, 11].as_slice()));
        assert_eq!(session.vectors_of(1), None);
    }

    #[test]
    fn an_id_without_a_descriptor_is_a_departure() {
        let mut session = running(3);
        say(&mut session, 9, Some(90)).unwrap();
        assert_eq!(say(&mut session, 9, None), Ok(Some(News::PeerLeft { peer: 9 })));
        assert_eq!(session.peers().count(), 0);
        assert_eq!(say(&mut session, 9, None), Ok(None), "a peer that is not there cannot leave");
    }

    #[test]
    fn a_message_may_come_in_pieces() {
        let mut session = Session::<Fake>::default();
        for byte in [0; 8] {
            assert_eq!(session.push(&[byte], None), Ok(None));
        }
        assert_eq!(session.push(&[5, 0, 0], None), Ok(None));
        assert_eq!(session.wanted(), 5);
        assert_eq!(session.push(&[0, 0, 0, 0, 0], None), Ok(None));
        assert_eq!(session.push(&[0xff; 3], Some(7)), Ok(None));
        assert_eq!(session.push(&[0xff; 5], None), Ok(None));
        assert_eq!(session.memory(), Some((5, &7)));
    }

    #[test]
    fn each_violation_carries_the_value_and_latches() {
        let cases: [(&[Message], Violation); 9] = [
            (&[(1, None)], Violation::Version(1)),
            (&[(0, Some(1))], Violation::UnexpectedDescriptor(0)),
            (&[(0, None), (65536, None)], Violation::Id(65536)),
            (&[(0, None), (-1, None)], Violation::Id(-1)),
            (&[(0, None), (4, Some(1))], Violation::UnexpectedDescriptor(4)),
            (&[(0, None), (4, None), (-1, None)], Violation::Memory { value: -1, descriptor: false }),
            (&[(0, None), (4, None), (4, Some(1))], Violation::Memory { value: 4, descriptor: true }),
            (&[(0, None), (4, None), (-1, Some(1)), (-1, Some(2))], Violation::Peer(-1)),
            (&[(0, None), (4, None), (-1, Some(1)), (4, None)], Violation::OwnDeparture(4)),
        ];
        for (messages, violation) in cases {
            let mut session = Session::default();
            let (last, first) = messages.split_last().unwrap();
            for (value, descriptor) in first {
                assert_eq!(say(&mut session, *value, *descriptor), Ok(None));
            }
            assert_eq!(say(&mut session, last.0, last.1), Err(violation));
            assert_eq!(say(&mut session, 0, None), Err(violation), "latched");
            assert_eq!(session.violation(), Some(violation));
        }
    }

    #[test]
    fn two_descriptors_in_one_message_are_a_violation() {
        let mut session = running(0);
        assert_eq!(session.push(&1_i64.to_le_bytes(), [1, 2]), Err(Violation::ManyDescriptors(1, 2)));
    }

    #[test]
    fn a_peer_has_at_most_2048_vectors() {
        let mut session = running(0);
        for vector in 0..2048 {
            assert_eq!(say(&mut session, 1, Some(0)), Ok(Some(News::PeerVector { peer: 1, vector })));
        }
        assert_eq!(say(&mut session, 1, Some(0)), Err(Violation::TooManyVectors(1)));
    }

    proptest! {
        #[test]
        fn whatever_the_server_sends_it_never_panics(
            reads in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..12), 0..3_u32), 0..64),
            honest in any::<bool>(),
        ) {
            let mut session = if honest { running(2) } else { Session::default() };
            for (bytes, descriptors) in reads {
                let before = session.violation();
                let outcome = session.push(&bytes, 0..descriptors);
                if let Some(violation) = before {
                    prop_assert_eq!(outcome, Err(violation));
                }
                prop_assert!((1..=MESSAGE_LEN).contains(&session.wanted()));
                prop_assert!(session.peers().all(|(_, vectors)| !vectors.is_empty()));
            }
        }

        #[test]
        fn arrivals_and_departures_in_any_order_keep_the_table_right(
            steps in proptest::collection::vec((0..6_i64, any::<bool>()), 0..200),
        ) {
            let mut session = running(2);
            let mut model = [0_usize; 6];
            for (peer, arrives) in steps {
                if arrives {
                    say(&mut session, peer, Some(0)).unwrap();
                    model[peer as usize] += 1;
                } else if peer != 2 {
                    say(&mut session, peer, None).unwrap();
                    model[peer as usize] = 0;
                }
                for (peer, count) in model.iter().enumerate() {
                    prop_assert_eq!(session.vectors_of(peer as u16).map_or(0, <[Fake]>::len), *count);
                }
            }
        }
    }
}
