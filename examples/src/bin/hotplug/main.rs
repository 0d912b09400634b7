//! Waits for ivshmem devices, serves an echo mailbox on each, one after the other, and lets it go when somebody wants it back.
//!
//! ```text
//! hotplug: begin <command line>
//! hotplug: ready mechanism=<native|acpi> slots=<n>
//! hotplug: added <ssss:bb:dd.f>
//! hotplug: open device=<ssss:bb:dd.f> kind=<plain|doorbell> id=<n|-> bar0=<hex> bar2=<hex> size=<bytes> mode=<polled|interrupt>
//! hotplug: up session=<16 hex digits> peer=<n|->        and what else `echo` says of its link
//! hotplug: requested <ssss:bb:dd.f>
//! hotplug: served device=<ssss:bb:dd.f> received=<n> sent=<n> lost=<n> interrupts=<n> storms=<n> doorbells=<n> restarts=<n> violations=<n>
//! hotplug: removed <ssss:bb:dd.f>
//! hotplug: lost <ssss:bb:dd.f>
//! hotplug: error <ErrorName> <details>
//! hotplug: end devices=<n> removed=<n> lost=<n> received=<n> sent=<n>
//! ```
//!
//! `slots` counts ports, or buses with QEMU's registers. A device gets its BARs placed when it comes, in the windows of its port or those that are
//! given; what cannot be placed or opened is an `error`, and goes when it is wanted back. `requested` comes before `served`, and `removed`
//! when the device is gone. One that went without is `lost`, and an `error DeviceGone` says how the driver's calls end then.
//! Other functions come and go unsaid, and are let go when somebody wants them back. It ends, with exit code 33, after it has sent back a message
//! whose bytes are `quit`.
//!
//! Options: `config=`, `mem32=` and `mem64=` as for `probe`; a root bus has no windows but these. `mode=`, `stale_ms=` and `storm=` as for `echo`.

#![cfg_attr(target_os = "none", no_std, no_main)]

mod place;
mod watch;

use ivshmem::device::{self, Device, Kind, Selector};
use ivshmem::hotplug::{Event, Hotplug, acpi};
use ivshmem::pci::{self, Address};
use ivshmem_examples::clock::Clock;
use ivshmem_examples::configuration::Configuration;
use ivshmem_examples::failure::Named;
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::options::{Mode, OptionError, Options};
use ivshmem_examples::say;
use ivshmem_examples::station::NoInterrupts;
use ivshmem_examples::timer::Timer;
use place::{Place, Wants};
use watch::Watch;

ivshmem_examples::image!(run);

/// How often slots are looked at, and the longest that a lost doorbell delays a message, in microseconds.
const TICK_US: u32 = 1000;
/// Interrupts in a tick that are no storm yet, and milliseconds without a heartbeat after which a peer is stale: as for `echo`.
const STORM: u32 = 64;
const STALE_MS: u64 = 500;

/// What the command line asks for.
struct Asked {
    configuration: Configuration,
    mode: Option<Mode>,
    stale_ms: u64,
    storm: u32,
}

/// How a device's time ended.
enum Ended {
    /// It was let go, and will be gone.
    Released,
    /// It went without.
    Lost,
    /// The peer wants the image to end.
    Quit,
}

#[derive(Default)]
struct Totals {
    devices: u32,
    removed: u32,
    lost: u32,
    received: u64,
    sent: u64,
}

fn run(machine: &mut Machine) -> Result<(), Failed> {
    say!("hotplug: begin {}", machine.command_line);
    let asked = options(machine.command_line).map_err(|error| machine.failed(&error))?;
    let clock = Clock::calibrate().map_err(|error| machine.failed(&error))?;
    // SAFETY: ring 0, the RSDP is from the start info, and configuration space is opened once.
    let access = unsafe { asked.configuration.open(machine.rsdp, &mut machine.mapper) };
    let access = access.map_err(|error| machine.failed(&error))?;
    let mut timer = Timer::start(&mut machine.mapper, clock).map_err(|error| machine.failed(&error))?;
    timer.every(TICK_US).map_err(|error| machine.failed(&error))?;
    // SAFETY: ring 0, the chipset is the one that has the registers there, and nothing in this image runs ACPI's tables.
    let registers = acpi::base(&access).map(|base| unsafe { acpi::Ports::new(base) });
    let hotplug = Hotplug::find(&access, registers);
    let mechanism = match &hotplug {
        Hotplug::Native(_) => "native",
        Hotplug::Acpi(_) => "acpi",
    };
    say!("hotplug: ready mechanism={mechanism} slots={}", hotplug.len());

    let mut totals = Totals::default();
    let mut watch = Watch::new(access, hotplug, clock);
    loop {
        let address = match watch.next() {
            Event::Added(address) => address,
            Event::Removed(address) => {
                totals.removed += 1;
                say!("hotplug: removed {address}");
                continue;
            }
            Event::Lost(address) => {
                say!("hotplug: lost {address}");
                totals.lost += 1;
                continue;
            }
            Event::RemovalRequested(address) => {
                // Nothing of this image uses it.
                say!("hotplug: requested {address}");
                watch.finish_removal(address);
                continue;
            }
            Event::Failed(address, fault) => {
                say!("hotplug: error {} {address}", Named(&fault));
                continue;
            }
            _ => continue,
        };
        say!("hotplug: added {address}");
        // Why not is said, and the device goes when it is wanted back.
        let Ok(place) = open(machine, &watch, &timer, &asked, address) else { continue };
        let (ended, served) = place.serve(machine, &mut watch)?;
        totals.devices += 1;
        totals.received += served.received;
        totals.sent += served.sent;
        match ended {
            Ended::Released => watch.finish_removal(address),
            Ended::Lost => totals.lost += 1,
            Ended::Quit => break,
        }
    }
    let Totals { devices, removed, lost, received, sent } = totals;
    say!("hotplug: end devices={devices} removed={removed} lost={lost} received={received} sent={sent}");
    Ok(())
}

fn options(command_line: &str) -> Result<Asked, OptionError<'_>> {
    let options = Options::parse(command_line, &["config", "mem32", "mem64", "mode", "stale_ms", "storm"])?;
    let stale_ms = options.get("stale_ms", "milliseconds, 0 for never")?;
    let storm = options.get("storm", "interrupts a tick")?;
    Ok(Asked {
        configuration: Configuration::asked(&options)?,
        mode: options.get("mode", Mode::EXPECTED)?,
        stale_ms: stale_ms.unwrap_or(STALE_MS),
        storm: storm.unwrap_or(STORM),
    })
}

/// Places the BARs of a device that came, and opens it.
fn open(machine: &mut Machine, watch: &Watch, timer: &Timer, asked: &Asked, address: Address) -> Result<Place, Failed> {
    let access = watch.access();
    pci::assign(access, address, &asked.configuration.windows()).map_err(|error| machine.failed(&error))?;
    let selector = Selector::Address(address);
    // SAFETY: this machine's configuration space, and nothing else of this image drives the function.
    let device = unsafe { Device::open(access, &mut machine.mapper, selector, device::Options::default()) };
    let device = device.map_err(|error| machine.failed(&error))?;
    let mode = match (asked.mode, device.kind()) {
        (Some(Mode::Interrupt), Kind::Plain) => return Err(machine.failed(&NoInterrupts)),
        (Some(mode), _) => mode,
        (None, Kind::Plain) => Mode::Polled,
        (None, Kind::Doorbell { .. }) => Mode::Interrupt,
    };
    let wants = Wants { mode, apic_id: timer.apic_id(), storm: asked.storm, stale_ms: asked.stale_ms };
    Place::new(machine, device, wants, watch)
}
