//! ArceOS as the real-time end of the demonstration: the driver inside a kernel that has its own page tables, interrupt table, local APIC,
//! allocator and tasks.
//!
//! What a kernel gives to the driver is in two files: [`paging`] is its page tables behind the driver's `Mapper`, [`interrupt`] its
//! interrupt table and local APIC behind one call of the driver's. The rest uses what the kernel has for any program: three tasks, of which
//! [`server`] sleeps until a doorbell rings, [`keeper`] keeps the link, and [`axis`] is what is commanded.
//!
//! ```text
//! arceos: begin
//! arceos: ready device=<ssss:bb:dd.f> kind=<plain|doorbell> id=<n|-> size=<bytes> mode=<polled|interrupt>
//! arceos: up session=<16 hex digits> peer=<n|->
//! arceos: stale age_us=<n>
//! arceos: restarted restarts=<n>
//! arceos: closed
//! arceos: error <details>
//! arceos: end commands=<n> responses=<n> cycles=<n> missed=<n> interrupts=<n> storms=<n> doorbells=<n> sleeps=<n> recovered_by_poll=<n> restarts=<n> violations=<n> resyncs=<n>
//! ```
//!
//! Commands and responses are those of the image `control-loop`; the counts are its counts, `cycles` of 10 ms instead of 1, and `sleeps` says how
//! often the server lay down until it was woken. It takes no options: it sleeps for doorbells where the device has them, and polls where it has not.
#![no_std]
#![no_main]

extern crate alloc;
#[macro_use]
extern crate axstd;

mod axis;
mod command;
mod exit;
mod interrupt;
mod keeper;
mod paging;
mod server;

use alloc::boxed::Box;
use axis::Cycles;
use axstd::os::arceos::modules::axhal;
use axstd::thread;
use core::error::Error;
use interrupt::{NoVector, Reception};
use ivshmem::channel::{Attach, COMMAND_RESPONSE, End, Mailbox};
use ivshmem::device::{Device, Kind, Options, Selector};
use ivshmem::msix::Message;
use ivshmem::pci;
use keeper::Keeper;
use paging::KernelMapper;
use server::{Server, Totals};

/// Without a heartbeat for so long the peer is stale, in nanoseconds.
const STALE_NS: u64 = 500_000_000;

// The kernel's runtime calls it once, when everything else is up.
#[unsafe(no_mangle)]
fn main() {
    println!("arceos: begin");
    match run() {
        Ok(()) => exit::success(),
        Err(error) => {
            println!("arceos: error {error}");
            exit::failure()
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut mapper = KernelMapper;
    // SAFETY: ring 0; the firmware's tables are as it left them, since the kernel's memory is what they call available; the kernel is
    // built without PCI drivers, so that nothing else uses the configuration ports.
    let access = unsafe { pci::auto(None, &mut mapper) }?;
    // SAFETY: this machine's configuration space, and the kernel has no driver of its own for the function.
    let mut device = unsafe { Device::open(&access, &mut mapper, Selector::default(), Options::default()) }?;
    let memory = device.memory().ok_or("the device's memory is in use")?;
    let (reception, attach) = match device.kind() {
        Kind::Plain => (None, Attach::polled()),
        Kind::Doorbell { .. } => {
            let vector = interrupt::register().ok_or(NoVector)?;
            // The kernel's number of a CPU is its local APIC's id.
            let message = Message::new(axhal::percpu::this_cpu_id().try_into()?, vector)?;
            let interrupts = device.enable_interrupts(&access, &[message])?;
            (Some(Reception::new(vector, interrupts)?), Attach::interrupt_driven(device.id()))
        }
    };
    let attach = Attach { seed: ivshmem::interrupt::tsc(), stale_after: STALE_NS, ..attach };
    // Tasks own their halves for ever.
    let mailbox = Box::leak(Box::new(Mailbox::new(memory, End::First, &COMMAND_RESPONSE)?));
    let (link, mut channels) = mailbox.attach(attach);
    let event = reception.as_ref().map(Reception::event);
    let server = Server::new(channels.receiver(0)?, channels.sender(1)?, device.doorbell().ok(), event);
    let mut keeper = Keeper::new(link, reception);
    let (id, mode) = match attach.id {
        Some(id) => (alloc::format!("{id}"), "interrupt"),
        None => ("-".into(), "polled"),
    };
    let (address, kind, size) = (device.address(), device.kind(), device.size());
    println!("arceos: ready device={address} kind={kind} id={id} size={size} mode={mode}");

    thread::spawn(axis::run);
    let server = thread::spawn(move || server.run());
    keeper.run();
    let Totals { received, sent, doorbells, sleeps, recovered_by_poll, violations, resyncs } =
        server.join().map_err(|_| "the server's task has no result")?;
    let link = keeper.close(&access)?;
    let Cycles { due, missed } = axis::cycles();
    let (interrupts, storms, restarts) = (link.interrupts, link.storms, link.restarts);
    let (violations, resyncs) = (violations + link.violations, resyncs + link.resyncs);
    println!(
        "arceos: end commands={received} responses={sent} cycles={due} missed={missed} interrupts={interrupts} storms={storms} \
         doorbells={doorbells} sleeps={sleeps} recovered_by_poll={recovered_by_poll} restarts={restarts} violations={violations} resyncs={resyncs}"
    );
    Ok(())
}
