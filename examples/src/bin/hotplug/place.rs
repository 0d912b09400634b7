//! One device, from its opening to its end.

use crate::Ended;
use crate::watch::Watch;
use core::ops::ControlFlow;
use ivshmem::channel::{Attach, COMMAND_RESPONSE, End, Mailbox};
use ivshmem::device::{Device, DoorbellRegister, Kind};
use ivshmem::hotplug::Event;
use ivshmem::interrupt::{StormGuard, event};
use ivshmem::memory::SharedMemory;
use ivshmem::msix::{Interrupts, Message};
use ivshmem::notify::Event as _;
use ivshmem::pci::{Command, Header};
use ivshmem_examples::clock::Clock;
use ivshmem_examples::failure::Named;
use ivshmem_examples::interrupts::FIRST_DOORBELL;
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::options::Mode;
use ivshmem_examples::response::Response;
use ivshmem_examples::say;
use ivshmem_examples::service::{Served, Service, Totals};
use ivshmem_examples::station::{Id, MemoryTaken};
use ivshmem_examples::timer::Sleep;

/// How long a polled server looks without a pause after a message, in microseconds.
const LOOK_US: u64 = 2000;

/// How the device is to be used.
#[derive(Clone, Copy)]
pub struct Wants {
    pub mode: Mode,
    /// Where interrupts go.
    pub apic_id: u32,
    pub storm: u32,
    pub stale_ms: u64,
}

/// An open device with its interrupts on.
pub struct Place {
    device: Device,
    memory: SharedMemory,
    wants: Wants,
    line: Option<Line>,
    /// Interrupts of the devices before this one.
    before: u32,
}

/// What interrupts come by.
struct Line {
    interrupts: Interrupts,
    guard: StormGuard,
}

/// What was done on it.
pub struct Counts {
    pub received: u64,
    pub sent: u64,
}

impl Place {
    /// Enables interrupts if they are wanted, and says that the device is open.
    pub fn new(machine: &Machine, mut device: Device, wants: Wants, watch: &Watch) -> Result<Self, Failed> {
        let vector = event(FIRST_DOORBELL);
        let before = vector.count();
        let line = match wants.mode {
            Mode::Polled => None,
            Mode::Interrupt => {
                let message = Message::new(wants.apic_id, FIRST_DOORBELL).map_err(|error| machine.failed(&error))?;
                let interrupts = device.enable_interrupts(watch.access(), &[message]);
                let interrupts = interrupts.map_err(|error| machine.failed(&error))?;
                let guard = StormGuard::new(&interrupts, 0, vector, wants.storm);
                Some(Line { guard: guard.map_err(|error| machine.failed(&error))?, interrupts })
            }
        };
        let memory = device.memory().ok_or_else(|| machine.failed(&MemoryTaken))?;
        say!(
            "hotplug: open device={} kind={} id={} bar0={:#x} bar2={:#x} size={} mode={}",
            device.address(),
            device.kind(),
            Id(&device),
            device.bar0(),
            device.bar2(),
            device.size(),
            wants.mode
        );
        Ok(Self { device, memory, wants, line, before })
    }

    /// Echoes until the device shall go, is gone, or the peer wants the image to end. Nothing uses the device afterwards.
    pub fn serve(self, machine: &Machine, watch: &mut Watch) -> Result<(Ended, Counts), Failed> {
        let Self { device, memory, wants, mut line, before } = self;
        let clock = watch.clock;
        let mailbox = Mailbox::new(memory, End::First, &COMMAND_RESPONSE);
        let mut mailbox = mailbox.map_err(|error| machine.failed(&error))?;
        let (link, channels) = mailbox.attach(attach(&device, wants, clock));
        let service = Service::new(machine.name, link, channels, device.doorbell().ok(), clock);
        let mut service = service.map_err(|error| machine.failed(&error))?;
        let ended = serve(&mut service, &mut line, &device, wants.mode, watch);
        if !matches!(ended, Ended::Lost) {
            service.close();
        }
        let storms = line.as_ref().map_or(0, |line| line.guard.storms());
        if let Some(Line { interrupts, guard }) = line {
            drop(guard);
            let closed = interrupts.close(watch.access());
            // Of one that is gone it is said below.
            if let (Ended::Released | Ended::Quit, Err(error)) = (&ended, closed) {
                say!("hotplug: error {}", Named(&error));
            }
        }
        Header::new(watch.access(), device.address()).set_command(Command::empty());
        if let (Ended::Lost, Err(gone)) = (&ended, device.check_present(watch.access())) {
            say!("hotplug: error {}", Named(&gone));
        }
        let Totals { received, sent, lost, doorbells, restarts, violations, .. } = service.totals();
        let interrupts = event(FIRST_DOORBELL).count().wrapping_sub(before);
        say!(
            "hotplug: served device={} received={received} sent={sent} lost={lost} interrupts={interrupts} \
             storms={storms} doorbells={doorbells} restarts={restarts} violations={violations}",
            device.address()
        );
        Ok((ended, Counts { received, sent }))
    }
}

fn serve(
    service: &mut Service<'_, SharedMemory, DoorbellRegister>,
    line: &mut Option<Line>,
    device: &Device,
    mode: Mode,
    watch: &mut Watch,
) -> Ended {
    let (clock, vector) = (watch.clock, event(FIRST_DOORBELL));
    let mut busy_until = clock.ticks();
    loop {
        let sleep = Sleep::until_tick(vector);
        match watch.happened_to(device.address()) {
            Some(Event::RemovalRequested(address)) => {
                say!("hotplug: requested {address}");
                return Ended::Released;
            }
            Some(Event::Lost(address)) => {
                say!("hotplug: lost {address}");
                return Ended::Lost;
            }
            _ => {}
        }
        let now = clock.ticks();
        let up = service.poll_link(now).is_up();
        let wait = (up && mode == Mode::Interrupt).then_some(&sleep);
        let idle = match service.serve(wait, echo) {
            Served::Last => return Ended::Quit,
            Served::Work => false,
            Served::Nothing => true,
        };
        if let Some(Line { interrupts, guard }) = line
            && sleep.is_over()
            && guard.next_window(interrupts) == Ok(true)
        {
            // What was rung while it was masked may be lost.
            vector.wake();
        }
        if !idle {
            busy_until = now.saturating_add(clock.from_us(LOOK_US));
        } else if wait.is_none() && (!up || now >= busy_until) {
            sleep.to_tick();
        } else {
            core::hint::spin_loop();
        }
    }
}

fn attach(device: &Device, wants: Wants, clock: Clock) -> Attach {
    let id = match device.kind() {
        Kind::Plain => None,
        Kind::Doorbell { .. } => Some(device.id()),
    };
    let wants_doorbells = match wants.mode {
        Mode::Polled => 0,
        Mode::Interrupt => u64::MAX,
    };
    let stale_after = clock.from_us(wants.stale_ms.saturating_mul(1000));
    Attach { id, seed: clock.ticks(), stale_after, wants_doorbells }
}

fn echo(message: &[u8], answer: &mut Response) -> ControlFlow<()> {
    answer.append(message);
    if message == b"quit" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
