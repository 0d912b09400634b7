//! The task that answers on one pair of channels.

use crate::PAIRS;
use crate::shared::Shared;
use core::fmt::Write;
use embassy_futures::yield_now;
use embassy_time::{Instant, Timer};
use ivshmem::channel::{Channels, Receiver, RecvError, SendError, Sender, TakeError};
use ivshmem::device::DoorbellRegister;
use ivshmem::interrupt::{Vector, event};
use ivshmem::memory::SharedMemory;
use ivshmem_examples::failure::Named;
use ivshmem_examples::interrupts::FIRST_DOORBELL;
use ivshmem_examples::response::{MAX_LEN, Response};
use ivshmem_examples::say;

/// Commands before other tasks have their turn, however many there are.
const TURN: u32 = 16;

/// The two halves of a pair, and what wakes their task.
pub struct Pair {
    index: usize,
    commands: Receiver<'static, SharedMemory>,
    responses: Sender<'static, SharedMemory>,
    doorbell: Option<DoorbellRegister>,
    /// The session in which a violation was said: a hostile peer could make thousands.
    complained: u64,
}

impl Pair {
    pub fn take(
        channels: &mut Channels<'static, SharedMemory>,
        index: usize,
        doorbell: Option<DoorbellRegister>,
    ) -> Result<Self, TakeError> {
        let (commands, responses) = (channels.receiver(2 * index)?, channels.sender(2 * index + 1)?);
        Ok(Self { index, commands, responses, doorbell, complained: 0 })
    }

    /// Sends the response unless the session of its command has ended.
    async fn respond(&mut self, response: &[u8], session: u64, shared: &Shared) {
        while shared.session.get() == session {
            match self.responses.send_async(room(self.index), response).await {
                Ok(notice) => {
                    let rang = self.doorbell.as_ref().map_or(Ok(false), |doorbell| notice.ring(doorbell));
                    // A peer that published an id or a vector that cannot be rung finds the response by looking.
                    let rang = u64::from(rang.unwrap_or(false));
                    return shared.count(self.index, |counts| {
                        counts.responses += 1;
                        counts.doorbells += rang;
                    });
                }
                // Said once; the session tells whether this response is of the one that began.
                Err(SendError::PeerRestarted { .. } | SendError::PeerResynced { .. }) => {}
                Err(SendError::Violated(_)) => {
                    self.responses.resync();
                    break;
                }
                Err(_) => break,
            }
        }
        shared.count(self.index, |counts| counts.dropped += 1);
    }

    fn receive_failed(&mut self, error: RecvError, shared: &Shared) {
        if matches!(error, RecvError::Violated(_)) {
            let session = shared.session.get();
            if self.complained != session {
                say!("tasks: error {}", Named(&error));
                self.complained = session;
            }
            self.commands.resync();
        }
    }
}

/// The record of a pair's vector.
pub fn doorbell(pair: usize) -> &'static Vector {
    event(FIRST_DOORBELL + pair as u8)
}

/// What wakes a task that waits for room: a vector that no device raises, woken by the tick.
pub fn room(pair: usize) -> &'static Vector {
    event(FIRST_DOORBELL + (PAIRS + pair) as u8)
}

/// Takes command after command and answers each before the next.
#[embassy_executor::task(pool_size = PAIRS)]
pub async fn serve(pair: Pair, shared: &'static Shared) {
    answer(pair, shared).await;
}

async fn answer(mut pair: Pair, shared: &Shared) {
    let mut buffer = [0; MAX_LEN];
    let mut taken = 0;
    loop {
        let received = pair.commands.recv_async(doorbell(pair.index), &mut buffer).await;
        let (command, session) = match received {
            Ok(command) => (command, shared.session.get()),
            Err(error) => {
                pair.receive_failed(error, shared);
                // A link that stays closed, or is violated again and again, costs one look a tick.
                Timer::after_millis(1).await;
                continue;
            }
        };
        shared.count(pair.index, |counts| counts.commands += 1);
        let slept;
        let response = match milliseconds(command) {
            Some(ms) => {
                slept = sleep(ms).await;
                slept.bytes()
            }
            None => command,
        };
        pair.respond(response, session, shared).await;
        let stats = pair.commands.stats();
        shared.count(pair.index, |counts| {
            counts.sleeps = stats.sleeps;
            counts.recovered = stats.recovered_by_poll;
            counts.violations = stats.violations.into();
        });
        if response == b"quit" {
            shared.quit.set(true);
        }
        taken += 1;
        if taken % TURN == 0 {
            // A peer that keeps this channel full keeps nobody else waiting.
            yield_now().await;
        }
    }
}

async fn sleep(ms: u16) -> Response {
    let from = Instant::now();
    Timer::after_millis(ms.into()).await;
    let mut response = Response::new();
    // Shorter than a response.
    let _ = write!(response, "slept {} {}", from.as_micros(), Instant::now().as_micros());
    response
}

/// How long `sleep <ms>` asks to sleep; `None` for any other command.
fn milliseconds(command: &[u8]) -> Option<u16> {
    core::str::from_utf8(command.strip_prefix(b"sleep ")?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Waker};
    use ivshmem::channel::{Attach, Channel, End, Mailbox};
    use ivshmem::fake::memory::loop_back;

    const CHANNELS: [Channel; 2] = [Channel::queuing(End::Second, 64, 248), Channel::queuing(End::First, 64, 248)];

    #[test]
    fn a_channel_that_its_peer_keeps_full_lets_other_tasks_run_after_every_turn() {
        let (first, second) = loop_back(1 << 16).unwrap();
        // Tasks own their halves for ever.
        let mailbox = std::boxed::Box::leak(std::boxed::Box::new(Mailbox::new(first, End::First, &CHANNELS).unwrap()));
        let mut peer = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
        let (mut link, mut channels) = mailbox.attach(Attach::polled());
        let (mut peer_link, mut peer_channels) = peer.attach(Attach::polled());
        let (mut commands, mut responses) = (peer_channels.sender(0).unwrap(), peer_channels.receiver(1).unwrap());
        while !(link.poll(0).is_up() & peer_link.poll(0).is_up()) {}
        let shared = Shared::default();
        let mut task = pin!(answer(Pair::take(&mut channels, 0, None).unwrap(), &shared));
        for turn in 1..=8 {
            while let Ok(notice) = commands.try_send(b"again") {
                notice.ignore();
            }
            assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(shared.pairs[0].get().commands, u64::from(turn * TURN));
            while responses.try_recv(&mut [0; MAX_LEN]).unwrap().is_some() {}
        }
    }

    #[test]
    fn only_whole_milliseconds_are_slept() {
        assert_eq!(milliseconds(b"sleep 250"), Some(250));
        for command in [&b"sleep"[..], b"sleep ", b"sleep 65536", b"sleep -1", b"sleep 1.5", b"quit", b"\xff", b""] {
            assert_eq!(milliseconds(command), None);
        }
    }
}
