//! The task that publishes samples.

use crate::shared::Shared;
use embassy_time::{Duration, Instant, Ticker};
use ivshmem::channel::{Channels, TakeError, Writer};
use ivshmem::device::DoorbellRegister;
use ivshmem::memory::SharedMemory;

/// How often, in milliseconds.
const PERIOD_MS: u64 = 1;

/// The writing half, and how its reader is rung.
pub struct Samples {
    writer: Writer<'static, SharedMemory>,
    doorbell: Option<DoorbellRegister>,
}

impl Samples {
    pub fn take(
        channels: &mut Channels<'static, SharedMemory>,
        channel: usize,
        doorbell: Option<DoorbellRegister>,
    ) -> Result<Self, TakeError> {
        Ok(Self { writer: channels.writer(channel)?, doorbell })
    }
}

/// Publishes a sample every period, whether anybody reads it or not.
#[embassy_executor::task]
pub async fn sample(mut samples: Samples, shared: &'static Shared) {
    let mut ticker = Ticker::every(Duration::from_millis(PERIOD_MS));
    for number in 1.. {
        ticker.next().await;
        let commands: u64 = shared.pairs.iter().map(|counts| counts.get().commands).sum();
        let mut value = [0; 24];
        for (bytes, word) in value.chunks_exact_mut(8).zip([number, Instant::now().as_micros(), commands]) {
            bytes.copy_from_slice(&u64::to_le_bytes(word));
        }
        // Refused only after this side has closed, when the executor ends.
        let Ok(notice) = samples.writer.write(&value) else { return };
        let rang = samples.doorbell.as_ref().map_or(Ok(false), |doorbell| notice.ring(doorbell));
        shared.sample_doorbells.set(shared.sample_doorbells.get() + u64::from(rang.unwrap_or(false)));
        shared.samples.set(number);
    }
}
