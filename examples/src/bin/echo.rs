//! A mailbox echo server: each message of channel 0 goes back unchanged on channel 1.
//!
//! ```text
//! echo: begin <command line>
//! echo: ready device=<ssss:bb:dd.f> kind=<plain|doorbell> id=<n|-> size=<bytes> mode=<polled|interrupt>
//! echo: up session=<16 hex digits> peer=<n|->
//! echo: restarted restarts=<n>
//! echo: closed
//! echo: error <ErrorName> <details>
//! echo: end received=<n> sent=<n> lost=<n> interrupts=<n> doorbells=<n> recovered_by_poll=<n> restarts=<n>
//! ```
//!
//! It ends, with exit code 33, after it has sent back a message whose bytes are `quit`. `up` comes with each session, `restarted` when a
//! peer that was up is replaced by another, `closed` when it leaves in order. `lost` is an upper bound: echoes
//! that a peer which then restarted never acknowledged.
//!
//! Options: `mode=polled|interrupt`, by default `interrupt` if the device can; `device=<selector>`, by default the first.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ops::ControlFlow;
use ivshmem::channel::{COMMAND_RESPONSE, End, Mailbox};
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
    let mailbox = Mailbox::new(memory, End::First, &COMMAND_RESPONSE);
    let mut mailbox = mailbox.map_err(|error| machine.failed(&error))?;
    let (link, channels) = mailbox.attach(station.attach());
    let service = Service::new(machine.name, link, channels, station.doorbell.clone());
    let mut service = service.map_err(|error| machine.failed(&error))?;

    let clock = station.clock;
    let mut busy_until = clock.ticks();
    loop {
        let sleep = Sleep::until_tick(station.vector());
        let now = clock.ticks();
        let up = service.poll_link(now).is_up();
        let wait = (up && station.mode == Mode::Interrupt).then_some(&sleep);
        match service.serve(wait, echo) {
            Served::Last => break,
            Served::Message => busy_until = now.saturating_add(clock.from_us(LOOK_US)),
            Served::Nothing if wait.is_none() && (!up || now >= busy_until) => sleep.to_tick(),
            Served::Nothing => core::hint::spin_loop(),
        }
    }
    service.close();

    let Totals { received, sent, lost, doorbells, recovered_by_poll, restarts } = service.totals();
    let interrupts = station.close(machine.name);
    say!(
        "echo: end received={received} sent={sent} lost={lost} interrupts={interrupts} doorbells={doorbells} \
         recovered_by_poll={recovered_by_poll} restarts={restarts}"
    );
    Ok(())
}

fn echo(message: &[u8], answer: &mut Response) -> ControlFlow<()> {
    answer.append(message);
    if message == b"quit" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
