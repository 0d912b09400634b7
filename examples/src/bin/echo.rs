//! A mailbox echo server: each message of channel 0 goes back unchanged on channel 1.
//!
//! ```text
//! echo: begin <command line>
//! echo: ready device=<ssss:bb:dd.f> kind=<plain|doorbell> id=<n|-> size=<bytes> mode=<polled|interrupt>
//! echo: interrupts apic=<xapic|x2apic> cpu=<n> own=<n>
//! echo: up session=<16 hex digits> peer=<n|->
//! echo: stale age_us=<n>
//! echo: restarted restarts=<n> received=<n> sent=<n> lost=<n>
//! echo: closed
//! echo: error <ErrorName> <details>
//! echo: end received=<n> sent=<n> lost=<n> interrupts=<n> storms=<n> doorbells=<n> recovered_by_poll=<n> restarts=<n> violations=<n> resyncs=<n>
//! ```
//!
//! It ends, with exit code 33, after it has sent back a message whose bytes are `quit`. `up` comes with each session, and after `stale`,
//! which is said of a peer without a heartbeat; `restarted` when a
//! peer that was up is replaced by another, `closed` when it leaves in order. `lost` is an upper bound: echoes
//! that a peer which then restarted never acknowledged. `storms` counts the ticks in which the vector was masked because it was rung
//! too often, `violations` what no honest peer does, and `resyncs` how often a channel or the link was begun anew after it.
//! At most 256 lines a second are said about the link, so that a hostile peer cannot make the image do nothing else.
//!
//! Options: `config=`, `mem32=` and `mem64=` as `probe`; `apic=x2apic` enters that mode, and `irq_cpu=<local APIC id>` starts that CPU to take
//! the interrupts, which the image then looks for instead of halting (either is told in a line `interrupts`, and how many that CPU
//! took in a line `interrupts taken=<n>` before `end`); `mode=polled|interrupt`, by default `interrupt` if the device can; `device=<selector>`, by default the first; `windows=2`
//! serves a second mailbox, 64 KiB further on, whose counts come in a line `second` before `end`; `stale_ms=<n>`, by default 500, 0 for never;
//! `storm=<n>`, the interrupts a millisecond that are no storm yet, by default 64.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ops::ControlFlow;
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::options::Mode;
use ivshmem_examples::response::Response;
use ivshmem_examples::say;
use ivshmem_examples::service::{Served, Service, Totals};
use ivshmem_examples::station::Station;
use ivshmem_examples::timer::Sleep;

ivshmem_examples::image!(run);

/// The longest that a lost doorbell delays a message, and how often an idle polled server looks, in microseconds.
const TICK_US: u32 = 1000;
/// How long a polled server looks without a pause after a message, in microseconds.
const LOOK_US: u64 = 2000;

fn run(machine: &mut Machine) -> Result<(), Failed> {
    let (mut station, memory) = Station::open(machine)?;
    station.timer.every(TICK_US).map_err(|error| machine.failed(&error))?;
    let mut mailboxes = station.mailboxes(machine, &memory)?;
    let mut services = station.attach_all(machine, &mut mailboxes)?;

    let clock = station.clock;
    let mut busy_until = clock.ticks();
    'serving: loop {
        let sleep = Sleep::until_tick(station.vector());
        let now = clock.ticks();
        let (mut up, mut idle, mut wait) = (false, true, None);
        // The first mailbox comes last: it may sleep, if there is nothing to do for any.
        for (number, service) in services.iter_mut().enumerate().rev() {
            let this_up = service.poll_link(now).is_up();
            up |= this_up;
            wait = (number == 0 && this_up && idle && station.mode == Mode::Interrupt).then_some(&sleep);
            match service.serve(wait, echo) {
                Served::Last => break 'serving,
                Served::Work => idle = false,
                Served::Nothing => {}
            }
        }
        station.end_storm();
        if !idle {
            busy_until = now.saturating_add(clock.from_us(LOOK_US));
        } else if wait.is_none() && (!up || now >= busy_until) {
            sleep.to_tick();
        } else {
            core::hint::spin_loop();
        }
    }
    services.iter_mut().for_each(Service::close);

    let storms = station.storms(0);
    let interrupts = station.close(machine.name);
    for (service, word) in services.iter().zip(["end", "second"]).rev() {
        let Totals { received, sent, lost, doorbells, recovered_by_poll, restarts, violations, resyncs } =
            service.totals();
        say!(
            "echo: {word} received={received} sent={sent} lost={lost} interrupts={interrupts} storms={storms} \
             doorbells={doorbells} recovered_by_poll={recovered_by_poll} restarts={restarts} violations={violations} \
             resyncs={resyncs}"
        );
    }
    Ok(())
}

fn echo(message: &[u8], answer: &mut Response) -> ControlFlow<()> {
    answer.append(message);
    if message == b"quit" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
