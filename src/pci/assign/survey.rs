//! Who is there, and which bridges lead to one of them.

use super::{AssignError, Windows};
use crate::pci::{Address, Bridge, ConfigAccess, Width, Window, functions};
use heapless::Vec;

/// Functions that are looked after.
pub(super) const MOST_FUNCTIONS: usize = 256;
/// Bridges on the way to a function.
pub(super) const MOST_BRIDGES: usize = 12;

/// The machine as one function sees it.
pub(super) struct Survey<'a, A: ?Sized> {
    pub(super) access: &'a A,
    pub(super) windows: &'a Windows,
    pub(super) target: Address,
    /// Everything in the target's segment, the target too.
    pub(super) functions: Vec<Address, MOST_FUNCTIONS>,
    /// The bridges that lead to the target, from the root bus on. Level `n` is the bus that the `n`-th is on.
    pub(super) path: Vec<Address, MOST_BRIDGES>,
}

impl<'a, A: ConfigAccess + ?Sized> Survey<'a, A> {
    pub(super) fn new(access: &'a A, target: Address, windows: &'a Windows) -> Result<Self, AssignError> {
        let mut present = Vec::new();
        for function in functions(access).filter(|function| function.address.segment() == target.segment()) {
            present.push(function.address).map_err(|_| AssignError::TooManyFunctions { most: MOST_FUNCTIONS })?;
        }
        let mut path = Vec::new();
        let mut bus = target.bus();
        // Each bridge is on a lower bus than the one before, so that this ends even if they point in circles.
        while let Some(bridge) = present.iter().copied().find(|address| leads_to(access, *address, bus)) {
            path.insert(0, bridge).map_err(|_| AssignError::TooDeep { bus: target.bus() })?;
            bus = bridge.bus();
        }
        Ok(Self { access, windows, target, functions: present, path })
    }

    /// Where something on the bus at `level` may be, in the order in which to try: what the bridge forwards, or the machine.
    pub(super) fn spaces(&self, level: usize, width: Width, prefetchable: bool) -> [Option<Window>; 2] {
        let bridge = level.checked_sub(1).and_then(|above| self.path.get(above));
        let spaces = match bridge {
            None => [self.windows.mem64.filter(|_| width == Width::Bits64), self.windows.mem32],
            Some(address) => match Bridge::at(self.access, *address) {
                Some(bridge) => [bridge.prefetchable().filter(|_| prefetchable), bridge.memory()],
                None => [None, None],
            },
        };
        spaces.map(|space| {
            let Window { base, limit } = space?;
            Some(Window { base, limit: limit.min(width.last_address()) })
        })
    }
}

fn leads_to<A: ConfigAccess + ?Sized>(access: &A, address: Address, bus: u8) -> bool {
    address.bus() < bus && Bridge::at(access, address).is_some_and(|bridge| bridge.numbers().secondary == bus)
}
