//! The demonstration: a 1 kHz loop that drives a simulated servo axis and takes an operator's commands in between.
//!
//! ```text
//! control-loop: begin <command line>
//! control-loop: ready device=<ssss:bb:dd.f> kind=<plain|doorbell> id=<n|-> size=<bytes> mode=<polled|interrupt>
//! control-loop: up session=<16 hex digits> peer=<n|->
//! control-loop: restarted restarts=<n>
//! control-loop: closed
//! control-loop: error <ErrorName> <details>
//! control-loop: end commands=<n> responses=<n> cycles=<n> missed=<n> interrupts=<n> doorbells=<n> recovered_by_poll=<n> restarts=<n>
//! ```
//!
//! Commands are text on channel 0, and each has one response on channel 1, in order:
//!
//! | command | response |
//! |---|---|
//! | `ping <text>` | `pong <text>` |
//! | `set-speed <rpm>` | `ok set-speed <rpm>`, or `error set-speed: ...` if it is no number or outside -3000..=3000 |
//! | `stop` | `ok stop` |
//! | `status` | `ok status target=<rpm> speed=<rpm> position=<counts> cycles=<n> missed=<n>` |
//! | `quit` | `ok quit`, and the image ends with exit code 33 |
//! | anything else | `error unknown command: <its first 32 bytes>` |
//!
//! The cycle comes first: the axis is stepped at the tick, then commands are taken, in polled mode for half of the cycle
//! and in interrupt mode whenever the doorbell rings, one at a time and none once the next tick has come. `cycles`
//! counts the cycles that were due since the start, and `missed` those of them that did not run because an earlier one was late.
//!
//! Options: `mode=polled|interrupt`, by default `interrupt` if the device can; `device=<selector>`, by default the first.

#![cfg_attr(target_os = "none", no_std, no_main)]

mod axis;
mod command;
mod schedule;

use axis::Axis;
use command::Cycles;
use ivshmem::channel::{COMMAND_RESPONSE, End, Mailbox};
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::options::Mode;
use ivshmem_examples::say;
use ivshmem_examples::service::{Served, Service, Totals};
use ivshmem_examples::station::Station;
use ivshmem_examples::timer::Sleep;
use schedule::Schedule;

ivshmem_examples::image!(run);

/// The cycle, in microseconds.
const CYCLE_US: u32 = 1000;
/// How long commands are looked for in each cycle in polled mode, in microseconds from its start.
const BUDGET_US: u64 = 500;

fn run(machine: &mut Machine) -> Result<(), Failed> {
    let (mut station, memory) = Station::open(machine)?;
    let mailbox = Mailbox::new(memory, End::First, &COMMAND_RESPONSE);
    let mut mailbox = mailbox.map_err(|error| machine.failed(&error))?;
    let (link, channels) = mailbox.attach(station.attach());
    let service = Service::new(machine.name, link, channels, station.doorbell.clone());
    let mut service = service.map_err(|error| machine.failed(&error))?;

    let clock = station.clock;
    let budget = clock.from_us(BUDGET_US);
    let mut schedule = Schedule::new(clock.from_us(CYCLE_US.into()));
    let mut axis = Axis::new();
    let mut cycles = Cycles::default();
    station.timer.every(CYCLE_US).map_err(|error| machine.failed(&error))?;
    let mut sleep = Sleep::until_tick(station.vector());
    'cycles: loop {
        sleep.to_tick();
        sleep = Sleep::until_tick(station.vector());
        let start = clock.ticks();
        let Some(missed) = schedule.begin(start) else { continue };
        cycles.missed = cycles.missed.saturating_add(missed);
        cycles.due = cycles.due.saturating_add(missed).saturating_add(1);
        axis.coast(missed);
        axis.step();

        if !service.poll_link(start).is_up() {
            continue;
        }
        let wait = (station.mode == Mode::Interrupt).then_some(&sleep);
        while !sleep.is_over() && (wait.is_some() || clock.ticks().wrapping_sub(start) < budget) {
            match service.serve(wait, |command, response| command::execute(command, &mut axis, cycles, response)) {
                Served::Message => {}
                Served::Nothing => core::hint::spin_loop(),
                Served::Last => break 'cycles,
            }
        }
    }
    service.close();

    let Totals { received, sent, doorbells, recovered_by_poll, restarts, .. } = service.totals();
    let interrupts = station.close(machine.name);
    let Cycles { due, missed } = cycles;
    say!(
        "control-loop: end commands={received} responses={sent} cycles={due} missed={missed} interrupts={interrupts} \
         doorbells={doorbells} recovered_by_poll={recovered_by_poll} restarts={restarts}"
    );
    Ok(())
}
