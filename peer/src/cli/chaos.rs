//! `ivshmem-peer chaos`.

use super::mailbox::Role;
use super::window::ChannelArguments;
use super::{Failure, say, stop, warn};
use clap::ValueEnum;
use core::ops::ControlFlow;
use core::time::Duration;
use ivshmem::channel::TakeError;
use ivshmem_peer::chaos::{Chaos as HostilePeer, Counts, Mode, Step};
use ivshmem_peer::{Kind, Purpose, poll_until};
use std::time::Instant;

/// Be a hostile peer, to test that the other end takes no harm
///
/// Attaches to the mailbox like an honest peer, sends messages, samples and requests (to do operation 0) of the text
/// chaos <life> <number>, answers requests, and then breaks the rules in the way that the mode says, over and over. The other end must neither stop, nor fault, nor deliver anything false on other
/// channels, and must serve an honest peer again afterwards. What is done follows from the seed and from how the other end answers.
///
/// Ends after --steps or --seconds, or on Ctrl-C, with a line of counts:
///
///   chaos: end mode=<mode> seed=<n> steps=<n> lives=<n> ups=<n> stores=<n> hostile=<n> sent=<n> received=<n> rings=<n> refused=<n> frozen=<n>
///
/// lives: times attached; ups: times the other end answered; hostile: words that no honest peer would have stored; refused:
/// doorbells that could not be rung. Exit code 4: the other end never answered.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  ivshmem-peer chaos scribble --seconds 30
  ivshmem-peer chaos scribble --everywhere --seed 7 --device file:/dev/shm/ivshmem
  ivshmem-peer chaos length --channel 0 --steps 100000 --device vfio:0000:00:03.0
  ivshmem-peer chaos storm --vectors 4 --device socket:/run/ivshmem.sock
  ivshmem-peer chaos stamp --offset 0x10000 --channels queuing:second:8x56,sampling:first:120
  ivshmem-peer chaos restart --end first --seed 12"
)]
pub(super) struct Chaos {
    /// What to do to the other end.
    mode: How,
    #[command(flatten)]
    channels: ChannelArguments,
    /// Which end of the mailbox to be.
    #[arg(long, value_name = "END", default_value = "second")]
    end: Role,
    /// Do the same as an earlier run with this number; without it, a random one.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// End after so many steps; a step is a hostile store, a message, a doorbell or a moment of waiting.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// End after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Be hostile with the words of this channel only, counted from 0 in the order of --channels; a storm and a restart know no channel.
    #[arg(long, value_name = "N")]
    channel: Option<usize>,
    /// Scribble in the other end's section too.
    #[arg(long)]
    everywhere: bool,
    /// How many of the other end's vectors a storm rings, from 0.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    vectors: u16,
}

/// The modes as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    /// Random words anywhere in the own section, or with --everywhere in both.
    Scribble,
    /// Stamps of slots and other counters jump.
    Stamp,
    /// Lengths of messages, samples and requests lie, or change after they were published.
    Length,
    /// Doorbells without end on all vectors.
    Storm,
    /// Attached, and then no sign of life for a second or two, perhaps amid a message.
    Freeze,
    /// The bytes of an earlier session are written over those of the present one.
    Replay,
    /// Honest, but dies at its n-th store and attaches anew, with another n each time.
    Restart,
}

/// How long a frozen step lasts; a freeze has 50 to 100.
const FROZEN: Duration = Duration::from_millis(20);
/// How long a step of a slow life lasts.
const PACE: Duration = Duration::from_micros(50);
/// How long to wait between two looks for the other end.
const WAITING: Duration = Duration::from_micros(200);

impl Chaos {
    pub(super) fn run(&self) -> Result<(), Failure> {
        if self.everywhere && self.mode != How::Scribble {
            return Err(Failure::Usage(format!("--everywhere is for scribble, not for {}", self.mode())));
        }
        let channels = self.channels.channels().channels();
        if let Some(channel) = self.channel.filter(|channel| *channel >= channels.len()) {
            return Err(Failure::Usage(TakeError::NoSuchChannel { channel, channels: channels.len() }.to_string()));
        }
        let end = self.end.end();
        let (name, backend) = self.channels.open(Purpose::Exchange)?;
        stop::catch()?;
        let mode = self.mode();
        if mode == Mode::Storm && backend.kind() == Kind::Plain {
            return Err(Failure::Failed(format!("{name}: this device has no doorbell to storm with")));
        }
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let id = backend.id().filter(|_| backend.kind() == Kind::Doorbell);
        // A server announces the other peers before our own vectors: once vector 0 is there, all are known.
        let _ = backend.vector(0);
        let hostile = HostilePeer {
            seed,
            id,
            channel: self.channel,
            vectors: self.vectors,
            ..HostilePeer::new(mode, end, channels)
        };
        say(format_args!("chaos: begin mode={mode} seed={seed} device={name}"))?;
        let mut watch = Watch::new(self.steps, self.seconds);
        let counts = hostile.run(backend.memory(), Some(&*backend), |step, counts| watch.look(step, counts));
        let counts = counts.map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        say(format_args!("chaos: end mode={mode} seed={seed} {}", text(&counts)))?;
        stop::check()?;
        match counts.ups {
            0 => Err(Failure::Late("the other side never answered".into())),
            _ => Ok(()),
        }
    }

    fn mode(&self) -> Mode {
        match self.mode {
            How::Scribble => Mode::Scribble { everywhere: self.everywhere },
            How::Stamp => Mode::Stamp,
            How::Length => Mode::Length,
            How::Storm => Mode::Storm,
            How::Freeze => Mode::Freeze,
            How::Replay => Mode::Replay,
            How::Restart => Mode::Restart,
        }
    }
}

fn text(counts: &Counts) -> String {
    let Counts { steps, lives, ups, stores, hostile, sent, received, rings, refused, frozen } = counts;
    format!(
        "steps={steps} lives={lives} ups={ups} stores={stores} hostile={hostile} sent={sent} received={received} rings={rings} \
         refused={refused} frozen={frozen}"
    )
}

/// Decides when it is over, says once a second how far it is, and lets time pass.
struct Watch {
    steps: u64,
    end: Option<Instant>,
    said: Instant,
}

impl Watch {
    fn new(steps: Option<u64>, seconds: Option<u64>) -> Self {
        let now = Instant::now();
        let end = seconds.and_then(|seconds| now.checked_add(Duration::from_secs(seconds)));
        Self { steps: steps.unwrap_or(u64::MAX), end, said: now }
    }

    fn look(&mut self, step: Step, counts: &Counts) -> ControlFlow<()> {
        let now = Instant::now();
        if counts.steps >= self.steps || self.end.is_some_and(|end| now >= end) || stop::check().is_err() {
            return ControlFlow::Break(());
        }
        match step {
            Step::Acted => {}
            Step::Paced => poll_until(&mut [], now + PACE),
            Step::Waiting => poll_until(&mut [], now + WAITING),
            Step::Frozen => poll_until(&mut [], now + FROZEN),
        }
        if now.duration_since(self.said) >= Duration::from_secs(1) {
            self.said = now;
            warn(format_args!("chaos: {}", text(counts)));
        }
        ControlFlow::Continue(())
    }
}
