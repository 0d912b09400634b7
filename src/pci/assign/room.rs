//! Where nothing is.

use super::Undoable;
use super::survey::{MOST_FUNCTIONS, Survey};
use crate::pci::bar::{FLAGS, Registers};
use crate::pci::{Address, Bar, Bridge, ConfigAccess, Width, Window, size_bar};

/// The expansion ROM's address, in a header of type 0 and 1 (PCI 3.0, section 6.2.5.2).
const ROMS: [u16; 2] = [0x30, 0x38];
const ROM_ADDRESS: u32 = 0xFFFF_F800;
const LARGEST_ROM: u64 = 16 << 20;

/// Six BARs, or two and two windows, and a ROM of each function: each is met at its beginning and at its end. What then is still in
/// the way is somewhere else whenever it is read.
const MOST_TRIES: usize = MOST_FUNCTIONS * 7 * 2;

impl<A: ConfigAccess + ?Sized> Survey<'_, Undoable<'_, A>> {
    /// The lowest free address in the first of `spaces` that has one: `size` bytes on a multiple of `align`, on the bus at `level`.
    pub(super) fn room(&self, level: usize, spaces: &[Option<Window>], size: u64, align: u64) -> Option<u64> {
        spaces.iter().flatten().find_map(|space| self.room_in(level, *space, size, align))
    }

    fn room_in(&self, level: usize, space: Window, size: u64, align: u64) -> Option<u64> {
        // Address 0 means unassigned.
        let mut base = space.base.max(1).checked_next_multiple_of(align)?;
        for _ in 0..MOST_TRIES {
            let place = Window { base, limit: base.checked_add(size.checked_sub(1)?)? };
            if !space.contains(place) {
                return None;
            }
            match self.in_the_way(level, place) {
                None => return Some(base),
                // Behind it, which is further on at least by `align`.
                Some(last) => base = last.max(base).checked_add(1)?.checked_next_multiple_of(align)?,
            }
        }
        None
    }

    /// The last address, as far as is known, of something that has addresses in `place`.
    fn in_the_way(&self, level: usize, place: Window) -> Option<u64> {
        self.functions
            .iter()
            .find_map(|address| self.bars_in(*address, place).or(self.windows_in(level, *address, place)))
    }

    fn bars_in(&self, address: Address, place: Window) -> Option<u64> {
        let registers = Registers::read(self.access, address).ok()?;
        let bars = registers.starts().filter_map(|index| registers.decode(index).ok());
        bars.filter(|bar| bar.address != 0).find_map(|bar| self.bar_in(address, bar, place))
    }

    fn bar_in(&self, address: Address, bar: Bar, place: Window) -> Option<u64> {
        // A BAR is on a multiple of its size.
        let most = bar.address & bar.address.wrapping_neg();
        let end = |size: u64| bar.address.saturating_add(size.wrapping_sub(1)).min(bar.width.last_address());
        if !place.overlaps(Window { base: bar.address, limit: end(most) }) {
            return None;
        }
        if place.base <= bar.address {
            // It begins in the place, wherever it ends.
            return Some(bar.address);
        }
        let limit = end(size_bar(self.access.inner(), address, bar.index).unwrap_or(most));
        (place.base <= limit).then_some(limit)
    }

    /// Windows of bridges, but for those that the place is behind, and expansion ROMs.
    fn windows_in(&self, level: usize, address: Address, place: Window) -> Option<u64> {
        let outer = self.path.get(..level).unwrap_or_default();
        let bridge = Bridge::at(self.access, address);
        let windows = match &bridge {
            Some(bridge) if !outer.contains(&address) => [bridge.memory(), bridge.prefetchable()],
            _ => [None, None],
        };
        let rom = self.rom(address, bridge.is_some());
        windows.into_iter().chain([rom]).flatten().find(|window| window.overlaps(place)).map(|window| window.limit)
    }

    fn rom(&self, address: Address, bridge: bool) -> Option<Window> {
        let offset = ROMS.get(usize::from(bridge))?;
        let base = u64::from(self.access.read32(address, *offset) & ROM_ADDRESS);
        let most = (base & base.wrapping_neg()).min(LARGEST_ROM);
        let limit = base.checked_add(most)?.checked_sub(1)?.min(Width::Bits32.last_address());
        (base & !u64::from(FLAGS) != 0).then_some(Window { base, limit })
    }
}
