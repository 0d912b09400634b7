//! Says what ivshmem devices there are, and touches the memory of each.
//!
//! ```text
//! probe: begin config=<ecam|port-io> base=<hex|->
//! probe: ivshmem <ssss:bb:dd.f> rev=<n> kind=<plain|doorbell> id=<n|-> vectors=<n> bar0=<hex> bar2=<hex> size=<bytes> subsystem=<vvvv:dddd>
//! probe: memory <ssss:bb:dd.f> pages=<4KiB|2MiB|1GiB> type=<WB|UC|...|-> measured=<cached|uncached> cycles=<n>
//! probe: error <ssss:bb:dd.f> <ErrorName> <details>
//! probe: end devices=<n> errors=<n>
//! ```
//!
//! Devices come in ascending address order, with an error in place of one that cannot be opened, and after one whose memory or
//! interrupts are not right. `devices` counts the `ivshmem` lines and `errors` the `error` lines. An address is written as
//! `0xfebf1000`; `base` is where ECAM's first bus is, `-` with port I/O; `id` is `-` for a plain device. Exit code 33 when
//! enumeration worked, with however many devices; otherwise `probe: error <ErrorName> <details>` and 35.
//!
//! Options: `config=ecam|port-io|auto` forces the mechanism (`auto` without it), and `config=ecam:<base>` or
//! `config=ecam:<base>:<first>-<last>` says where ECAM is, for buses 0 to ff or these. `mem32=<first>-<last>` and `mem64=<first>-<last>` are
//! addresses for what firmware left unassigned, and ask for placing it: numbers for buses, and BARs of ivshmem devices (what stays without
//! has an `error` line each). All of these numbers are hexadecimal. `touch=no` leaves the memory alone; otherwise the first and last
//! 8 bytes of each device's memory are written, read back and restored: not while anyone uses it.
//! `memory=yes` says of each device's memory, in a line `memory`: the smallest pages that it is mapped by, the type that PAT and
//! MTRRs give it (`-` if the CPU has none), and whether 256 loads of its first word, timed, were cached. Firmware leaves the PCI hole
//! uncached; whether that counts depends on the hypervisor, so the two may differ, and a channel is fast if `cached`.

#![cfg_attr(target_os = "none", no_std, no_main)]

mod variant;

use core::fmt;
use ivshmem::device::{self, Device, Kind, MemorySpeed, Selector, Vectors};
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::mmio::memory_type::{MemoryTypeError, Mtrrs, Pat};
use ivshmem::pci::{self, Access, Address, Function};
use ivshmem_examples::configuration::Configuration;
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::options::{OptionError, Options, YesNo};
use ivshmem_examples::paging::DeviceMapper;
use ivshmem_examples::say;
use variant::{DebugDisplay, Variant};

ivshmem_examples::image!(run);

fn run(machine: &mut Machine) -> Result<(), Failed> {
    let Asked { configuration, touch, memory: tell } =
        options(machine.command_line).map_err(|error| machine.failed(&error))?;
    // SAFETY: ring 0, the RSDP is from the start info, and configuration space is opened once.
    let access = unsafe { configuration.open(machine.rsdp, &mut machine.mapper) };
    let access = access.map_err(|error| machine.failed(&error))?;
    match &access {
        Access::Ecam(ecam) => {
            let base = ecam.allocations().next().map_or(0, |allocation| allocation.base());
            say!("probe: begin config=ecam base={base:#x}");
        }
        _ => say!("probe: begin config=port-io base=-"),
    }

    let (mut devices, mut errors) = (0u32, 0u32);
    configuration.place(&access, |error| {
        errors += 1;
        say!("probe: error {}", Variant(&error));
    });
    for Function { address, .. } in pci::functions(&access).filter(device::is_ivshmem) {
        let mut failed = |error: &dyn DebugDisplay| {
            errors += 1;
            say!("probe: error {address} {}", Variant(error));
        };
        match open(&access, &mut machine.mapper, address) {
            Ok(mut device) => {
                devices += 1;
                say!("{}", Found(&device));
                if let Vectors::Broken { error, .. } = device.layout().vectors {
                    failed(&error);
                }
                let speed = if tell { device.probe_memory(timestamp) } else { None };
                let Some(memory) = device.memory() else { continue };
                if let Some(speed) = speed {
                    say_memory(&device, &memory, &machine.mapper, speed).unwrap_or_else(|error| failed(&error));
                }
                if touch {
                    touch_ends(&memory).unwrap_or_else(|error| failed(&error));
                }
            }
            Err(error) => failed(&error),
        }
    }
    say!("probe: end devices={devices} errors={errors}");
    Ok(())
}

/// What the command line asks for.
struct Asked {
    configuration: Configuration,
    touch: bool,
    memory: bool,
}

fn options(command_line: &str) -> Result<Asked, OptionError<'_>> {
    let options = Options::parse(command_line, &["config", "mem32", "mem64", "touch", "memory"])?;
    let touch = options.get("touch", YesNo::EXPECTED)?.is_none_or(|YesNo(touch)| touch);
    let memory = options.get("memory", YesNo::EXPECTED)?.is_some_and(|YesNo(memory)| memory);
    Ok(Asked { configuration: Configuration::asked(&options)?, touch, memory })
}

/// Says how the memory is mapped, and how fast it is.
fn say_memory(
    device: &Device,
    memory: &SharedMemory,
    mapper: &DeviceMapper,
    speed: MemorySpeed,
) -> Result<(), MemoryTypeError> {
    // SAFETY: the image runs in ring 0.
    let pat = unsafe { Pat::read() };
    // SAFETY: as above.
    let mtrrs = unsafe { Mtrrs::read() };
    let memory_type = match (pat, mtrrs) {
        (Some(pat), Some(mtrrs)) => Some(device.memory_type(pat, &mtrrs)?),
        _ => None,
    };
    let (measured, cycles) = match speed {
        MemorySpeed::WriteBack { cycles } => ("cached", cycles),
        MemorySpeed::Slow { cycles } => ("uncached", cycles),
    };
    let pages = mapper.smallest_page(memory.address(), memory.len());
    say!(
        "probe: memory {} pages={} type={} measured={measured} cycles={cycles}",
        device.address(),
        OrDash(pages),
        OrDash(memory_type)
    );
    Ok(())
}

/// What there may not be.
struct OrDash<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

fn timestamp() -> u64 {
    // SAFETY: the instruction only reads the counter, and every x86_64 CPU has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

fn open(access: &Access, mapper: &mut DeviceMapper, address: Address) -> Result<Device, device::OpenError> {
    // SAFETY: `access` is this machine's configuration space, and nothing else of this image drives the function.
    unsafe { Device::open(access, mapper, Selector::Address(address), device::Options::default()) }
}

/// A device's line.
struct Found<'a>(&'a Device);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(device) = self;
        let (vendor, subsystem) = device.subsystem();
        write!(f, "probe: ivshmem {} rev={} kind={}", device.address(), device.revision(), device.kind())?;
        match device.kind() {
            Kind::Plain => f.write_str(" id=- vectors=0")?,
            Kind::Doorbell { vectors } => write!(f, " id={} vectors={vectors}", device.id())?,
        }
        let (bar0, bar2, size) = (device.bar0(), device.bar2(), device.size());
        write!(f, " bar0={bar0:#x} bar2={bar2:#x} size={size} subsystem={vendor:04x}:{subsystem:04x}")
    }
}

/// What is wrong with a device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemoryError {
    /// Fewer than 8 bytes.
    TooSmall { size: usize },
    /// What was written did not stay.
    NotKept { offset: usize, wrote: u64, read: u64 },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { size } => write!(f, "the memory has {size} bytes"),
            Self::NotKept { offset, wrote, read } => {
                write!(f, "at offset {offset:#x} of the memory {wrote:#x} was written and {read:#x} read back")
            }
        }
    }
}

/// Writes, reads back and restores the first and the last 8 bytes.
fn touch_ends(memory: &SharedMemory) -> Result<(), MemoryError> {
    let too_small = MemoryError::TooSmall { size: memory.len() };
    let last = memory.len().checked_sub(8).ok_or(too_small)?;
    for offset in [0, last] {
        let mut before = [0; 8];
        memory.copy_out(offset, &mut before);
        let wrote = !u64::from_le_bytes(before);
        memory.copy_in(offset, &wrote.to_le_bytes());
        let mut after = [0; 8];
        memory.copy_out(offset, &mut after);
        memory.copy_in(offset, &before);
        let read = u64::from_le_bytes(after);
        if read != wrote {
            return Err(MemoryError::NotKept { offset, wrote, read });
        }
    }
    Ok(())
}
