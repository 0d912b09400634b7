//! Devices that come and go while the machine runs: noticing them, letting them go in order, and surviving those that just vanish.
//!
//! Two mechanisms, both polled, and no interrupt: [`native`], the slots of PCI Express ports, and [`acpi`], the registers behind QEMU's ACPI
//! tables. [`Hotplug::find`] tells which of them applies: QEMU's registers where they answer, since QEMU then leaves the ports' slots
//! alone although they say that they support hot-plug; else the slots.
//!
//! | machine (QEMU 7.2) | mechanism |
//! |---|---|
//! | `pc` | ACPI, at port 0xAE00: the root bus, and conventional bridges that were there at the start |
//! | `q35` | ACPI, at port 0x0CC0: ports and bridges that were there at the start, not the root bus |
//! | `q35` with `-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off` | native |
//!
//! A device that comes has no BARs: [`assign`](crate::pci::assign) places them, in the windows of its port or in those that are given. What is
//! to be done with each event:
//!
//! 1. [`Event::Added`]: `pci::assign`, then [`Device::open`](crate::device::Device::open).
//! 2. [`Event::RemovalRequested`]: close the links of the mailboxes and drop them, [`close`](crate::msix::Interrupts::close) the
//!    interrupts, write 0 to Command, and call [`Hotplug::finish_removal`]. [`Event::Removed`] follows. QEMU repeats no request, and a guest may
//!    take its time.
//!    Let go of everything of the device, clones of its doorbell too: what comes next may get the same addresses.
//! 3. [`Event::Lost`]: the same without touching the function: memory and registers read as anything now, and every call ends all the same,
//!    with [`DeviceGone`](crate::device::DeviceGone) where it can know.
//!
//! ```
//! use ivshmem::fake::{config::{ConfigSpace, Function}, hotplug::Slot};
//! use ivshmem::hotplug::{Event, Hotplug, acpi};
//! use ivshmem::pci::{self, Windows};
//!
//! let (port, device) = ("00:04.0".parse().unwrap(), "01:00.0".parse().unwrap());
//! let port_with_windows = Slot::port(1)
//!     .memory_window(0xFE20_0000, 0xFE3F_FFFF)
//!     .prefetchable_window(0xE020_0000, 0xE03F_FFFF);
//! let space = ConfigSpace::new().with(port, port_with_windows).with(device, Function::ivshmem_plain(1 << 20));
//! let access = Slot::new(space, port, device);
//! // On a machine: `acpi::base(&access).map(|base| unsafe { acpi::Ports::new(base) })`, and any clock's microseconds.
//! let mut hotplug = Hotplug::<acpi::Ports>::find(&access, None);
//! let mut microseconds = (0..).step_by(1000);
//! let mut next = || microseconds.find_map(|now| hotplug.poll(&access, now)).unwrap();
//!
//! access.add();
//! assert_eq!(next(), Event::Added(device));
//! let bars = pci::assign(&access, device, &Windows::default()).unwrap();
//! assert_eq!(bars.bars().len(), 2);
//! // Device::open, a mailbox, messages, until somebody presses the button.
//! access.press();
//! assert_eq!(next(), Event::RemovalRequested(device));
//! // Closed in order.
//! assert!(hotplug.finish_removal(device));
//! let mut later = (2_000_000..).step_by(1000);
//! assert_eq!(later.find_map(|now| hotplug.poll(&access, now)), Some(Event::Removed(device)));
//! ```
//!
//! A mailbox in the same memory goes on after the device came back, possibly with another id: that is a restart of this end for its peer, whose
//! counters say what was lost.

use crate::pci::{Address, ConfigAccess, functions};
use heapless::Vec;

pub mod acpi;
pub mod native;

use acpi::Controller;
use native::{Fault, Slot};

/// Slots of PCI Express ports that are looked after.
const MOST_SLOTS: usize = 32;

/// What happened in a slot. The address is that of function 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// A function answers in configuration space, of whatever kind: one that came, or that was there when looking began.
    Added(Address),
    /// Somebody wants it back. Nothing happens until it is let go.
    RemovalRequested(Address),
    /// The attention button was pressed again: it is not wanted back any more.
    RemovalCancelled(Address),
    /// A function that was let go is gone.
    Removed(Address),
    /// A function is gone that was not let go.
    Lost(Address),
    /// Something is in the slot and does not come up; its power is off. The button tries again, or whatever is put in instead.
    Failed(Address, Fault),
}

/// The hot-plug slots of a machine.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for a machine, and no heap")]
pub enum Hotplug<R> {
    /// Native slots, each polled in turn.
    Native(Slots),
    /// QEMU's registers.
    Acpi(Controller<R>),
}

/// The native slots of a machine.
#[derive(Debug)]
pub struct Slots {
    slots: Vec<Slot, MOST_SLOTS>,
    /// The slot to begin with, so that none keeps the others from being heard.
    next: usize,
}

impl<R: acpi::Registers> Hotplug<R> {
    /// Finds the mechanism that applies, and the slots, of at most 32 ports or [`acpi::MOST_BUSES`] buses. `registers` are QEMU's, if the machine
    /// can have them: see [`acpi::base`].
    ///
    /// Enumerates every bus within reach. Buses have to have numbers: see [`number_buses`](crate::pci::number_buses).
    pub fn find<A: ConfigAccess + ?Sized>(access: &A, registers: Option<R>) -> Self {
        if let Some(controller) = registers.and_then(|registers| Controller::find(access, registers)) {
            return Self::Acpi(controller);
        }
        let slots = functions(access).filter_map(|function| Slot::at(access, function.address).ok());
        Self::Native(Slots { slots: slots.take(MOST_SLOTS).collect(), next: 0 })
    }

    /// Looks at every slot until one has something to say; `now` is any clock's time in microseconds, which does not run backwards.
    ///
    /// One look at each slot at most: see [`Slot::poll`] and [`Controller::poll`] for what that is. Not for a real-time phase.
    pub fn poll<A: ConfigAccess + ?Sized>(&mut self, access: &A, now: u64) -> Option<Event> {
        match self {
            Self::Native(slots) => slots.poll(access, now),
            Self::Acpi(controller) => controller.poll(access),
        }
    }

    /// Lets a function go, which nothing may use any more: [`poll`](Self::poll) says when it is gone. Without being asked it may be done too.
    /// `false` if no slot has this function.
    pub fn finish_removal(&mut self, address: Address) -> bool {
        match self {
            Self::Native(slots) => slots.finish_removal(address),
            Self::Acpi(controller) => controller.finish_removal(address),
        }
    }

    /// Buses or ports whose slots are looked after.
    pub fn len(&self) -> usize {
        match self {
            Self::Native(slots) => slots.slots.len(),
            Self::Acpi(controller) => controller.buses(),
        }
    }

    /// Whether the machine has no slot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Slots {
    fn poll<A: ConfigAccess + ?Sized>(&mut self, access: &A, now: u64) -> Option<Event> {
        let count = self.slots.len();
        for _ in 0..count {
            let slot = self.slots.get_mut(self.next)?;
            self.next = self.next.saturating_add(1).checked_rem(count)?;
            if let Some(event) = slot.poll(access, now) {
                return Some(event);
            }
        }
        None
    }

    fn finish_removal(&mut self, address: Address) -> bool {
        self.slots.iter_mut().any(|slot| slot.function() == address && slot.finish_removal())
    }
}

/// Whether a function answers at `address`: one read. The error is what Vendor ID and Device ID read as.
fn answers<A: ConfigAccess + ?Sized>(access: &A, address: Address) -> Result<(), u32> {
    let identity = access.read32(address, 0);
    match identity as u16 {
        // 0001h says: not yet (PCI Express 4.0, section 2.3.2).
        0 | 1 | 0xFFFF => Err(identity),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
