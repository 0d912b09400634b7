//! One end of a mailbox over a [`Backend`]: its link, and what it sleeps on and rings with.

use crate::{Backend, Kind, Mapping, RingError, Vector, poll_until};
use core::time::Duration;
use ivshmem::channel::{Attach, Channel, Channels, Link, LinkState, LinkStats, Mailbox, Notice, Snapshot};
use std::time::Instant;

/// How long an interrupt-driven end sleeps at most while the link is not up: no doorbell announces that it is.
const LONGEST_SLEEP_UNLINKED: Duration = Duration::from_millis(1);

/// How long a polled end looks without a pause after it last sent or received: longer than an answer takes, so that pausing costs
/// no round trip anything.
const EAGER: Duration = Duration::from_millis(20);

/// How long a polled end pauses between looks from then on, so that waiting does not take a whole processor.
const PAUSE: Duration = Duration::from_millis(1);

/// Without a heartbeat for so long the other end is [stale](LinkState::Stale).
pub const STALE_AFTER: Duration = Duration::from_secs(1);

/// An attached end, whatever its channels are: [`poll`](Self::poll) it in every round.
#[derive(Debug)]
pub struct Attachment<'a> {
    backend: &'a dyn Backend,
    link: Link<'a, Mapping>,
    vector: Option<&'a Vector>,
    start: Instant,
    /// When this end was attached, sent or received last.
    active: Instant,
    rings: u64,
    refused: Option<RingError>,
}

impl<'a> Attachment<'a> {
    /// Attaches as the end that `mailbox` was made for: from here on the peer sees a new session. This end sleeps on its own
    /// vector of this number, if the backend has it, and polls otherwise.
    pub fn attach(
        mailbox: &'a mut Mailbox<'_, Mapping>,
        backend: &'a dyn Backend,
        vector: u16,
    ) -> (Self, Channels<'a, Mapping>) {
        // The vectors are enabled already: what fires from here on is kept.
        let vector = backend.vector(vector);
        let (link, channels) = mailbox.attach(Attach {
            id: backend.id().filter(|_| backend.kind() == Kind::Doorbell),
            seed: seed(),
            stale_after: u64::try_from(STALE_AFTER.as_nanos()).unwrap_or(u64::MAX),
            wants_doorbells: if vector.is_some() { u64::MAX } else { 0 },
        });
        let start = Instant::now();
        (Self { backend, link, vector, start, active: start, rings: 0, refused: None }, channels)
    }

    /// Looks at the peer and answers it.
    pub fn poll(&mut self) -> LinkState {
        self.link.poll(self.now())
    }

    /// Nanoseconds since this end attached: the ticks of its link.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Since when this end is attached.
    pub fn attached_at(&self) -> Instant {
        self.start
    }

    /// The peer's id, if it has published one.
    pub fn peer_id(&self) -> Option<u16> {
        self.link.peer_id()
    }

    /// The vector to sleep on.
    pub fn vector(&self) -> Option<&'a Vector> {
        self.vector
    }

    /// Rings if that is due, after something was sent.
    pub fn ring(&mut self, notice: Notice) {
        self.active = Instant::now();
        match notice.ring(self.backend) {
            Ok(rang) => self.rings += u64::from(rang),
            // A doorbell is a hint: the message is there, and the peer's own bounded sleep finds it.
            Err(error) => self.refused = Some(error),
        }
    }

    /// Something was received: more may follow soon.
    pub fn received(&mut self) {
        self.active = Instant::now();
    }

    /// Lets others run while there is nothing to do: for at most a millisecond, or until a doorbell comes.
    pub fn rest(&self) {
        match self.vector {
            Some(vector) => {
                vector.wait(vector.count(), LONGEST_SLEEP_UNLINKED);
            }
            None => self.pause(),
        }
    }

    /// Between two looks without a vector.
    pub fn pause(&self) {
        match self.active.elapsed() {
            idle if idle < EAGER => std::thread::yield_now(),
            _ => poll_until(&mut [], Instant::now() + PAUSE),
        }
    }

    /// Whether the peer has begun to receive what this end sent in this session on one of the mailbox's channels, a queue. From then
    /// on it gets all of it, even if this end closes.
    pub fn peer_receives(&self, channels: &[Channel], index: usize) -> bool {
        Snapshot::new(self.backend.memory(), channels)
            .channel(index)
            .is_some_and(|lines| lines.ring != 0 && u64::from(lines.acknowledged.key.bits()) == lines.ring)
    }

    /// Tells the peer that this end is done.
    pub fn close(&mut self) {
        self.link.close();
    }

    /// What the link has counted.
    pub fn link_stats(&self) -> LinkStats {
        self.link.stats()
    }

    /// Doorbells rung.
    pub fn rings(&self) -> u64 {
        self.rings
    }

    /// Why the last doorbell that could not be rung could not; the peer then found its message later by itself.
    pub fn refused(&self) -> Option<RingError> {
        self.refused
    }
}

/// Differs from run to run, also when the memory was replaced meanwhile.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // Too early after boot for random numbers: the time since it will do.
        _ => rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_nsec.cast_unsigned(),
    }
}
