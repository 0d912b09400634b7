//! The device that an image serves a mailbox on: opened, its interrupts enabled if the mode asks for them.

use crate::clock::Clock;
use crate::configuration::Configuration;
use crate::delivery::Delivery;
use crate::failure::Named;
use crate::interrupts::FIRST_DOORBELL;
use crate::machine::{Failed, Machine};
use crate::options::{Mode, OptionError, Options, Windows};
use crate::say;
use crate::service::Service;
use crate::timer::{self, Timer};
use core::fmt;
use heapless::Vec;
use ivshmem::channel::{Attach, COMMAND_RESPONSE, End, Mailbox};
use ivshmem::device::{self, Device, DoorbellRegister, Kind, Selector};
use ivshmem::interrupt::{StormGuard, Vector, event};
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::msix::{Interrupts, Message};
use ivshmem::notify::Event;
use ivshmem::pci::{Access, ConfigAccess};

/// Interrupts in a tick of a millisecond that are no storm yet, unless the option says otherwise.
const STORM: u32 = 64;
/// Where the second mailbox begins: bytes from the start of the memory.
const SECOND_WINDOW: usize = 0x1_0000;
/// Without a heartbeat for so long, in milliseconds, the peer is stale.
const STALE_MS: u64 = 500;

/// The most vectors of the device that an image uses.
const MOST_VECTORS: usize = 4;

/// The mailboxes that an image serves: one or two, by the option `windows`.
pub type Mailboxes = Vec<Mailbox<'static, SharedMemory>, 2>;

/// Everything that the images need before they can attach.
#[derive(Debug)]
pub struct Station {
    /// The clock.
    pub clock: Clock,
    /// The local APIC's timer; it does not tick yet.
    pub timer: Timer,
    /// How messages are learned of.
    pub mode: Mode,
    /// How the peer is rung; a plain device has no doorbell.
    pub doorbell: Option<DoorbellRegister>,
    windows: usize,
    stale_ms: u64,
    /// One for each vector in use.
    guards: Vec<StormGuard, MOST_VECTORS>,
    /// The tick in which the guards' windows began.
    tick: u32,
    access: Access,
    device: Device,
    interrupts: Option<Interrupts>,
}

/// `mode=interrupt` on a device that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoInterrupts;

impl fmt::Display for NoInterrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mode=interrupt needs an ivshmem-doorbell device, and this one is plain")
    }
}

/// The device's memory was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryTaken;

impl fmt::Display for MemoryTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the device's memory is in use")
    }
}

impl Station {
    /// Reads the options of [`Configuration`] and [`Delivery`], `mode=polled|interrupt`, `device=<selector>`, `windows=1|2`, `stale_ms=<n>` and `storm=<n>`, opens
    /// the device and says `ready`.
    ///
    /// Without a mode it is `interrupt` on a doorbell device and `polled` on a plain one. The device's memory comes apart from the rest,
    /// for a mailbox to own. To be called once.
    pub fn open(machine: &mut Machine) -> Result<(Self, SharedMemory), Failed> {
        Self::open_with::<1>(
            machine,
            &["config", "mem32", "mem64", "apic", "irq_cpu", "mode", "device", "windows", "stale_ms", "storm"],
        )
    }

    /// As [`open`](Self::open), with so many of the device's vectors, 1 to 4, while any other stays masked; and with these options, of which
    /// it reads those that `open` names.
    pub fn open_with<const VECTORS: usize>(
        machine: &mut Machine,
        known: &'static [&'static str],
    ) -> Result<(Self, SharedMemory), Failed> {
        const { assert!(VECTORS >= 1 && VECTORS <= MOST_VECTORS) };
        say!("{}: begin {}", machine.name, machine.command_line);
        let Asked { configuration, delivery, mode, selector, windows, stale_ms, storm } =
            options(machine.command_line, known).map_err(|error| machine.failed(&error))?;
        let clock = Clock::calibrate().map_err(|error| machine.failed(&error))?;
        // SAFETY: ring 0, the RSDP is from the start info, and configuration space is opened once.
        let access = unsafe { configuration.open(machine.rsdp, &mut machine.mapper) };
        let access = access.map_err(|error| machine.failed(&error))?;
        // Not the type: code for each of its ways, everywhere, would make an image a third larger.
        let config: &dyn ConfigAccess = &access;
        configuration.place(config, |error| say!("{}: error {}", machine.name, Named(&error)));
        // SAFETY: this machine's configuration space, and nothing else of this image drives the function.
        let device = unsafe { Device::open(config, &mut machine.mapper, selector, device::Options::default()) };
        let mut device = device.map_err(|error| machine.failed(&error))?;
        delivery.choose_mode().map_err(|error| machine.failed(&error))?;
        let timer = Timer::start(&mut machine.mapper, clock).map_err(|error| machine.failed(&error))?;
        let mode = match (mode, device.kind()) {
            (Some(Mode::Interrupt), Kind::Plain) => return Err(machine.failed(&NoInterrupts)),
            (Some(mode), _) => mode,
            (None, Kind::Plain) => Mode::Polled,
            (None, Kind::Doorbell { .. }) => Mode::Interrupt,
        };
        let interrupts = match mode {
            Mode::Polled => None,
            Mode::Interrupt => {
                let cpu = delivery.start(&mut machine.mapper, clock, timer.apic());
                let cpu = cpu.map_err(|error| machine.failed(&error))?;
                let first = Message::new(cpu, FIRST_DOORBELL).map_err(|error| machine.failed(&error))?;
                let mut messages = [first; VECTORS];
                for (vector, message) in (FIRST_DOORBELL..).zip(&mut messages).skip(1) {
                    *message = Message::new(cpu, vector).map_err(|error| machine.failed(&error))?;
                }
                Some(device.enable_interrupts(config, &messages).map_err(|error| machine.failed(&error))?)
            }
        };
        let mut guards = Vec::new();
        if let Some(interrupts) = &interrupts {
            for (vector, idt) in (FIRST_DOORBELL..).enumerate().take(VECTORS) {
                let guard = StormGuard::new(interrupts, vector as u16, event(idt), storm);
                // There is room for all.
                let _ = guards.push(guard.map_err(|error| machine.failed(&error))?);
            }
        }
        let memory = device.memory().ok_or_else(|| machine.failed(&MemoryTaken))?;
        let doorbell = device.doorbell().ok();
        let id = Id(&device);
        say!(
            "{}: ready device={} kind={} id={id} size={} mode={mode}",
            machine.name,
            device.address(),
            device.kind(),
            device.size()
        );
        delivery.say(machine.name, timer.apic(), mode);
        let tick = timer::ticks();
        Ok((Self { clock, timer, mode, doorbell, windows, stale_ms, guards, tick, access, device, interrupts }, memory))
    }

    /// The mailboxes, First end: at the start of the memory, and if asked for a second one 64 KiB further on.
    pub fn mailboxes(&self, machine: &Machine, memory: &SharedMemory) -> Result<Mailboxes, Failed> {
        let mut mailboxes = Vec::new();
        for number in 0..self.windows {
            let offset = number * SECOND_WINDOW;
            let length = memory.len().saturating_sub(offset);
            let window = memory.window(offset, length).map_err(|error| machine.failed(&error))?;
            let mailbox =
                Mailbox::new(window, End::First, &COMMAND_RESPONSE).map_err(|error| machine.failed(&error))?;
            // There is room for two.
            let _ = mailboxes.push(mailbox);
        }
        Ok(mailboxes)
    }

    /// Attaches to each. Only the first one's peer is asked for doorbells: the second mailbox is looked at whenever anything wakes the image.
    pub fn attach_all<'a>(
        &self,
        machine: &Machine,
        mailboxes: &'a mut Mailboxes,
    ) -> Result<Vec<Service<'a, SharedMemory, DoorbellRegister>, 2>, Failed> {
        let mut services = Vec::new();
        let mut attach = self.attach();
        for mailbox in mailboxes {
            let (link, channels) = mailbox.attach(attach);
            let service = Service::new(machine.name, link, channels, self.doorbell.clone(), self.clock);
            // There is room for two.
            let _ = services.push(service.map_err(|error| machine.failed(&error))?);
            attach.wants_doorbells = 0;
        }
        Ok(services)
    }

    /// Once a tick, after the channels were looked at: a vector that was masked because of a storm fires again.
    pub fn end_storm(&mut self) {
        let tick = timer::ticks();
        if tick == self.tick {
            return;
        }
        self.tick = tick;
        let Some(interrupts) = &mut self.interrupts else { return };
        for (vector, guard) in (FIRST_DOORBELL..).zip(&mut self.guards) {
            // Only a vector that is not in use is refused, and these are.
            if guard.next_window(interrupts) == Ok(true) {
                // What was rung while it was masked may be lost: who waits for it looks.
                event(vector).wake();
            }
        }
    }

    /// Ticks in which this vector was masked because of a storm.
    pub fn storms(&self, vector: usize) -> u32 {
        self.guards.get(vector).map_or(0, StormGuard::storms)
    }

    /// How this end presents itself in its mailbox.
    pub fn attach(&self) -> Attach {
        let id = match self.device.kind() {
            Kind::Plain => None,
            Kind::Doorbell { .. } => Some(self.device.id()),
        };
        let wants_doorbells = match self.mode {
            Mode::Polled => 0,
            Mode::Interrupt => u64::MAX,
        };
        Attach {
            id,
            seed: self.clock.ticks(),
            stale_after: self.clock.from_us(self.stale_ms.saturating_mul(1000)),
            wants_doorbells,
        }
    }

    /// The record of vector 0, which the peer rings; it never fires in polled mode.
    pub fn vector(&self) -> &'static Vector {
        event(FIRST_DOORBELL)
    }

    /// Disables the device's interrupts and says an error if that fails. Returns how many came on vector 0.
    pub fn close(mut self, name: &str) -> u32 {
        self.guards.clear();
        if let Some(Err(error)) =
            self.interrupts.take().map(|interrupts| interrupts.close(&self.access as &dyn ConfigAccess))
        {
            say!("{name}: error {}", Named(&error));
        }
        Delivery::close(name);
        event(FIRST_DOORBELL).count()
    }
}

/// What the command line asks for.
struct Asked {
    configuration: Configuration,
    delivery: Delivery,
    mode: Option<Mode>,
    selector: Selector,
    windows: usize,
    stale_ms: u64,
    storm: u32,
}

fn options<'a>(command_line: &'a str, known: &'static [&'static str]) -> Result<Asked, OptionError<'a>> {
    let options = Options::parse(command_line, known)?;
    let mode = options.get("mode", Mode::EXPECTED)?;
    let selector = options.get("device", "an address, a number from 0, size:BYTES or subsystem:ID")?;
    let windows = options.get("windows", Windows::EXPECTED)?;
    let stale_ms = options.get("stale_ms", "milliseconds, 0 for never")?;
    let storm = options.get("storm", "interrupts a tick")?;
    Ok(Asked {
        configuration: Configuration::asked(&options)?,
        delivery: Delivery::asked(&options)?,
        mode,
        selector: selector.unwrap_or_default(),
        windows: windows.map_or(1, |Windows(count)| count),
        stale_ms: stale_ms.unwrap_or(STALE_MS),
        storm: storm.unwrap_or(STORM),
    })
}

/// A device's id, or `-` if it is plain and has none.
#[derive(Clone, Copy, Debug)]
pub struct Id<'a>(pub &'a Device);

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            Kind::Plain => f.write_str("-"),
            Kind::Doorbell { .. } => write!(f, "{}", self.0.id()),
        }
    }
}
