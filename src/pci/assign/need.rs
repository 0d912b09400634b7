//! What has no place, and how much room it needs.

use super::survey::Survey;
use super::{AssignError, Kind, Undoable};
use crate::pci::bar::{Registers, register};
use crate::pci::bridge::GRANULE;
use crate::pci::{Address, BarError, Bridge, BusNumbers, ConfigAccess, Width, size_bar};
use heapless::Vec;

/// No BAR shares a page with another: they may be mapped with different caching.
const PAGE: u64 = 4096;

/// A memory BAR without an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unassigned {
    pub(super) index: u8,
    pub(super) size: u64,
    pub(super) width: Width,
    pub(super) prefetchable: bool,
}

impl Unassigned {
    /// Those of a function, largest first. They are sized; nothing else is.
    pub(super) fn of<A: ConfigAccess + ?Sized>(access: &A, address: Address) -> Result<Vec<Self, 6>, BarError> {
        let registers = Registers::read(access, address)?;
        let mut found: Vec<Self, 6> = Vec::new();
        for index in registers.starts() {
            let Ok(bar) = registers.decode(index) else { continue };
            if bar.address != 0 {
                continue;
            }
            match size_bar(access, address, index) {
                Err(BarError::Absent { .. }) => {}
                Err(error) => return Err(error),
                Ok(size) => {
                    let (width, prefetchable) = (bar.width, bar.prefetchable);
                    let place = found.iter().take_while(|before| before.size >= size).count();
                    // As many as there are registers.
                    let _ = found.insert(place, Self { index, size, width, prefetchable });
                }
            }
        }
        Ok(found)
    }

    /// Bytes to keep free for it, and its alignment.
    pub(super) fn room(&self) -> u64 {
        self.size.max(PAGE)
    }

    /// Whether it may be in a prefetchable window: that may be anywhere, and 32 bits reach below 4 GiB only.
    fn may_be_prefetched(&self) -> bool {
        self.prefetchable && self.width == Width::Bits64
    }

    /// Gives it an address.
    pub(super) fn write<A: ConfigAccess + ?Sized>(
        &self,
        access: &A,
        address: Address,
        at: u64,
    ) -> Result<(), AssignError> {
        let bar = |error| AssignError::Bar { address, error };
        let flags = Registers::read(access, address).and_then(|registers| registers.value(self.index)).map_err(bar)?;
        let take = |index, written| {
            let offset = register(index);
            access.write32(address, offset, written);
            let found = access.read32(address, offset);
            if found == written { Ok(()) } else { Err(AssignError::NotTaken { address, offset, written, found }) }
        };
        take(self.index, at as u32 | flags)?;
        match self.width {
            Width::Bits32 => Ok(()),
            Width::Bits64 => take(self.index.saturating_add(1), (at >> 32) as u32),
        }
    }
}

/// Room for a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// Bytes; 0 if nothing needs one.
    pub(super) size: u64,
    /// The largest BAR.
    pub(super) largest: u64,
}

impl<A: ConfigAccess + ?Sized> Survey<'_, Undoable<'_, A>> {
    /// Of a bridge; whatever that takes is undone at once.
    pub(super) fn prefetchable_width(&self, address: Address) -> Option<Width> {
        Bridge::at(self.access.inner(), address)?.prefetchable_width()
    }

    /// What is unassigned behind the bridge at `level` and belongs in this window of it: of the target and the bridges on the way to it
    /// alone, or of everything.
    pub(super) fn need(
        &self,
        level: usize,
        bridge: &Bridge<'_, Undoable<'_, A>>,
        kind: Kind,
        only_target: bool,
    ) -> Need {
        let numbers = bridge.numbers();
        let inner = self.path.get(level.saturating_add(1)..).unwrap_or_default();
        let width = self.prefetchable_reach(level);
        let mut need = Need { size: 0, largest: 0 };
        for address in &self.functions {
            let own = *address == self.target || inner.contains(address);
            if only_target && !own || !(numbers.secondary..=numbers.subordinate).contains(&address.bus()) {
                continue;
            }
            for bar in Unassigned::of(self.access.inner(), *address).unwrap_or_default() {
                let prefetched = bar.may_be_prefetched() && self.prefetchable_to(*address, numbers, width);
                if prefetched != (kind == Kind::Prefetchable) {
                    continue;
                }
                // Windows of bridges further in consist of whole granules.
                let least = if address.bus() == numbers.secondary { PAGE } else { GRANULE };
                need.size = need.size.saturating_add(bar.size.max(least));
                need.largest = need.largest.max(bar.size);
            }
        }
        need
    }

    /// Where the prefetchable window of the bridge at `level` can be, if it has one: inside of those of the bridges before it.
    fn prefetchable_reach(&self, level: usize) -> Option<Width> {
        let own = self.prefetchable_width(*self.path.get(level)?)?;
        let outer = self.path.get(..level).unwrap_or_default();
        let wide = |bridge: &Address| self.prefetchable_width(*bridge) == Some(Width::Bits64);
        Some(if outer.iter().all(wide) { own } else { Width::Bits32 })
    }

    /// Whether all bridges from one with these numbers and this reach to a function have such a window: each is inside the one before,
    /// and so is a narrow one in the memory window if that one is not.
    fn prefetchable_to(&self, function: Address, outer: BusNumbers, width: Option<Width>) -> bool {
        let within = |numbers: BusNumbers, bus| (numbers.secondary..=numbers.subordinate).contains(&bus);
        let on_the_way = |address: &&Address| {
            let bridge = Bridge::at(self.access, **address).filter(|_| within(outer, address.bus()));
            bridge.is_some_and(|bridge| within(bridge.numbers(), function.bus()))
        };
        let as_wide = |address: &Address| match self.prefetchable_width(*address) {
            Some(Width::Bits64) => true,
            found => found == width,
        };
        width.is_some() && self.functions.iter().filter(on_the_way).all(as_wide)
    }
}
