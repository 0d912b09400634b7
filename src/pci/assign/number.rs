//! Numbers for buses that have none.

use super::AssignError;
use super::survey::MOST_BRIDGES;
use crate::log::log;
use crate::pci::walk::functions_on;
use crate::pci::{Bridge, BusNumbers, Buses, ConfigAccess};

/// Numbers the buses behind the bridges of a root bus that are not numbered, depth first, and returns how many it numbered.
///
/// `buses` is what belongs to the root bus, one of [`root_buses`](super::root_buses): its first is the root bus itself, and no other root
/// bus is in it. Numbers that bridges have stay. Each further one is higher than those before it on its bus, and within the numbers of the bridge before it.
///
/// Every bus is looked at twice, as in [`functions`](crate::pci::functions), and each bridge is asked at most 14 times more. The error is that of the
/// first bridge for which no number was left ([`NoBus`](AssignError::NoBus)), that took none ([`Bridge`](AssignError::Bridge)) or behind which too many
/// are ([`TooDeep`](AssignError::TooDeep)); it stays unnumbered, and the others have theirs.
pub fn number_buses<A: ConfigAccess + ?Sized>(access: &A, buses: Buses) -> Result<u8, AssignError> {
    let mut numbering = Numbering { access, segment: buses.segment, seen: [false; 256], numbered: 0, failed: None };
    numbering.bus(buses.first, buses.last, 0);
    match numbering.failed {
        Some(error) => Err(error),
        None => Ok(numbering.numbered),
    }
}

struct Numbering<'a, A: ?Sized> {
    access: &'a A,
    segment: u16,
    /// Buses that were looked at: none is twice, wherever the bridges point.
    seen: [bool; 256],
    numbered: u8,
    failed: Option<AssignError>,
}

impl<'a, A: ConfigAccess + ?Sized> Numbering<'a, A> {
    /// Numbers what is behind `bus`, up to `last`. Returns the highest number in use there.
    fn bus(&mut self, bus: u8, last: u8, depth: usize) -> u8 {
        match self.seen.get_mut(usize::from(bus)) {
            Some(seen) if !*seen => *seen = true,
            _ => return bus,
        }
        let mut highest = bus;
        if depth > MOST_BRIDGES {
            self.failed = self.failed.or(Some(AssignError::TooDeep { bus }));
            return highest;
        }
        let deeper = depth.saturating_add(1);
        // Those that have numbers first: the others get higher ones.
        for bridge in self.bridges(bus) {
            let BusNumbers { secondary, subordinate, .. } = bridge.numbers();
            if bus < secondary && secondary <= subordinate && subordinate <= last {
                self.bus(secondary, subordinate, deeper);
                highest = highest.max(subordinate);
            }
        }
        for bridge in self.bridges(bus).filter(|bridge| bridge.numbers().secondary == 0) {
            highest = self.number(&bridge, (bus, highest, last), deeper);
        }
        highest
    }

    /// Numbers the bus behind a bridge, and all behind it.
    fn number(&mut self, bridge: &Bridge<'a, A>, (primary, highest, last): (u8, u8, u8), depth: usize) -> u8 {
        let address = bridge.address();
        let Some(secondary) = highest.checked_add(1).filter(|number| *number <= last) else {
            self.failed = self.failed.or(Some(AssignError::NoBus(address)));
            return highest;
        };
        let before = bridge.numbers();
        // Open to the end until it is known what is behind it.
        let opened = bridge.set_numbers(BusNumbers { primary, secondary, subordinate: last });
        let subordinate = if opened.is_ok() { self.bus(secondary, last, depth) } else { secondary };
        let result = opened.and_then(|()| bridge.set_numbers(BusNumbers { primary, secondary, subordinate }));
        if let Err(error) = result {
            self.failed = self.failed.or(Some(AssignError::Bridge { address, error }));
            let _ = bridge.set_numbers(before);
            return highest;
        }
        log!(debug, "{}: buses {=u8} to {=u8}", address, secondary, subordinate);
        self.numbered = self.numbered.saturating_add(1);
        subordinate
    }

    fn bridges(&self, bus: u8) -> impl Iterator<Item = Bridge<'a, A>> + use<'a, A> {
        let access = self.access;
        functions_on(access, self.segment, bus).filter_map(move |function| Bridge::at(access, function.address))
    }
}
