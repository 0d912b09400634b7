//! Root buses: those that no bridge leads to.

use crate::pci::walk::functions_on;
use crate::pci::{Bridge, BusNumbers, Buses, ConfigAccess};

/// The root buses among `buses`, each with all up to the next one: what [`number_buses`](super::number_buses) takes.
///
/// The first of `buses` is one, and so is every other on which something answers and to which no bridge leads (QEMU's `pxb`). To be
/// asked before numbers are given: a bridge that has none yet leads nowhere.
///
/// Every bus is looked at once, as in [`functions`](super::super::functions), and nothing is written.
pub fn root_buses<A: ConfigAccess + ?Sized>(access: &A, buses: Buses) -> impl Iterator<Item = Buses> + use<A> {
    let Buses { segment, first, last } = buses;
    let (mut present, mut behind) = ([false; 256], [false; 256]);
    for bus in first..=last {
        for function in functions_on(access, segment, bus) {
            mark(&mut present, bus..=bus);
            if let Some(bridge) = Bridge::at(access, function.address) {
                let BusNumbers { secondary, subordinate, .. } = bridge.numbers();
                // Any other number leads in circles.
                if secondary > bus {
                    mark(&mut behind, secondary..=subordinate);
                }
            }
        }
    }
    let is_root = move |bus: &u8| {
        let at = usize::from(*bus);
        *bus == first || present.get(at) == Some(&true) && behind.get(at) == Some(&false)
    };
    let mut roots = (first..=last).filter(is_root).peekable();
    core::iter::from_fn(move || {
        let first = roots.next()?;
        let last = roots.peek().map_or(last, |next| next.saturating_sub(1));
        Some(Buses { segment, first, last })
    })
}

fn mark(marks: &mut [bool; 256], buses: core::ops::RangeInclusive<u8>) {
    for bus in buses {
        if let Some(mark) = marks.get_mut(usize::from(bus)) {
            *mark = true;
        }
    }
}
