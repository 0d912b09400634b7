//! Tasks on `embassy-executor`: four that answer, each on a channel and a vector of its own, one that publishes samples, one that keeps.
//!
//! ```text
//! tasks: begin <command line>
//! tasks: ready device=<ssss:bb:dd.f> kind=<plain|doorbell> id=<n|-> size=<bytes> mode=<polled|interrupt>
//! tasks: up session=<16 hex digits> peer=<n|->
//! tasks: stale age_us=<n>
//! tasks: restarted restarts=<n>
//! tasks: closed
//! tasks: error <ErrorName> <details>
//! tasks: pair <n> commands=<n> responses=<n> dropped=<n> interrupts=<n> doorbells=<n> sleeps=<n> recovered_by_poll=<n> storms=<n> violations=<n>
//! tasks: end commands=<n> responses=<n> samples=<n> interrupts=<n> doorbells=<n> recovered_by_poll=<n> restarts=<n>
//! ```
//!
//! Pair n has commands on channel 2n and responses on channel 2n + 1, queuing, 64 messages of at most 248 bytes, both on
//! vector n. Channel 8 is sampling, 24 bytes on vector 4: every millisecond three little-endian u64, the sample's number from 1,
//! the image's time in microseconds, and the commands taken so far.
//!
//! | command | response |
//! |---|---|
//! | `sleep <ms>` | `slept <from> <to>`, in the image's microseconds, so much later; other pairs go on meanwhile |
//! | `quit` | `quit`, and the image ends with exit code 33 |
//! | anything else | itself |
//!
//! Options: `config=`, `mem32=`, `mem64=`, `apic=` and `irq_cpu=` as `echo`; `mode=polled|interrupt`, by default `interrupt` if the device can; `device=<selector>`, by default the first; `stale_ms=<n>`, by
//! default 500, 0 for never; `look_ms=<n>`, how often every task looks although no doorbell rang, by default 10: by so much a lost
//! doorbell delays a command; 0 for never. In polled mode the tasks are woken by the tick alone.

#![cfg_attr(target_os = "none", no_std, no_main)]

mod keep;
mod pair;
mod sample;
mod shared;

use embassy_executor::{SpawnError, Spawner};
use ivshmem::channel::{Channel, Channels, End, Mailbox, TakeError};
use ivshmem::device::DoorbellRegister;
use ivshmem::memory::SharedMemory;
use ivshmem_examples::announcer::Announcer;
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::options::{OptionError, Options};
use ivshmem_examples::station::Station;
use ivshmem_examples::{executor, say};
use keep::keep;
use pair::{Pair, serve};
use sample::sample;
use shared::{PairCounts, Shared};
use static_cell::StaticCell;

ivshmem_examples::image!(run);

/// Tasks that answer.
const PAIRS: usize = 4;
/// Where the samples go.
const SAMPLES: usize = 2 * PAIRS;
/// What the command line may have.
const OPTIONS: &[&str] = &["config", "mem32", "mem64", "apic", "irq_cpu", "mode", "device", "stale_ms", "look_ms"];
/// How often every task looks in interrupt mode, in milliseconds, unless the option says otherwise.
const LOOK_MS: u32 = 10;
/// The tick, in microseconds: how finely tasks sleep.
const TICK_US: u32 = 1000;

static CHANNELS: [Channel; SAMPLES + 1] = [
    Channel::queuing(End::Second, 64, 248),
    Channel::queuing(End::First, 64, 248),
    Channel::queuing(End::Second, 64, 248).vector(1),
    Channel::queuing(End::First, 64, 248).vector(1),
    Channel::queuing(End::Second, 64, 248).vector(2),
    Channel::queuing(End::First, 64, 248).vector(2),
    Channel::queuing(End::Second, 64, 248).vector(3),
    Channel::queuing(End::First, 64, 248).vector(3),
    Channel::sampling(End::First, 24).vector(4),
];

fn run(machine: &mut Machine) -> Result<(), Failed> {
    static MAILBOX: StaticCell<Mailbox<'static, SharedMemory>> = StaticCell::new();
    static SHARED: StaticCell<Shared> = StaticCell::new();

    let (mut station, memory) = Station::open_with::<PAIRS>(machine, OPTIONS)?;
    let look_ms = look_ms(machine.command_line).map_err(|error| machine.failed(&error))?;
    station.timer.every(TICK_US).map_err(|error| machine.failed(&error))?;
    let mailbox = Mailbox::new(memory, End::First, &CHANNELS).map_err(|error| machine.failed(&error))?;
    let (link, mut channels) = MAILBOX.init(mailbox).attach(station.attach());
    let link = Announcer::new(machine.name, link, station.clock);
    let halves = Halves::take(&mut channels, station.doorbell.clone()).map_err(|error| machine.failed(&error))?;
    let shared: &'static Shared = SHARED.init(Shared::default());

    let mut spawned = Ok(());
    executor::run(
        |spawner| {
            spawned = halves.spawn(spawner, shared).and_then(|()| {
                spawner.spawn(keep(station, link, look_ms, shared)?);
                Ok(())
            });
            shared.done.set(spawned.is_err());
        },
        || shared.done.get(),
    );
    spawned.map_err(|error| machine.failed(&error))?;
    report(shared);
    Ok(())
}

fn look_ms(command_line: &str) -> Result<u32, OptionError<'_>> {
    Ok(Options::parse(command_line, OPTIONS)?.get("look_ms", "milliseconds, 0 for never")?.unwrap_or(LOOK_MS))
}

/// What the tasks own.
struct Halves {
    pairs: heapless::Vec<Pair, PAIRS>,
    samples: sample::Samples,
}

impl Halves {
    fn take(
        channels: &mut Channels<'static, SharedMemory>,
        doorbell: Option<DoorbellRegister>,
    ) -> Result<Self, TakeError> {
        let mut pairs = heapless::Vec::new();
        for index in 0..PAIRS {
            // As many as fit.
            let _ = pairs.push(Pair::take(channels, index, doorbell.clone())?);
        }
        Ok(Self { pairs, samples: sample::Samples::take(channels, SAMPLES, doorbell)? })
    }

    fn spawn(self, spawner: Spawner, shared: &'static Shared) -> Result<(), SpawnError> {
        for pair in self.pairs {
            spawner.spawn(serve(pair, shared)?);
        }
        spawner.spawn(sample(self.samples, shared)?);
        Ok(())
    }
}

fn report(shared: &Shared) {
    let mut total = PairCounts::default();
    for (index, counts) in shared.pairs.iter().enumerate() {
        let counts = counts.get();
        let PairCounts { commands, responses, dropped, interrupts, doorbells, sleeps, recovered, storms, violations } =
            counts;
        say!(
            "tasks: pair {index} commands={commands} responses={responses} dropped={dropped} interrupts={interrupts} \
             doorbells={doorbells} sleeps={sleeps} recovered_by_poll={recovered} storms={storms} violations={violations}"
        );
        total = total + counts;
    }
    let PairCounts { commands, responses, interrupts, doorbells, recovered, .. } = total;
    let (samples, rings, restarts) = (shared.samples.get(), shared.sample_doorbells.get(), shared.restarts.get());
    let doorbells = doorbells + rings;
    say!(
        "tasks: end commands={commands} responses={responses} samples={samples} interrupts={interrupts} \
         doorbells={doorbells} recovered_by_poll={recovered} restarts={restarts}"
    );
}
