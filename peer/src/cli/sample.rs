//! `ivshmem-peer sample`.

mod halves;

use super::mailbox::{Role, quoted, unlinked};
use super::progress::Patience;
use super::terminal::{Line, Terminal};
use super::window::{ChannelArguments, Opened};
use super::{Failure, protection, say, stop};
use clap::Subcommand;
use core::time::Duration;
use halves::{Reading, Value, Writing};
use ivshmem::channel::{Kind, ReadError, Subscriber, Watch};
use ivshmem_peer::{Attachment, Mapping, Purpose, poll_until};
use std::time::Instant;

/// Read or write a sampling channel: the latest value of something.
///
/// Reading looks on: it writes nothing to shared memory and disturbs no session, so that any number may read. Each new value is a
/// line `sample: value missed=<n> "<value>"`, where missed are those overwritten since the one before.
///
/// Of a protected channel each line has the value's status too, as status=ok or status=some-lost lost=<n>. A value of any other
/// status (repeated, wrong-sequence, wrong-source, bad-crc, stale) is shown as `sample: unusable` and does not count.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ivshmem-peer sample read --channels sampling:first:56
  ivshmem-peer sample watch --channels sampling:first:56 --count 100
  ivshmem-peer sample write --channels sampling:second:56 1450")]
pub(super) struct Sample {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the latest value once there is one.
    #[command(after_help = "Examples:
  ivshmem-peer sample read --device file:/dev/shm/ivshmem --channels sampling:first:56
  ivshmem-peer sample read --offset 0x20000 --channels queuing:second:64x248,queuing:first:64x248,sampling:first:56 --channel 2")]
    Read(Read),
    /// Print every new value that is seen, until --count of them or Ctrl-C.
    #[command(after_help = "Examples:
  ivshmem-peer sample watch --device socket:/run/ivshmem.sock --channels sampling:first:56 --count 100
  ivshmem-peer sample watch --channels sampling:first:56 --refresh 20
  ivshmem-peer sample watch --channels sampling:first:56:protected=0x52 --source 7")]
    Watch(WatchValues),
    /// Attach as an end and write: the value given, kept up until Ctrl-C or --hold, or each line of standard input.
    #[command(after_help = "Examples:
  ivshmem-peer sample write --device file:/dev/shm/ivshmem --channels sampling:second:56 1450
  sensor | ivshmem-peer sample write --channels sampling:second:56
  ivshmem-peer sample write --channels sampling:second:56:protected=0x52 --source 7 1450")]
    Write(Write),
}

#[derive(Debug, clap::Args)]
struct Source {
    #[command(flatten)]
    window: ChannelArguments,
    /// Which channel, counted from 0; without it, the first sampling channel that --from writes.
    #[arg(long, value_name = "N")]
    channel: Option<usize>,
    /// On a protected channel: the writer's number, which it calls itself and readers expect.
    #[arg(long, value_name = "N", default_value_t = 0)]
    source: u16,
    /// Which end writes it.
    #[arg(long, value_name = "END", default_value = "first")]
    from: Role,
    /// How long to wait for the writer or a new value, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400 * 365))]
    timeout: u64,
    /// A value not refreshed for so many milliseconds is stale; 0 for never. On a protected channel a stale value is unusable, and so
    /// is the first one found, as nobody knows since when it is there.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    refresh: u64,
}

#[derive(Debug, clap::Args)]
struct Read {
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Args)]
struct WatchValues {
    #[command(flatten)]
    source: Source,
    /// End after so many values.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Write {
    #[command(flatten)]
    window: ChannelArguments,
    /// Which channel, counted from 0; without it, the first sampling channel that this end writes.
    #[arg(long, value_name = "N")]
    channel: Option<usize>,
    /// On a protected channel: the writer's number, which it calls itself and readers expect.
    #[arg(long, value_name = "N", default_value_t = 0)]
    source: u16,
    /// Which end to be.
    #[arg(long, value_name = "END", default_value = "second")]
    end: Role,
    /// Stay for so many seconds after the value; without it, until Ctrl-C.
    #[arg(long, value_name = "SECONDS", requires = "value")]
    hold: Option<u64>,
    /// The value.
    #[arg(value_name = "VALUE")]
    value: Option<String>,
}

impl Sample {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match &self.action {
            Action::Read(read) => read.source.follow(Some(1), false),
            Action::Watch(watch) => watch.source.follow(watch.count, true),
            Action::Write(write) => write.run(),
        }
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

fn pause() {
    poll_until(&mut [], Instant::now() + PAUSE);
}

impl Source {
    /// Prints new values until there were so many; with `counts` says at the end how many there were, however it ended.
    fn follow(&self, count: Option<u64>, counts: bool) -> Result<(), Failure> {
        let picked = self.window.pick(self.channel, Kind::Sampling, self.from.end())?;
        stop::catch()?;
        let (name, backend) = self.window.open(Purpose::Access)?;
        let failed = |error: &dyn core::fmt::Display| Failure::Failed(format!("{name}: {error}"));
        let mut subscriber =
            Subscriber::new(backend.memory().clone(), self.from.end(), self.window.channels().channels())
                .map_err(|error| failed(&error))?;
        let (mut watch, mut values) = subscriber.subscribe(0);
        let mut reading = Reading::take(&mut values, picked, self.source, Duration::from_millis(self.refresh))
            .map_err(|error| failed(&error))?;
        let mut printed = 0;
        let outcome = self.print(&mut watch, &mut reading, picked.channel.max_len(), count, &mut printed);
        if counts {
            let statuses =
                reading.counts().map_or_else(String::new, |counts| format!(" {}", protection::counts(&counts)));
            let missed = reading.missed();
            say(format_args!("sample: end values={printed} missed={missed}{statuses}"))?;
        }
        match outcome {
            Err(Failure::Stopped(_)) if count.is_none() => Ok(()),
            outcome => outcome,
        }
    }

    fn print(
        &self,
        watch: &mut Watch<'_, Mapping>,
        reading: &mut Reading<'_>,
        max_len: u16,
        count: Option<u64>,
        printed: &mut u64,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let mut patience = Patience::new("sample", Duration::from_secs(self.timeout));
        let mut buffer = vec![0; usize::from(max_len)];
        let mut stale = false;
        while count.is_none_or(|count| *printed < count) {
            stop::check()?;
            let now = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let state = watch.poll(now);
            if !state.is_up() {
                patience.check(|| unlinked(state))?;
                pause();
                continue;
            }
            match reading.read(&mut buffer, now) {
                Ok(value) if value.fresh => {
                    let (missed, remark, text) = (value.missed, value.remark(), quoted(value.bytes));
                    if protection::is_usable(value.status) {
                        say(format_args!("sample: value missed={missed}{remark} {text}"))?;
                        *printed += 1;
                        stale = false;
                        patience.renew();
                        continue;
                    }
                    say(format_args!("sample: unusable missed={missed}{remark} {text}"))?;
                    stale = value.stale.is_some();
                }
                Ok(Value { stale: Some(age), .. }) if !stale => {
                    stale = true;
                    say(format_args!("sample: stale age_ms={}", protection::milliseconds(age)))?;
                }
                Ok(_) | Err(ReadError::Empty | ReadError::Busy | ReadError::NotUp | ReadError::Closed) => {}
                Err(error) => return Err(Failure::Failed(format!("cannot read: {error}"))),
            }
            patience.check(|| "new value".into())?;
            pause();
        }
        Ok(())
    }
}

impl Write {
    fn run(&self) -> Result<(), Failure> {
        let picked = self.window.pick(self.channel, Kind::Sampling, self.end.end())?;
        self.value.iter().try_for_each(|value| picked.check_length(value))?;
        let Opened { name, backend, mut mailbox } = self.window.mailbox(self.end.end())?;
        let failed = |error: &dyn core::fmt::Display| Failure::Failed(format!("{name}: {error}"));
        let (mut attachment, mut channels) = Attachment::attach(&mut mailbox, &*backend, 0);
        let mut writer = Writing::take(&mut channels, picked, self.source).map_err(|error| failed(&error))?;
        let mut write = |attachment: &mut Attachment<'_>, value: &[u8]| match writer.write(value) {
            Ok(notice) => {
                attachment.ring(notice);
                Ok(())
            }
            Err(error) => Err(failed(&error)),
        };
        let mut terminal = Terminal::new();
        let outcome = (|| {
            if let Some(value) = &self.value {
                write(&mut attachment, value.as_bytes())?;
                say(format_args!("sample: written"))?;
                let start = Instant::now();
                while self.hold.is_none_or(|hold| start.elapsed() < Duration::from_secs(hold)) {
                    stop::check()?;
                    attachment.poll();
                    pause();
                }
                return Ok(());
            }
            loop {
                stop::check()?;
                attachment.poll();
                match terminal.read()? {
                    Line::Complete(line) => write(&mut attachment, &line)?,
                    Line::None => pause(),
                    Line::End => return Ok(()),
                }
            }
        })();
        attachment.close();
        let written = writer.stats().written;
        // Ctrl-C is how a value that is kept up ends.
        match outcome {
            Ok(()) | Err(Failure::Stopped(_)) => say(format_args!("sample: end written={written}")),
            Err(failure) => Err(failure),
        }
    }
}
