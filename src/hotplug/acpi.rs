//! QEMU's ACPI hot-plug of PCI functions (docs/specs/acpi_pci_hotplug, hw/acpi/pcihp.c): the registers that its ACPI tables use, without an
//! interpreter of ACPI.
//!
//! QEMU numbers the buses that things can be plugged into by *selectors*, which only its tables tell (`BSEL`), in no order that bus numbers
//! show. So a selector's bus is learned: the root bus has selector 0 if its host bridge is what that selector cannot eject, and any other is known once
//! something happens in a slot for which there is only one bus. Whoever reads the tables may [`bind`](Controller::bind) them instead.
//!
//! Only buses that had a bridge when QEMU was started have a selector; a bus of `pxb` is not looked after.

use super::{Event, answers};
use crate::log::log;
use crate::pci::{Address, Bridge, ConfigAccess, Function, Header, functions};
use heapless::Vec;

mod registers;

#[cfg(target_arch = "x86_64")]
pub use registers::Ports;
pub use registers::Registers;

use registers::{DOWN, EJECT, REMOVABLE, SELECT, UP};

/// Buses that are looked after, and selectors.
pub const MOST_BUSES: usize = 32;
/// Functions that are looked after.
pub const MOST_FUNCTIONS: usize = 64;

/// The upper 16 bits of Class Codes.
const HOST_BRIDGE: u32 = 0x0600;
const PCI_BRIDGE: u32 = 0x0604;
/// The subsystem of what QEMU models.
const QEMU: (u16, u16) = (0x1AF4, 0x1100);

/// The port at which QEMU's registers are: 0xAE00 where there is its PIIX4 (`pc`), 0x0CC0 where there is its ICH9 (`q35`). `None` on any other machine,
/// whose ports mean other things.
///
/// Whether the registers answer there is another question, which [`Controller::find`] asks. Reads at most 2 headers.
pub fn base<A: ConfigAccess + ?Sized>(access: &A) -> Option<u16> {
    // hw/acpi/piix4.c, ACPI_PCIHP_ADDR_PIIX4; hw/acpi/ich9.h, ACPI_PCIHP_ADDR_ICH9.
    let places = [((1, 3), (0x8086, 0x7113), 0xAE00), ((31, 0), (0x8086, 0x2918), 0x0CC0)];
    places.into_iter().find_map(|((device, function), identity, base)| {
        let address = Address::new(0, 0, device, function).ok()?;
        let found = Function::read(access, address)?;
        let is_qemu = Header::new(access, address).subsystem() == QEMU;
        ((found.vendor, found.device) == identity && is_qemu).then_some(base)
    })
}

/// QEMU's registers, and what is in the slots that they are about.
#[derive(Debug)]
pub struct Controller<R> {
    registers: R,
    buses: Vec<Bus, MOST_BUSES>,
    /// Selectors that are looked at, from 0.
    selectors: u8,
    known: Vec<Known, MOST_FUNCTIONS>,
    /// Of each selector, the slots that something was plugged into and whose bus is not known yet.
    plugged: [u32; MOST_BUSES],
}

#[derive(Clone, Copy, Debug)]
struct Bus {
    segment: u16,
    number: u8,
    selector: Option<u8>,
}

impl Bus {
    fn slot(&self, slot: u8) -> Option<Address> {
        Address::new(self.segment, self.number, slot, 0).ok()
    }

    fn has(&self, address: Address) -> bool {
        (self.segment, self.number) == (address.segment(), address.bus())
    }
}

#[derive(Clone, Copy, Debug)]
struct Known {
    address: Address,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unannounced,
    Here,
    Requested,
    Ejected,
}

impl<R: Registers> Controller<R> {
    /// `None` if the registers do not answer. Takes up the root bus, if it has slots, and the buses behind bridges, of the lowest segment; the functions
    /// in their slots already are added by [`poll`](Self::poll).
    ///
    /// Enumerates every bus within reach, and reads the slots of each that is looked after: 32 reads.
    pub fn find<A: ConfigAccess + ?Sized>(access: &A, registers: R) -> Option<Self> {
        let keeps = |selector: u32| {
            registers.write32(SELECT, selector);
            registers.read32(SELECT) == selector
        };
        // All-ones is nothing at all. What keeps no selector is about the root bus alone: `acpi-pci-hotplug-with-bridge-support=off`.
        let (bridges, present) = (keeps(1), keeps(0));
        if !present || registers.read32(EJECT) == u32::MAX {
            return None;
        }
        let (mut buses, mut segment, mut selectors) = (Vec::new(), 0, 0_u8);
        for function in functions(access) {
            let address = function.address;
            // Selector 0 is that of the first root bus, or of another one, and all of that one's slots can be ejected.
            let host_bridge = buses.is_empty() && address.device() == 0 && address.function() == 0;
            // Bridges and host bridges, of which `pxb` makes further ones, have a bus each.
            selectors = selectors.saturating_add(u8::from(matches!(function.class >> 8, HOST_BRIDGE | PCI_BRIDGE)));
            let root = host_bridge && registers.read32(REMOVABLE) & 1 == 0;
            let behind = Bridge::at(access, address).filter(|_| bridges).map(|bridge| bridge.numbers().secondary);
            if root {
                segment = address.segment();
                let _ = buses.push(Bus { segment, number: address.bus(), selector: Some(0) });
            }
            let behind = behind.filter(|number| *number != 0 && address.segment() == segment);
            if let Some(number) = behind {
                // The rest is not looked after.
                let _ = buses.push(Bus { segment, number, selector: None });
            }
        }
        let mut known = Vec::new();
        for address in buses.iter().flat_map(|bus: &Bus| (0..32).filter_map(|slot| bus.slot(slot))) {
            if answers(access, address).is_ok() {
                let _ = known.push(Known { address, stage: Stage::Unannounced });
            }
        }
        log!(info, "ACPI hot-plug: {=usize} buses, {=usize} functions", buses.len(), known.len());
        let selectors = if bridges { selectors.min(MOST_BUSES as u8) } else { 1 };
        Some(Self { registers, buses, selectors, known, plugged: [0; MOST_BUSES] })
    }

    /// How many buses are looked after.
    pub fn buses(&self) -> usize {
        self.buses.len()
    }

    /// Says which bus a selector is about: `BSEL` in QEMU's tables. `false` if the bus is not looked after, or one of the two is bound already.
    pub fn bind(&mut self, bus: u8, selector: u8) -> bool {
        let taken = self.bus_of(selector).is_some() || usize::from(selector) >= MOST_BUSES;
        match self.buses.iter_mut().find(|found| found.number == bus && found.selector.is_none() && !taken) {
            Some(found) => {
                found.selector = Some(selector);
                true
            }
            None => false,
        }
    }

    /// A selector, and those of its slots that something was plugged into on a bus that cannot be told: things were plugged into the same slot of several
    /// buses between two looks. [`bind`](Self::bind) settles it.
    pub fn unresolved(&self) -> Option<(u8, u32)> {
        (0..).zip(self.plugged).find(|(_, slots)| *slots != 0)
    }

    /// Looks at everything until something has happened.
    ///
    /// At most 64 configuration reads, 3 port accesses for each selector, and for each slot that something was plugged into a configuration read for each bus.
    pub fn poll<A: ConfigAccess + ?Sized>(&mut self, access: &A) -> Option<Event> {
        if let Some(event) = self.look_at_known(access) {
            return Some(event);
        }
        for (selector, index) in (0..self.selectors).zip(0..) {
            self.registers.write32(SELECT, selector.into());
            let (up, down) = (self.registers.read32(UP), self.registers.read32(DOWN));
            // Not even a bus of 32 slots has all of them plugged and to be let go at once: nothing is there.
            if (up, down) == (u32::MAX, u32::MAX) {
                continue;
            }
            // Reading forgets, so what is not dealt with now is noted.
            if let Some(plugged) = self.plugged.get_mut(index) {
                *plugged |= up;
            }
            let event = self.requested(selector, down).or_else(|| self.added(access, selector, index));
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Ejects the slot of a function, which nothing may use any more. `false` if it is not looked after, or the selector of its bus is not known, as before
    /// anything happened on that bus.
    pub fn finish_removal(&mut self, address: Address) -> bool {
        let selector = self.buses.iter().find(|bus| bus.has(address)).and_then(|bus| bus.selector);
        let known = self.known.iter_mut().find(|known| known.address == address);
        let (Some(known), Some(selector)) = (known, selector) else { return false };
        known.stage = Stage::Ejected;
        self.registers.write32(SELECT, selector.into());
        // A device number is below 32.
        self.registers.write32(EJECT, 1_u32.wrapping_shl(address.device().into()));
        true
    }

    /// Functions that are gone, or were there from the beginning.
    fn look_at_known<A: ConfigAccess + ?Sized>(&mut self, access: &A) -> Option<Event> {
        let gone = self.known.iter().position(|known| answers(access, known.address).is_err());
        if let Some(index) = gone {
            let Known { address, stage } = self.known.swap_remove(index);
            match stage {
                Stage::Unannounced => {}
                Stage::Here | Stage::Requested => return Some(Event::Lost(address)),
                Stage::Ejected => return Some(Event::Removed(address)),
            }
        }
        let new = self.known.iter_mut().find(|known| known.stage == Stage::Unannounced)?;
        new.stage = Stage::Here;
        Some(Event::Added(new.address))
    }

    fn requested(&mut self, selector: u8, down: u32) -> Option<Event> {
        for slot in slots(down) {
            let places = |bus: &Bus| bus.slot(slot).filter(|address| self.stage(*address) == Some(Stage::Here));
            let Some(address) = self.the_one(selector, places) else { continue };
            self.learn(address, selector);
            let known = self.known.iter_mut().find(|known| known.address == address)?;
            known.stage = Stage::Requested;
            return Some(Event::RemovalRequested(address));
        }
        None
    }

    fn added<A: ConfigAccess + ?Sized>(&mut self, access: &A, selector: u8, index: usize) -> Option<Event> {
        let plugged = self.plugged.get(index).copied().unwrap_or(0);
        for slot in slots(plugged) {
            let bound = self.bus_of(selector).and_then(|bus| bus.slot(slot));
            let stage = bound.and_then(|address| self.stage(address));
            let event = match (bound, stage) {
                // What was let go is gone if something else was plugged in: that comes next.
                (Some(address), Some(Stage::Ejected)) => {
                    self.known.retain(|known| known.address != address);
                    return Some(Event::Removed(address));
                }
                (Some(_), Some(_)) => None,
                (bound, _) => {
                    let is_new =
                        |address: &Address| self.stage(*address).is_none() && answers(access, *address).is_ok();
                    let places = |bus: &Bus| bus.slot(slot).filter(is_new);
                    let unresolved = bound.is_none() && self.candidates(selector).filter_map(places).nth(1).is_some();
                    if unresolved {
                        continue;
                    }
                    self.candidates(selector).find_map(places).map(Event::Added)
                }
            };
            if let Some(plugged) = self.plugged.get_mut(index) {
                *plugged &= !1_u32.wrapping_shl(slot.into());
            }
            if let Some(Event::Added(address)) = event {
                self.learn(address, selector);
                let room = self.known.push(Known { address, stage: Stage::Here });
                return event.filter(|_| room.is_ok());
            }
        }
        None
    }

    /// The buses that a selector may be about.
    fn candidates(&self, selector: u8) -> impl Iterator<Item = &Bus> {
        let bound = self.bus_of(selector).is_some();
        self.buses.iter().filter(move |bus| if bound { bus.selector == Some(selector) } else { bus.selector.is_none() })
    }

    /// What is found on one of these buses and on no other.
    fn the_one(&self, selector: u8, find: impl Fn(&Bus) -> Option<Address>) -> Option<Address> {
        let mut found = self.candidates(selector).filter_map(find);
        found.next().filter(|_| found.next().is_none())
    }

    fn learn(&mut self, address: Address, selector: u8) {
        if self.bind(address.bus(), selector) {
            log!(debug, "ACPI hot-plug: bus {=u8} has selector {=u8}", address.bus(), selector);
        }
    }

    fn bus_of(&self, selector: u8) -> Option<&Bus> {
        self.buses.iter().find(|bus| bus.selector == Some(selector))
    }

    fn stage(&self, address: Address) -> Option<Stage> {
        self.known.iter().find(|known| known.address == address).map(|known| known.stage)
    }
}

/// The numbers of the bits that are set.
fn slots(bits: u32) -> impl Iterator<Item = u8> {
    (0..32).filter(move |slot| bits >> slot & 1 != 0)
}

#[cfg(test)]
mod tests;
