//! Bridges: the header of type 1 (PCI-to-PCI Bridge Architecture 1.2, section 3.2), its bus numbers and its memory windows.

use super::header::header_type;
use super::{Address, ConfigAccess, Width};
use core::fmt;

mod error;
pub use error::BridgeError;

/// Primary, secondary and subordinate bus number; the secondary latency timer is byte 3.
const NUMBERS: u16 = 0x18;
/// Memory Base (low half) and Memory Limit.
pub(super) const MEMORY: u16 = 0x20;
/// Prefetchable Memory Base (low half) and Limit; the low 4 bits of each say how wide they are.
pub(super) const PREFETCHABLE: u16 = 0x24;
const BASE_UPPER: u16 = 0x28;
const LIMIT_UPPER: u16 = 0x2C;

/// Windows begin and end on multiples of this.
pub(super) const GRANULE: u64 = 1 << 20;
/// A base behind its limit: nothing is forwarded (section 3.2.5.8).
const CLOSED: u32 = 0x0000_FFF0;
/// What is not address in a half of a window register.
const TYPE: u32 = 0xF;
const TYPE_64: u32 = 1;

/// Physical addresses from `base` to `limit`, the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window {
    /// The first address.
    pub base: u64,
    /// The last address.
    pub limit: u64,
}

impl Window {
    /// Whether every address of `other` is in this one.
    pub const fn contains(self, other: Self) -> bool {
        self.base <= other.base && other.base <= other.limit && other.limit <= self.limit
    }

    /// Whether an address is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.base <= other.limit && other.base <= self.limit
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.base, self.limit)
    }
}

/// Which buses are on the two sides of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BusNumbers {
    /// The bus that the bridge is on.
    pub primary: u8,
    /// The bus right behind it; 0 is not numbered.
    pub secondary: u8,
    /// The highest bus behind it.
    pub subordinate: u8,
}

/// The registers of a PCI-to-PCI bridge: also of a PCI Express root port and of either end of a switch.
///
/// Nothing is written but by the methods that say so. None of them touches Command: whoever programs a bridge that forwards already
/// programs what nobody uses yet.
#[derive(Debug)]
pub struct Bridge<'a, A: ?Sized> {
    access: &'a A,
    address: Address,
}

impl<'a, A: ConfigAccess + ?Sized> Bridge<'a, A> {
    /// The bridge at `address`: one configuration read. `None` if the header there is not of type 1.
    pub fn at(access: &'a A, address: Address) -> Option<Self> {
        (header_type(access, address).0 == 1).then_some(Self { access, address })
    }

    /// Where it sits.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Its bus numbers: one read.
    pub fn numbers(&self) -> BusNumbers {
        let [primary, secondary, subordinate, _] = self.read(NUMBERS).to_le_bytes();
        BusNumbers { primary, secondary, subordinate }
    }

    /// Numbers the buses: one write, between two reads. The secondary latency timer stays.
    pub fn set_numbers(&self, numbers: BusNumbers) -> Result<(), BridgeError> {
        let BusNumbers { primary, secondary, subordinate } = numbers;
        let [_, _, _, timer] = self.read(NUMBERS).to_le_bytes();
        self.write(NUMBERS, u32::from_le_bytes([primary, secondary, subordinate, timer]))
    }

    /// The memory window, below 4 GiB: one read. `None` if it is closed, or at address 0, where some bridges have it at reset.
    pub fn memory(&self) -> Option<Window> {
        let (base, limit) = ends(self.read(MEMORY));
        open(base, limit)
    }

    /// The prefetchable window: one read, or three if its registers have 64 bits. `None` as of [`memory`](Self::memory), and if the
    /// bridge has no such window.
    pub fn prefetchable(&self) -> Option<Window> {
        let value = self.read(PREFETCHABLE);
        let (base, limit) = ends(value);
        if value & TYPE != TYPE_64 {
            return open(base, limit);
        }
        let upper = |offset| u64::from(self.read(offset)) << 32;
        open(upper(BASE_UPPER) | base, upper(LIMIT_UPPER) | limit)
    }

    /// How wide the registers of the prefetchable window are; `None` if the bridge has none, which registers of zeros only show
    /// when they are written. So this closes a window at address 0 for a moment, and opens it again: at most 3 reads and 2 writes.
    pub fn prefetchable_width(&self) -> Option<Width> {
        let mut value = self.read(PREFETCHABLE);
        if value == 0 {
            self.access.write32(self.address, PREFETCHABLE, CLOSED);
            value = self.read(PREFETCHABLE);
            self.access.write32(self.address, PREFETCHABLE, 0);
        }
        match value & TYPE {
            _ if value == 0 || value == u32::MAX => None,
            0 => Some(Width::Bits32),
            TYPE_64 => Some(Width::Bits64),
            _ => None,
        }
    }

    /// Opens the memory window, base and limit with one write, and reads it again.
    pub fn set_memory(&self, window: Window) -> Result<(), BridgeError> {
        self.write(MEMORY, halves(window, Width::Bits32)?)?;
        check(window, self.memory())
    }

    /// Opens the prefetchable window: at most 4 writes, of which the last one opens it, and reads it again.
    pub fn set_prefetchable(&self, window: Window) -> Result<(), BridgeError> {
        match self.prefetchable_width() {
            None => return Err(BridgeError::NoPrefetchable),
            Some(Width::Bits32) => {
                let value = halves(window, Width::Bits32)?;
                self.access.write32(self.address, PREFETCHABLE, value);
            }
            Some(Width::Bits64) => {
                let value = halves(window, Width::Bits64)?;
                // No limit is behind this base, so whatever is written in between, nothing is forwarded.
                self.write(BASE_UPPER, u32::MAX)?;
                self.write(LIMIT_UPPER, (window.limit >> 32) as u32)?;
                self.access.write32(self.address, PREFETCHABLE, value);
                self.write(BASE_UPPER, (window.base >> 32) as u32)?;
            }
        }
        check(window, self.prefetchable())
    }

    /// Closes what [`memory`](Self::memory) and [`prefetchable`](Self::prefetchable) take for closed, but is open at address 0: at most
    /// 3 reads and 2 writes.
    pub(super) fn close_at_0(&self) {
        for offset in [MEMORY, PREFETCHABLE] {
            let value = self.read(offset);
            let wide = offset == PREFETCHABLE && value & TYPE == TYPE_64;
            if ends(value).0 == 0 && !(wide && self.read(BASE_UPPER) != 0) {
                self.access.write32(self.address, offset, CLOSED);
            }
        }
    }

    fn read(&self, offset: u16) -> u32 {
        self.access.read32(self.address, offset)
    }

    fn write(&self, offset: u16, written: u32) -> Result<(), BridgeError> {
        self.access.write32(self.address, offset, written);
        let found = self.read(offset);
        if found == written { Ok(()) } else { Err(BridgeError::NotTaken { offset, written, found }) }
    }
}

/// Lower 32 bits of base and limit; a limit's lowest 20 bits are ones.
fn ends(value: u32) -> (u64, u64) {
    (u64::from(value & 0xFFF0) << 16, u64::from(value & 0xFFF0_0000) | (GRANULE.wrapping_sub(1)))
}

fn open(base: u64, limit: u64) -> Option<Window> {
    (base != 0 && base <= limit).then_some(Window { base, limit })
}

/// The lower register of a window.
fn halves(window: Window, width: Width) -> Result<u32, BridgeError> {
    let Window { base, limit } = window;
    let whole = base.is_multiple_of(GRANULE) && limit & GRANULE.wrapping_sub(1) == GRANULE.wrapping_sub(1);
    if base == 0 || base > limit || limit > width.last_address() || !whole {
        return Err(BridgeError::Unfit(window));
    }
    Ok((base >> 16) as u32 & 0xFFF0 | limit as u32 & 0xFFF0_0000)
}

fn check(written: Window, found: Option<Window>) -> Result<(), BridgeError> {
    if found == Some(written) { Ok(()) } else { Err(BridgeError::WindowNotTaken { written, found }) }
}

#[cfg(test)]
mod tests;
