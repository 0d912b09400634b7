//! One channel of every kind, in both directions: what an end in another language is tried against.
//!
//! | channels | what the image does |
//! |---|---|
//! | 0 in, 1 out: queuing | sends each message back; `call <text>` it passes on as a request, and sends back how that ended |
//! | 2 in, 3 out: sampling | writes each new value that it reads |
//! | 4 in, 5 out: requests and responses | operation 1 reverses the arguments, 2 is refused, 3 is never answered |
//! | 6 out, 7 in: requests and responses | requests of its own, operation 7, a budget of one second |
//! | 8 in, 9 out: queuing, protected | sends each message back behind the name of its status and a space |
//!
//! For `ivshmem-peer`, unless `end=second`, they are these in one `--channels`; `--source` is 2 to the image and 1 from it:
//!
//! ```text
//! queuing:second:16x120,queuing:first:16x120,sampling:second:56,sampling:first:56,request:second:8x120,response:first:8x120,
//! request:first:8x120,response:second:8x120,queuing:second:8x120:protected=0x51,queuing:first:8x120:protected=0x52
//! ```
//!
//! ```text
//! kinds: begin <command line>
//! kinds: ready device=<ssss:bb:dd.f> kind=<plain|doorbell> id=<n|-> size=<bytes> mode=<polled|interrupt>
//! kinds: up session=<16 hex digits>
//! kinds: error <ErrorName> <details>
//! kinds: end messages=<n> samples=<n> requests=<n> cancelled=<n> calls=<n> protected=<n> bad=<n>
//!   violations=<n> restarts=<n>
//! ```
//!
//! It ends, with exit code 33, after it has sent back the message `quit`. It looks at every tick of a millisecond and asks for no
//! doorbell. Options: `config`, `mem32`, `mem64`, `apic`, `irq_cpu`, `mode`, `device`, `stale_ms` and `storm` as `echo`, and `end=first|second`, by default first.

#![cfg_attr(target_os = "none", no_std, no_main)]

use ivshmem::channel::{End, LinkState, Mailbox};
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::options::{OptionError, Options, Side};
use ivshmem_examples::say;
use ivshmem_examples::station::Station;
use ivshmem_examples::timer::Sleep;

mod halves;
use halves::{Kinds, channels};

ivshmem_examples::image!(run);

/// The longest that anything waits, in microseconds.
const TICK_US: u32 = 1000;
const OPTIONS: &[&str] = &["config", "mem32", "mem64", "apic", "irq_cpu", "mode", "device", "end", "stale_ms", "storm"];

fn own_end(command_line: &str) -> Result<End, OptionError<'_>> {
    let side = Options::parse(command_line, OPTIONS)?.get("end", Side::EXPECTED)?;
    Ok(side.map_or(End::First, |Side(end)| end))
}

fn run(machine: &mut Machine) -> Result<(), Failed> {
    let (mut station, memory) = Station::open_with::<1>(machine, OPTIONS)?;
    let own = own_end(machine.command_line).map_err(|error| machine.failed(&error))?;
    station.timer.every(TICK_US).map_err(|error| machine.failed(&error))?;
    let channels = channels(own);
    let mut mailbox = Mailbox::new(memory, own, &channels).map_err(|error| machine.failed(&error))?;
    let (mut link, channels) = mailbox.attach(station.attach());
    let clock = station.clock;
    let ticks_per_us = clock.from_us(1);
    let bell = station.doorbell.clone();
    let mut kinds = Kinds::new(channels, clock.ticks(), ticks_per_us, bell).map_err(|error| machine.failed(&error))?;
    let mut up = false;
    while !kinds.last {
        let sleep = Sleep::until_tick(station.vector());
        let now = clock.ticks();
        match link.poll(now) {
            LinkState::Up { session } if !up => {
                up = true;
                say!("{}: up session={session:016x}", machine.name);
            }
            state => up = state.is_up(),
        }
        if !kinds.round(now) {
            station.end_storm();
            sleep.to_tick();
        }
    }
    link.close();
    let restarts = link.stats().peer_restarts;
    let Kinds { messages, reader, responder, requester, protected_in, .. } = &kinds;
    // Of every half that receives: where one channel was violated, no other one was.
    let halves = [messages.stats(), protected_in.stats(), responder.channel_stats().1, requester.channel_stats().1];
    let violations = halves.iter().map(|stats| stats.violations).sum::<u32>() + reader.stats().violations;
    let (messages, samples) = (messages.stats().received, reader.stats().fresh);
    let (requests, cancelled) = (responder.stats().taken, responder.stats().cancelled);
    let (calls, counts) = (requester.stats().started, protected_in.counts());
    let bad = counts.bad_crc + counts.wrong_source + counts.wrong_sequence + counts.repeated;
    let protected = protected_in.stats().received;
    station.close(machine.name);
    say!(
        "kinds: end messages={messages} samples={samples} requests={requests} cancelled={cancelled} calls={calls} \
         protected={protected} bad={bad} violations={violations} restarts={restarts}"
    );
    Ok(())
}
