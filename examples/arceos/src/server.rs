//! The task that takes commands and answers each before the next.

use crate::command;
use crate::keeper::{self, TICK};
use axstd::os::arceos::modules::axhal;
use axstd::os::arceos::modules::axtask::future::block_on;
use axstd::thread;
use core::ops::ControlFlow;
use core::time::Duration;
use ivshmem::channel::{Receiver, RecvError, SendError, Sender};
use ivshmem::device::DoorbellRegister;
use ivshmem::interrupt::Vector;
use ivshmem::memory::SharedMemory;

/// How long a polling server looks without a pause after a message.
const LOOK: Duration = Duration::from_millis(2);

/// Messages in on channel 0, one answer for each on channel 1, in order.
#[derive(Debug)]
pub struct Server {
    commands: Receiver<'static, SharedMemory>,
    responses: Sender<'static, SharedMemory>,
    doorbell: Option<DoorbellRegister>,
    /// What wakes the task; without one it polls.
    event: Option<&'static Vector>,
    busy_until: Duration,
    totals: Totals,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Commands received.
    pub received: u64,
    /// Answers sent.
    pub sent: u64,
    /// Doorbells rung.
    pub doorbells: u64,
    /// Times the task lay down until it was woken.
    pub sleeps: u64,
    /// Commands found by looking although no doorbell announced them.
    pub recovered_by_poll: u64,
    /// Violations of the protocol by the peer.
    pub violations: u32,
    /// Times a channel was begun anew after one.
    pub resyncs: u32,
}

impl Server {
    /// Without a doorbell the peer is never rung, and has to poll; without an event so does this end.
    pub fn new(
        commands: Receiver<'static, SharedMemory>,
        responses: Sender<'static, SharedMemory>,
        doorbell: Option<DoorbellRegister>,
        event: Option<&'static Vector>,
    ) -> Self {
        Self { commands, responses, doorbell, event, busy_until: Duration::ZERO, totals: Totals::default() }
    }

    /// The task: ends with the command `quit`.
    pub fn run(mut self) -> Totals {
        let mut buffer = [0; command::MAX_LEN];
        loop {
            // Copied out of the peer's reach: `execute` sees the same bytes however often it looks.
            let command = match self.receive(&mut buffer) {
                Ok(Some(command)) => command,
                Ok(None) => continue,
                Err(error) => {
                    self.receive_failed(error);
                    continue;
                }
            };
            let session = keeper::session();
            let (answer, last) = match command::execute(command) {
                ControlFlow::Continue(answer) => (answer, false),
                ControlFlow::Break(answer) => (answer, true),
            };
            self.respond(&answer, session);
            if last {
                keeper::quit();
                return self.totals();
            }
        }
    }

    /// The next command. With an event the task sleeps until there is one; without, it returns after every look.
    fn receive<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, RecvError> {
        if let Some(event) = self.event {
            return block_on(self.commands.recv_async(event, buffer)).map(Some);
        }
        let received = self.commands.try_recv(buffer)?;
        let now = axhal::time::monotonic_time();
        if received.is_some() {
            self.busy_until = now + LOOK;
        } else if now < self.busy_until {
            thread::yield_now();
        } else {
            thread::sleep(TICK);
        }
        Ok(received)
    }

    /// Sends the answer unless the session of its command has ended.
    fn respond(&mut self, answer: &[u8], session: u64) {
        while keeper::session() == session {
            match self.responses.try_send(answer) {
                Ok(notice) => {
                    let rang = self.doorbell.as_ref().map_or(Ok(false), |doorbell| notice.ring(doorbell));
                    // A peer that published an id or a vector that cannot be rung finds the answer by looking.
                    self.totals.doorbells += u64::from(rang.unwrap_or(false));
                    return;
                }
                // No doorbell announces room.
                Err(SendError::Full) => thread::sleep(TICK),
                // Said once; the session tells whether this answer is of the one that began.
                Err(SendError::PeerRestarted { .. } | SendError::PeerResynced { .. }) => {}
                Err(SendError::Violated(_)) => {
                    self.responses.resync();
                    self.totals.resyncs += 1;
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn receive_failed(&mut self, error: RecvError) {
        if let RecvError::Violated(violation) = error {
            println!("arceos: {violation}");
            self.commands.resync();
            self.totals.resyncs += 1;
        }
        // A link that stays closed, or is violated again and again, costs one look a tick.
        thread::sleep(TICK);
    }

    fn totals(&self) -> Totals {
        let (commands, responses) = (self.commands.stats(), self.responses.stats());
        Totals {
            received: commands.received,
            sent: responses.sent,
            sleeps: commands.sleeps,
            recovered_by_poll: commands.recovered_by_poll,
            violations: commands.violations.saturating_add(responses.violations),
            ..self.totals
        }
    }
}
