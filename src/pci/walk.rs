//! Enumeration: every function within reach, in ascending address order.

use super::{Address, ConfigAccess, Function};
use crate::log::log;

const LAST_DEVICE: u8 = 31;
const LAST_FUNCTION: u8 = 7;

/// Every function within reach of `access`, in ascending address order.
///
/// Every bus of every range that [`ConfigAccess::buses`] names is looked at, one after the other. No bridge is followed: extra root
/// buses (QEMU's `pxb`) have no bridge that leads to them, and headers that point in circles lead nowhere. Functions 1 to 7
/// of a device are looked at if its function 0 is there and says multi-function (PCI 3.0, section 3.2.2.3.4 makes function 0 mandatory).
///
/// Bounded by the buses alone: 32 configuration reads for an empty bus, 2 more for each function found and 7 more for
/// each multi-function device; 8192 reads for 256 empty buses. Nothing is written. Not for a real-time phase.
pub fn functions<A: ConfigAccess + ?Sized>(access: &A) -> Functions<'_, A> {
    Functions { access, range: 0, bus: None, next: None }
}

/// Every function on one bus.
pub(super) fn functions_on<A: ConfigAccess + ?Sized>(access: &A, segment: u16, bus: u8) -> Functions<'_, A> {
    // No range follows the last one, and so no bus this one.
    Functions { access, range: u16::MAX, bus: None, next: Address::new(segment, bus, 0, 0).ok() }
}

/// Iterator made by [`functions`].
#[derive(Debug)]
pub struct Functions<'a, A: ?Sized> {
    access: &'a A,
    /// Index of the range that `bus` is in.
    range: u16,
    /// The bus being walked, or walked last: segment and number.
    bus: Option<(u16, u8)>,
    /// The function to look at next; `None` when `bus` is done.
    next: Option<Address>,
}

impl<A: ConfigAccess + ?Sized> Functions<'_, A> {
    /// The first function of the next bus, which is always after the last one, whatever the ranges say.
    fn enter_bus(&mut self) -> Option<Address> {
        loop {
            let buses = self.access.buses(usize::from(self.range))?;
            let first = match self.bus {
                Some((segment, bus)) if segment == buses.segment => bus.checked_add(1).map(|bus| bus.max(buses.first)),
                Some((segment, _)) if segment > buses.segment => None,
                _ => Some(buses.first),
            };
            if let Some(bus) = first.filter(|bus| *bus <= buses.last) {
                self.bus = Some((buses.segment, bus));
                return Address::new(buses.segment, bus, 0, 0).ok();
            }
            self.range = self.range.checked_add(1)?;
        }
    }
}

/// The place after `address` on its bus.
fn after(address: Address, more_functions: bool) -> Option<Address> {
    let (device, function) = if more_functions && address.function() < LAST_FUNCTION {
        (address.device(), address.function().saturating_add(1))
    } else if address.device() < LAST_DEVICE {
        (address.device().saturating_add(1), 0)
    } else {
        return None;
    };
    Address::new(address.segment(), address.bus(), device, function).ok()
}

impl<A: ConfigAccess + ?Sized> Iterator for Functions<'_, A> {
    type Item = Function;

    fn next(&mut self) -> Option<Function> {
        loop {
            let address = match self.next {
                Some(address) => address,
                None => self.enter_bus()?,
            };
            let found = Function::read(self.access, address);
            // Only function 0 says whether there are more; having come to a higher one means that it did.
            let more = address.function() > 0 || found.is_some_and(|function| function.multi_function);
            self.next = after(address, more);
            if let Some(function) = found {
                log!(
                    debug,
                    "PCI function {}: {=u16:04x}:{=u16:04x} class {=u32:06x} header type {}",
                    address,
                    function.vendor,
                    function.device,
                    function.class,
                    function.header_type
                );
                return Some(function);
            }
        }
    }
}

impl<A: ConfigAccess + ?Sized> core::iter::FusedIterator for Functions<'_, A> {}

#[cfg(test)]
mod tests;
