//! One own interrupt vector, as the eventfd that VFIO or the server fires.

use core::time::Duration;
use ivshmem::notify::Wait;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// An own vector. Its descriptor is readable while it has fired since the last [`count`](Self::count).
#[derive(Debug)]
pub struct Vector {
    fd: OwnedFd,
    /// How often it fired so far, wrapping. Whoever reads the eventfd holds the lock: there is one reader at a time.
    fired: Mutex<u32>,
}

impl Vector {
    /// A vector of its own, for VFIO to fire.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self::from_eventfd(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// The vector behind an eventfd that a server sent.
    pub fn from_eventfd(fd: OwnedFd) -> Self {
        Self { fd, fired: Mutex::new(0) }
    }

    /// How often the vector fired so far, wrapping. Doorbells coalesce on some ways here: never a count of messages.
    pub fn count(&self) -> u32 {
        // A panic elsewhere leaves the number as good as it was.
        let mut fired = self.fired.lock().unwrap_or_else(PoisonError::into_inner);
        // Look first, read after, and never trust O_NONBLOCK: it belongs to the eventfd itself, which every peer holds
        // too, and a QEMU that joins clears it for a moment. A read in that moment would wait for the next doorbell.
        let mut value = [0; 8];
        if self.is_readable() && rustix::io::read(&self.fd, &mut value) == Ok(8) {
            *fired = fired.wrapping_add(u64::from_ne_bytes(value) as u32);
        }
        *fired
    }

    fn is_readable(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        poll_until(&mut fds, Instant::now());
        fds[0].revents().contains(PollFlags::IN)
    }

    /// Sleeps until the count differs from `seen`, at most for `bound`; returns whether it does.
    pub fn wait(&self, seen: u32, bound: Duration) -> bool {
        if self.count() != seen {
            return true;
        }
        poll_until(&mut [PollFd::new(&self.fd, PollFlags::IN)], Instant::now() + bound);
        self.count() != seen
    }

    /// The same with a fixed bound: what the mailbox's receiver takes.
    pub fn bounded(&self, bound: Duration) -> Bounded<'_> {
        Bounded { vector: self, bound }
    }
}

impl AsFd for Vector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A [`Vector`] with the longest time to sleep on it, by which a lost doorbell delays a message.
#[derive(Clone, Copy, Debug)]
pub struct Bounded<'a> {
    vector: &'a Vector,
    bound: Duration,
}

impl Wait for Bounded<'_> {
    fn count(&self) -> u32 {
        self.vector.count()
    }

    fn wait(&self, seen: u32) -> bool {
        self.vector.wait(seen, self.bound)
    }
}

/// Waits until one of `fds` is ready or `deadline` has passed; signals in between do not end it.
///
/// An error of poll(2) itself (no memory) returns early, as a deadline would: callers look again anyway.
pub fn poll_until(fds: &mut [PollFd<'_>], deadline: Instant) {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(fds, Some(&timeout)) {
            Err(Errno::INTR) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn fire(vector: &Vector, times: u64) {
        rustix::io::write(vector, &times.to_ne_bytes()).unwrap();
    }

    #[test]
    fn count_is_every_firing_so_far() {
        let vector = Vector::new().unwrap();
        assert_eq!(vector.count(), 0);
        fire(&vector, 3);
        assert_eq!(vector.count(), 3);
        fire(&vector, 1);
        fire(&vector, 1);
        assert_eq!(vector.count(), 5);
        assert_eq!(vector.count(), 5);
    }

    #[test]
    fn a_firing_between_reading_the_count_and_the_wait_is_not_lost() {
        let vector = Vector::new().unwrap();
        let seen = vector.count();
        fire(&vector, 1);
        assert!(vector.bounded(LONG).wait(seen));
        let seen = vector.count();
        fire(&vector, 1);
        assert_eq!(vector.count(), 2, "someone else looks at the count in between");
        assert!(vector.bounded(LONG).wait(seen));
    }

    #[test]
    fn a_wait_without_firing_ends_at_its_bound() {
        let vector = Vector::new().unwrap();
        assert!(!vector.wait(0, Duration::from_millis(1)));
    }

    #[test]
    fn a_firing_from_another_thread_ends_the_wait() {
        let vector = Vector::new().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| fire(&vector, 1));
            assert!(vector.wait(0, LONG));
        });
    }

    #[test]
    fn an_eventfd_that_a_peer_made_block_never_blocks_us() {
        let vector = Vector::from_eventfd(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        assert_eq!(vector.count(), 0);
        fire(&vector, 2);
        assert_eq!((vector.count(), vector.count()), (2, 2));
        assert!(!vector.wait(2, Duration::from_millis(1)));
    }
}
