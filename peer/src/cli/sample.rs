//! `ivshmem-peer sample`.

use super::mailbox::{Role, printable, unlinked};
use super::progress::Patience;
use super::terminal::{Line, Terminal};
use super::window::{ChannelArguments, check_length};
use super::{Failure, say, stop};
use clap::Subcommand;
use core::time::Duration;
use ivshmem::channel::{Kind, Mailbox, ReadError, Reader, Subscriber, Validity, Watch};
use ivshmem_peer::{Attachment, Mapping, Purpose, poll_until};
use std::time::Instant;

/// Read or write a sampling channel: the latest value of something.
///
/// Reading looks on: it writes nothing to shared memory and disturbs no session, so that any number may read.
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
  ivshmem-peer sample watch --channels sampling:first:56 --refresh 20")]
    Watch(WatchValues),
    /// Attach as an end and write: the value given, kept up until Ctrl-C or --hold, or each line of standard input.
    #[command(after_help = "Examples:
  ivshmem-peer sample write --device file:/dev/shm/ivshmem --channels sampling:second:56 1450
  sensor | ivshmem-peer sample write --channels sampling:second:56")]
    Write(Write),
}

#[derive(Debug, clap::Args)]
struct Source {
    #[command(flatten)]
    window: ChannelArguments,
    /// Which channel, counted from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    channel: usize,
    /// Which end writes it.
    #[arg(long, value_name = "END", default_value = "first")]
    from: Role,
    /// How long to wait for the writer or a new value, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400 * 365))]
    timeout: u64,
    /// A value not refreshed for so many milliseconds is stale; 0 for never.
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
    /// Which channel, counted from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    channel: usize,
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
            Action::Read(read) => read.source.follow(Some(1)).map(|_| ()),
            Action::Watch(watch) => {
                let (values, missed) = watch.source.follow(watch.count)?;
                say(format_args!("sample: end values={values} missed={missed}"))
            }
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
    /// Prints new values, and says how many it saw and how many were overwritten before.
    fn follow(&self, count: Option<u64>) -> Result<(u64, u64), Failure> {
        self.window.channel(self.channel, Kind::Sampling, self.from.end())?;
        stop::catch()?;
        let (name, backend) = self.window.open(Purpose::Access)?;
        let failed = |error: &dyn core::fmt::Display| Failure::Failed(format!("{name}: {error}"));
        let mut subscriber =
            Subscriber::new(backend.memory().clone(), self.from.end(), self.window.channels().channels())
                .map_err(|error| failed(&error))?;
        let (mut watch, mut values) = subscriber.subscribe(0);
        let refresh = Duration::from_millis(self.refresh).as_nanos();
        let mut reader = values
            .reader(self.channel)
            .map_err(|error| failed(&error))?
            .refresh_period(u64::try_from(refresh).unwrap_or(u64::MAX));
        let outcome = self.print(&mut watch, &mut reader, count);
        let stats = reader.stats();
        match outcome {
            Err(Failure::Stopped(_)) if count.is_none() => Ok((stats.fresh, stats.missed)),
            outcome => outcome.map(|()| (stats.fresh, stats.missed)),
        }
    }

    fn print(
        &self,
        watch: &mut Watch<'_, Mapping>,
        reader: &mut Reader<'_, Mapping>,
        count: Option<u64>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let mut patience = Patience::new("sample", Duration::from_secs(self.timeout));
        let mut buffer = vec![0; usize::from(reader.max_len())];
        let (mut printed, mut stale) = (0, false);
        while count.is_none_or(|count| printed < count) {
            stop::check()?;
            let now = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let state = watch.poll(now);
            if !state.is_up() {
                patience.check(|| unlinked(state))?;
                pause();
                continue;
            }
            match reader.read(&mut buffer, now) {
                Ok(sample) if sample.fresh => {
                    let (missed, text) = (sample.missed, printable(sample.bytes));
                    say(format_args!("sample: value missed={missed} \"{text}\""))?;
                    printed += 1;
                    stale = false;
                    patience.renew();
                    continue;
                }
                Ok(sample) if sample.validity == Validity::Stale && !stale => {
                    stale = true;
                    say(format_args!("sample: stale age_ms={}", sample.age.at_least / 1_000_000))?;
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
        let channel = self.window.channel(self.channel, Kind::Sampling, self.end.end())?;
        if let Some(value) = &self.value {
            check_length(channel, value)?;
        }
        stop::catch()?;
        let (name, backend) = self.window.open(Purpose::Exchange)?;
        let failed = |error: &dyn core::fmt::Display| Failure::Failed(format!("{name}: {error}"));
        let mut mailbox = Mailbox::new(backend.memory().clone(), self.end.end(), self.window.channels().channels())
            .map_err(|error| failed(&error))?;
        let (mut attachment, mut channels) = Attachment::attach(&mut mailbox, &*backend, 0);
        let mut writer = channels.writer(self.channel).map_err(|error| failed(&error))?;
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
