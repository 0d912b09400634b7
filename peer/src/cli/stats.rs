//! `ivshmem-peer stats`.

use super::mailbox::{end_name, kind_name};
use super::window::ChannelArguments;
use super::{Failure, found, say, stop};
use core::time::Duration;
use ivshmem::channel::wire::{Key, Keyed};
use ivshmem::channel::{Channel, End, Kind, Snapshot};
use ivshmem_peer::{Mapping, Purpose, poll_until};
use std::time::Instant;

/// Count what goes through a mailbox, from outside: its ends, and of each channel what was sent, received, and is in flight.
///
/// Of each end, polls is how often it looked since the count before; - at the first. Only reads. The counts are those of the present session: they begin anew when either end restarts. Exit code 4: an end that is
/// there has other channels than --channels says, so that there is nothing to count.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ivshmem-peer stats --device file:/dev/shm/ivshmem
  ivshmem-peer stats --device socket:/run/ivshmem.sock --every 1000 --count 60
  ivshmem-peer stats --channels sampling:first:56")]
pub(super) struct Stats {
    #[command(flatten)]
    window: ChannelArguments,
    /// Count again every so many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    every: u64,
    /// How often to count.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,
}

impl Stats {
    pub(super) fn run(&self) -> Result<(), Failure> {
        stop::catch()?;
        let (_, backend) = self.window.open(Purpose::Access)?;
        let channels = self.window.channels().channels();
        let snapshot = Snapshot::new(backend.memory(), channels);
        let mut beats: [Option<u64>; 2] = [None; 2];
        for round in 0..self.count {
            if round > 0 {
                let next = Instant::now() + Duration::from_millis(self.every);
                while Instant::now() < next {
                    stop::check()?;
                    poll_until(&mut [], next.min(Instant::now() + Duration::from_millis(100)));
                }
            }
            let ends = [End::First, End::Second].map(|end| (end, snapshot.link(end)));
            found::check(&ends, channels)?;
            for ((end, line), beat) in ends.iter().zip(&mut beats) {
                let name = end_name(*end);
                if !found::is_anybody(line) {
                    say(format_args!("stats: end {name} nobody"))?;
                    continue;
                }
                let since = |before| line.heartbeat.wrapping_sub(before).to_string();
                let polls = beat.replace(line.heartbeat).map_or_else(|| "-".into(), since);
                let state = found::state(line.state);
                say(format_args!("stats: end {name} {state} epoch={:#x} polls={polls}", line.epoch))?;
            }
            for (index, channel) in channels.iter().enumerate() {
                say(format_args!("stats: channel {index} {}", counts(&snapshot, index, channel)))?;
            }
        }
        say(format_args!("stats: end"))
    }
}

/// What a channel's words add up to.
fn counts(snapshot: &Snapshot<'_, Mapping>, index: usize, channel: &Channel) -> String {
    let Some(lines) = snapshot.channel(index) else { return "missing".into() };
    let kind = kind_name(channel.kind());
    if channel.kind() == Kind::Sampling {
        return format!("{kind} written={}", Keyed::from_word(lines.ring).count);
    }
    let key = Key::from_bits(u32::try_from(lines.ring).unwrap_or(0));
    if key.bits() == 0 {
        return format!("{kind} unused");
    }
    // The newest message's stamp is how many were sent; modulo 2^32, the one furthest ahead of what was acknowledged.
    let received = if lines.acknowledged.key == key { lines.acknowledged.count } else { 0 };
    let headers = (0..channel.slots()).filter_map(|slot| snapshot.slot(index, slot));
    let ahead = headers
        .filter(|header| header.to_word() != 0 && header.tag == key.tag())
        .map(|header| header.stamp.wrapping_sub(received))
        .filter(|ahead| *ahead <= channel.slots())
        .max()
        .unwrap_or(0);
    let sent = received.wrapping_add(ahead);
    format!("{kind} sent={sent} acknowledged={received} unacknowledged={ahead} slots={}", channel.slots())
}
