//! One own interrupt vector, as the eventfd that VFIO or the server fires.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use ivshmem::notify::Wait;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::time::Instant;

/// An own vector. Its descriptor is readable while it has fired since the last [`count`](Self::count).
#[derive(Debug)]
pub struct Vector {
    fd: OwnedFd,
    fired: AtomicU32,
}

impl Vector {
    /// A vector of its own, for VFIO to fire.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self { fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?, fired: AtomicU32::new(0) })
    }

    /// The vector behind an eventfd that a server sent.
    pub fn from_eventfd(fd: OwnedFd) -> Result<Self, Errno> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { fd, fired: AtomicU32::new(0) })
    }

    /// How often the vector fired so far, wrapping. Doorbells coalesce on some ways here: never a count of messages.
    pub fn count(&self) -> u32 {
        let mut value = [0; 8];
        // Nothing to read, the normal case, is EAGAIN. Relaxed: the number orders nothing; who looks at shared
        // memory because of it loads a stamp with Acquire.
        match rustix::io::read(&self.fd, &mut value) {
            Ok(8) => {
                let more = u64::from_ne_bytes(value) as u32;
                self.fired.fetch_add(more, Ordering::Relaxed).wrapping_add(more)
            }
            _ => self.fired.load(Ordering::Relaxed),
        }
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
    fn a_received_eventfd_that_blocks_is_made_not_to() {
        let vector = Vector::from_eventfd(eventfd(0, EventfdFlags::CLOEXEC).unwrap()).unwrap();
        assert_eq!(vector.count(), 0);
    }
}
