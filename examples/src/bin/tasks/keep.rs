//! The task that keeps the others going: it polls the link, wakes who may have missed a doorbell, and ends storms.

use crate::pair::{doorbell, room};
use crate::shared::Shared;
use crate::{PAIRS, TICK_US};
use embassy_time::{Duration, Ticker};
use ivshmem::channel::LinkState;
use ivshmem::memory::SharedMemory;
use ivshmem::notify::Event;
use ivshmem_examples::announcer::{Announcer, News};
use ivshmem_examples::options::Mode;
use ivshmem_examples::say;
use ivshmem_examples::station::Station;

/// Goes round with each tick, until somebody said `quit`. In interrupt mode every task looks after so many rounds, a millisecond each,
/// doorbell or not; never with 0.
#[embassy_executor::task]
pub async fn keep(
    mut station: Station,
    mut link: Announcer<'static, SharedMemory>,
    look_ms: u32,
    shared: &'static Shared,
) {
    let patience = match station.mode {
        Mode::Polled => 1,
        Mode::Interrupt => look_ms,
    };
    let before: [u32; PAIRS] = core::array::from_fn(|pair| doorbell(pair).count());
    let mut ticker = Ticker::every(Duration::from_micros(TICK_US.into()));
    for round in 1u32.. {
        ticker.next().await;
        let News { state, is_new, say_restarted } = link.poll(station.clock.ticks());
        if say_restarted {
            say!("tasks: restarted restarts={}", link.stats().peer_restarts);
        }
        match state {
            LinkState::Up { session } => shared.session.set(session),
            // Silent, but the same.
            LinkState::Stale { .. } => {}
            _ => shared.session.set(0),
        }
        for pair in 0..PAIRS {
            // No doorbell tells of the link's state, nor of room.
            room(pair).wake();
            if is_new || round.checked_rem(patience) == Some(0) {
                doorbell(pair).wake();
            }
        }
        station.end_storm();
        if shared.quit.get() {
            break;
        }
    }
    link.close();
    shared.restarts.set(link.stats().peer_restarts);
    for (pair, before) in before.into_iter().enumerate() {
        shared.count(pair, |counts| {
            counts.interrupts = doorbell(pair).count().wrapping_sub(before).into();
            counts.storms = station.storms(pair).into();
        });
    }
    station.close(link.name());
    shared.done.set(true);
}
