//! Enumerates with the crates `pci_types` and `virtio-drivers` over this crate's access to configuration space, and opens ivshmem devices
//! with this crate over theirs.
//!
//! ```text
//! enumerate: begin config=<ecam|port-io>
//! enumerate: function <ssss:bb:dd.f> id=<vvvv:dddd> class=<4 hex digits> kind=<endpoint|bridge|other>
//! enumerate: memory <ssss:bb:dd.f> bar=<n> base=<hex> size=<bytes>
//! enumerate: ivshmem <ssss:bb:dd.f> by=<crate> kind=<plain|doorbell> id=<n|-> bar0=<hex> bar2=<hex> size=<bytes> interrupts=<yes|no>
//! enumerate: error <ErrorName> <details>
//! enumerate: end functions=<n> devices=<n>
//! ```
//!
//! Functions come in ascending address order, as `pci_types` finds and sizes them, and it is an error if `virtio-drivers` or this crate
//! finds others. Each ivshmem device is then opened through each crate's trait, and its interrupts enabled and closed, if it has any.
//!
//! Options: `config=ecam|port-io|auto` forces the mechanism (`auto` without it).

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt;
use heapless::Vec;
use ivshmem::device::{self, Device, Kind, OpenError, Selector};
use ivshmem::msix::{Message, MsixError};
use ivshmem::pci::{self, Access, Address, Buses, ConfigAccess, Function};
use ivshmem_examples::interrupts::FIRST_DOORBELL;
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::mechanism::Mechanism;
use ivshmem_examples::options::Options;
use ivshmem_examples::say;
use pci_types::{Bar, ConfigRegionAccess, EndpointHeader, HeaderType, PciHeader};
use virtio_drivers::transport::pci::bus::PciRoot;

ivshmem_examples::image!(run);

/// The buses of a PC.
const BUSES: Buses = Buses { segment: 0, first: 0, last: u8::MAX };
/// The most functions that are enumerated.
const MOST: usize = 64;

/// A function: where, vendor, device.
type Seen = (Address, u16, u16);

fn run(machine: &mut Machine) -> Result<(), Failed> {
    let mechanism = Options::parse(machine.command_line, &["config"])
        .and_then(|options| options.get("config", Mechanism::EXPECTED))
        .map_err(|error| machine.failed(&error))?;
    // SAFETY: ring 0, the RSDP is from the start info, and configuration space is opened once.
    let access = unsafe { mechanism.unwrap_or(Mechanism::Auto).open(machine.rsdp, &mut machine.mapper) };
    let access = access.map_err(|error| machine.failed(&error))?;
    say!("enumerate: begin config={}", if matches!(access, Access::Ecam(_)) { "ecam" } else { "port-io" });

    let functions = by_pci_types(&pci::pci_types::Ours(&access)).map_err(|error| machine.failed(&error))?;
    let ours = pci::functions(&access).map(|function| (function.address, function.vendor, function.device));
    same("this crate", &functions, ours).map_err(|error| machine.failed(&error))?;
    let root = PciRoot::new(pci::virtio_drivers::Ours::new(&access, 0));
    let theirs = (0..=u8::MAX).flat_map(|bus| root.enumerate_bus(bus)).filter_map(|(function, info)| {
        let address = Address::new(0, function.bus, function.device, function.function).ok()?;
        Some((address, info.vendor_id, info.device_id))
    });
    same("virtio-drivers", &functions, theirs).map_err(|error| machine.failed(&error))?;

    // SAFETY: ours takes any address and register.
    let over_pci_types = unsafe { pci::pci_types::Theirs::new(pci::pci_types::Ours(&access), BUSES) };
    let over_virtio = pci::virtio_drivers::Theirs::new(pci::virtio_drivers::Ours::new(&access, 0), BUSES);
    let mut devices = 0u32;
    for Function { address, .. } in pci::functions(&over_pci_types).filter(device::is_ivshmem) {
        open(machine, &over_pci_types, "pci_types", address)?;
        open(machine, &over_virtio, "virtio-drivers", address)?;
        devices += 1;
    }
    say!("enumerate: end functions={} devices={devices}", functions.len());
    Ok(())
}

/// Why the functions are not the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// More than [`MOST`].
    TooMany,
    /// A crate finds something else as its `number`-th function.
    Differs { name: &'static str, number: usize, found: Option<Seen> },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "there are more than {MOST} functions"),
            Self::Differs { name, number, found } => {
                write!(f, "function {number} is another with {name}: {found:04x?}")
            }
        }
    }
}

impl core::error::Error for Failure {}

/// Enumerates with their types, and says what is found and where firmware put its memory.
fn by_pci_types(access: &impl ConfigRegionAccess) -> Result<Vec<Seen, MOST>, Failure> {
    let mut functions = Vec::new();
    for (bus, device) in (0..=u8::MAX).flat_map(|bus| (0..32).map(move |device| (bus, device))) {
        let mut most = 1;
        for function in 0..8 {
            if function >= most {
                break;
            }
            let Ok(address) = Address::new(0, bus, device, function) else { continue };
            let header = PciHeader::new(address.into());
            let (vendor, id) = header.id(access);
            if vendor == 0xFFFF {
                continue;
            }
            if function == 0 && header.has_multiple_functions(access) {
                most = 8;
            }
            let (_, base, sub, _) = header.revision_and_class(access);
            let kind = match header.header_type(access) {
                HeaderType::Endpoint => "endpoint",
                HeaderType::PciPciBridge => "bridge",
                _ => "other",
            };
            say!("enumerate: function {address} id={vendor:04x}:{id:04x} class={base:02x}{sub:02x} kind={kind}");
            if let Some(endpoint) = EndpointHeader::from_header(header, access) {
                memory(address, &endpoint, access);
            }
            functions.push((address, vendor, id)).map_err(|_| Failure::TooMany)?;
        }
    }
    Ok(functions)
}

/// Says what memory a function has, as their types size it: with all-ones, and the address written back.
fn memory(address: Address, endpoint: &EndpointHeader, access: &impl ConfigRegionAccess) {
    let mut slot = 0;
    while slot < 6 {
        let bar = endpoint.bar(slot, access);
        match bar {
            Some(Bar::Memory32 { address: base, size, .. }) => {
                say!("enumerate: memory {address} bar={slot} base={base:#x} size={size}");
            }
            Some(Bar::Memory64 { address: base, size, .. }) => {
                say!("enumerate: memory {address} bar={slot} base={base:#x} size={size}");
            }
            _ => {}
        }
        slot += if matches!(bar, Some(Bar::Memory64 { .. })) { 2 } else { 1 };
    }
}

/// Whether somebody else finds the same, in the same order.
fn same(name: &'static str, functions: &[Seen], mut others: impl Iterator<Item = Seen>) -> Result<(), Failure> {
    for number in 0..=functions.len() {
        let found = others.next();
        if found.as_ref() != functions.get(number) {
            return Err(Failure::Differs { name, number, found });
        }
    }
    Ok(())
}

fn open(machine: &mut Machine, access: &impl ConfigAccess, by: &str, address: Address) -> Result<(), Failed> {
    // SAFETY: `access` is this machine's configuration space, and nothing else of this image drives the function.
    let device =
        unsafe { Device::open(access, &mut machine.mapper, Selector::Address(address), device::Options::default()) };
    let device: Result<Device, OpenError> = device;
    let mut device = device.map_err(|error| machine.failed(&error))?;
    let interrupts = interrupts(&mut device, access).map_err(|error| machine.failed(&error))?;
    let interrupts = if interrupts { "yes" } else { "no" };
    let (kind, bar0, bar2, size) = (device.kind(), device.bar0(), device.bar2(), device.size());
    let id = Id(&device);
    say!(
        "enumerate: ivshmem {address} by={by} kind={kind} id={id} bar0={bar0:#x} bar2={bar2:#x} size={size} interrupts={interrupts}"
    );
    Ok(())
}

/// Enables and closes them; `false` if there are none. Nobody rings: the vector has no handler.
fn interrupts(device: &mut Device, access: &impl ConfigAccess) -> Result<bool, MsixError> {
    let Kind::Doorbell { .. } = device.kind() else { return Ok(false) };
    let Ok(message) = Message::new(0, FIRST_DOORBELL) else { return Ok(false) };
    device.enable_interrupts(access, &[message])?.close(access)?;
    Ok(true)
}

/// A device's id, or `-` if it is plain and has none.
struct Id<'a>(&'a Device);

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            Kind::Plain => f.write_str("-"),
            Kind::Doorbell { .. } => write!(f, "{}", self.0.id()),
        }
    }
}
