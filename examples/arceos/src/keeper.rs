//! The task that keeps the link: it looks at the peer once a tick, says what becomes of it, and wakes the server where no doorbell does.

use crate::interrupt::Reception;
use axstd::os::arceos::modules::axhal;
use axstd::thread;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use ivshmem::channel::{Link, LinkState};
use ivshmem::memory::SharedMemory;
use ivshmem::msix::MsixError;
use ivshmem::pci::ConfigAccess;

/// The kernel's tick, which its timers do not divide.
pub const TICK: Duration = Duration::from_millis(10);
/// In so many ticks the server looks, doorbell or not: the longest that a lost one delays a command.
const PATIENCE: u32 = 10;
/// Lines a second, at most, about the link: a hostile peer could make hundreds.
const LINES: u32 = 16;

/// The session with the peer; 0 while there is none.
static SESSION: AtomicU64 = AtomicU64::new(0);
/// Whether the server is done.
static QUIT: AtomicBool = AtomicBool::new(false);

/// The session that the link is in, 0 if it is in none.
pub fn session() -> u64 {
    SESSION.load(Ordering::Relaxed)
}

/// Ends the keeper's task at its next tick.
pub fn quit() {
    // Release: what the server sent is sent before the link is closed.
    QUIT.store(true, Ordering::Release);
}

/// The link, and the interrupts if there are any.
#[derive(Debug)]
pub struct Keeper {
    link: Link<'static, SharedMemory>,
    reception: Option<Reception>,
    state: LinkState,
    resyncs: u32,
    lines: u32,
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Interrupts taken.
    pub interrupts: u32,
    /// Ticks in which there were too many.
    pub storms: u32,
    /// Times the peer restarted.
    pub restarts: u32,
    /// Violations of the link's protocol by the peer.
    pub violations: u32,
    /// Times the link was begun anew after one.
    pub resyncs: u32,
}

impl Keeper {
    pub const fn new(link: Link<'static, SharedMemory>, reception: Option<Reception>) -> Self {
        Self { link, reception, state: LinkState::Waiting, resyncs: 0, lines: LINES }
    }

    /// The task: until [`quit`].
    pub fn run(&mut self) {
        for tick in 1u32.. {
            thread::sleep(TICK);
            if tick % 100 == 0 {
                self.lines = LINES;
            }
            let is_new = self.poll();
            if let Some(reception) = &mut self.reception {
                reception.end_storm();
                // No doorbell tells of the link's state, and any other may be lost.
                if is_new || tick % PATIENCE == 0 {
                    reception.event().wake();
                }
            }
            // Acquire: pairs with `quit`.
            if QUIT.load(Ordering::Acquire) {
                break;
            }
        }
    }

    /// Looks at the peer, and tells whether the link stands otherwise than before.
    fn poll(&mut self) -> bool {
        let state = self.link.poll(axhal::time::monotonic_time_nanos());
        match state {
            LinkState::Up { session } => SESSION.store(session, Ordering::Relaxed),
            // Silent, but the same.
            LinkState::Stale { .. } => {}
            _ => SESSION.store(0, Ordering::Relaxed),
        }
        if matches!(state, LinkState::Violated(_)) {
            self.link.resync();
            self.resyncs = self.resyncs.saturating_add(1);
        }
        let is_new = core::mem::discriminant(&state) != core::mem::discriminant(&self.state);
        self.state = state;
        if is_new && self.lines > 0 {
            self.lines -= 1;
            self.say();
        }
        is_new
    }

    fn say(&self) {
        match (self.state, self.link.peer_id()) {
            (LinkState::Up { session }, Some(peer)) => println!("arceos: up session={session:016x} peer={peer}"),
            (LinkState::Up { session }, None) => println!("arceos: up session={session:016x} peer=-"),
            (LinkState::Stale { age }, _) => println!("arceos: stale age_us={}", age / 1000),
            (LinkState::PeerRestarted, _) => println!("arceos: restarted restarts={}", self.link.stats().peer_restarts),
            (LinkState::Closed, _) => println!("arceos: closed"),
            (LinkState::Waiting, _) => {}
            (other, _) => println!("arceos: error {other:?}"),
        }
    }

    /// Tells the peer that this end is done, and disables the interrupts.
    pub fn close(mut self, access: &impl ConfigAccess) -> Result<Kept, MsixError> {
        self.link.close();
        let stats = self.link.stats();
        let (interrupts, storms) = self.reception.map_or(Ok((0, 0)), |reception| reception.close(access))?;
        let (restarts, violations, resyncs) = (stats.peer_restarts, stats.violations, self.resyncs);
        Ok(Kept { interrupts, storms, restarts, violations, resyncs })
    }
}
