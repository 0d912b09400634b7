//! The demonstration: a 1 kHz loop that drives a simulated servo axis and takes an operator's commands in between.
//!
//! ```text
//! control-loop: begin <command line>
//! control-loop: ready device=<ssss:bb:dd.f> kind=<plain|doorbell> id=<n|-> size=<bytes> mode=<polled|interrupt>
//! control-loop: interrupts apic=<xapic|x2apic> cpu=<n> own=<n>
//! control-loop: up session=<16 hex digits> peer=<n|->
//! control-loop: stale age_us=<n>
//! control-loop: restarted restarts=<n> received=<n> sent=<n> lost=<n>
//! control-loop: closed
//! control-loop: error <ErrorName> <details>
//! control-loop: end commands=<n> responses=<n> cycles=<n> missed=<n> busiest=<n> interrupts=<n> storms=<n> doorbells=<n> recovered_by_poll=<n> restarts=<n> violations=<n> resyncs=<n>
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
//! and in interrupt mode whenever the doorbell rings, one at a time, at most 256 in a cycle and none once the next tick has come. `cycles`
//! counts the cycles that were due since the start, and `missed` those of them that did not run because an earlier one was late;
//! `busiest` is the most commands, and channels begun anew after a violation, that a cycle had. The other counts are those of `echo`.
//!
//! Options: `config=`, `mem32=` and `mem64=` as `probe`; `apic=x2apic` enters that mode, and `irq_cpu=<local APIC id>` starts that CPU to take
//! the interrupts, which the image then looks for instead of halting (either is told in a line `interrupts`, and how many that CPU
//! took in a line `interrupts taken=<n>` before `end`); `mode=polled|interrupt`, by default `interrupt` if the device can; `device=<selector>`, by default the first; `windows=2`
//! serves a second mailbox, 64 KiB further on, whose counts come in a line `second` before `end`; `stale_ms=<n>`, by default 500, 0 for never;
//! `storm=<n>`, the interrupts a millisecond that are no storm yet, by default 64;
//! `broadcast=yes` writes what `status` says, once a cycle, into the sampling channel of a window at 128 KiB (120 bytes, written by the
//! First end), and says how often in a line `state values=<n>` before `end`.

#![cfg_attr(target_os = "none", no_std, no_main)]

mod axis;
mod broadcast;
mod command;
mod schedule;

use axis::Axis;
use broadcast::Broadcast;
use command::Cycles;
use ivshmem::channel::LinkState;
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
/// Commands taken in a cycle, at most, of all mailboxes together.
const BUDGET: u32 = 256;
/// What the command line may have.
const OPTIONS: &[&str] =
    &["config", "mem32", "mem64", "apic", "irq_cpu", "mode", "device", "windows", "stale_ms", "storm", "broadcast"];

fn run(machine: &mut Machine) -> Result<(), Failed> {
    let (mut station, memory) = Station::open_with::<1>(machine, OPTIONS)?;
    let mut state = broadcast::window(machine, OPTIONS, &memory)?;
    let seed = station.clock.ticks();
    let mut state = state.as_mut().map(|window| Broadcast::attach(machine, window, seed)).transpose()?;
    let mut mailboxes = station.mailboxes(machine, &memory)?;
    let mut services = station.attach_all(machine, &mut mailboxes)?;

    let clock = station.clock;
    let budget = clock.from_us(BUDGET_US);
    let mut schedule = Schedule::new(clock.from_us(CYCLE_US.into()));
    let mut axis = Axis::new();
    let mut cycles = Cycles::default();
    let mut busiest = 0;
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
        if let Some(state) = &mut state {
            state.write(start, &axis, cycles);
        }

        let mut links = [LinkState::Waiting; 2];
        for (service, link) in services.iter_mut().zip(&mut links) {
            *link = service.poll_link(start);
        }
        let [first_up, second_up] = links.map(LinkState::is_up);
        let interrupts = station.mode == Mode::Interrupt;
        let mut work = 0;
        let mut looks = links.into_iter().any(may_have_commands);
        while looks && !sleep.is_over() && work + 2 <= BUDGET {
            let mut idle = true;
            // The first mailbox comes last: it may sleep, if there is nothing to do for any.
            for (number, service) in services.iter_mut().enumerate().rev() {
                let wait = (number == 0 && first_up && idle && interrupts).then_some(&sleep);
                match service.serve(wait, |command, response| command::execute(command, &mut axis, cycles, response)) {
                    Served::Work => {
                        idle = false;
                        work += 1;
                    }
                    Served::Nothing => core::hint::spin_loop(),
                    Served::Last => break 'cycles,
                }
            }
            // In interrupt mode a doorbell ends the sleep; without a first peer to ring there is no sleep, but the one to the tick.
            looks = if interrupts {
                first_up || !idle
            } else {
                (first_up || second_up || !idle) && clock.ticks().wrapping_sub(start) < budget
            };
        }
        busiest = busiest.max(work);
        station.end_storm();
    }
    services.iter_mut().for_each(Service::close);
    if let Some(state) = state {
        say!("control-loop: state values={}", state.close());
    }

    let storms = station.storms(0);
    let interrupts = station.close(machine.name);
    let Cycles { due, missed } = cycles;
    for (service, word) in services.iter().zip(["end", "second"]).rev() {
        let Totals { received, sent, doorbells, recovered_by_poll, restarts, violations, resyncs, .. } =
            service.totals();
        say!(
            "control-loop: {word} commands={received} responses={sent} cycles={due} missed={missed} busiest={busiest} \
             interrupts={interrupts} storms={storms} doorbells={doorbells} recovered_by_poll={recovered_by_poll} \
             restarts={restarts} violations={violations} resyncs={resyncs}"
        );
    }
    Ok(())
}

/// Whether there may be commands to take: also those that a peer sent before it closed.
fn may_have_commands(link: LinkState) -> bool {
    link.is_up() || link == LinkState::Closed
}

#[cfg(test)]
mod tests {
    use super::{OPTIONS, may_have_commands};
    use ivshmem::channel::LinkState;

    #[test]
    fn what_a_peer_sent_before_it_closed_is_looked_for() {
        for (link, looks) in [
            (LinkState::Up { session: 1 }, true),
            (LinkState::Stale { age: 1 }, true),
            (LinkState::Closed, true),
            (LinkState::Waiting, false),
            (LinkState::PeerRestarted, false),
        ] {
            assert_eq!(may_have_commands(link), looks, "{link:?}");
        }
    }

    #[test]
    fn every_option_that_is_taken_is_described() {
        let described = include_str!("main.rs").lines().take_while(|line| line.starts_with("//!")).collect::<String>();
        for option in OPTIONS {
            assert!(described.contains(&format!("`{option}=")), "{option}");
        }
    }
}
