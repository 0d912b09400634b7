//! PCI-to-PCI bridges: the header of type 1 (PCI-to-PCI Bridge Architecture 1.2, section 3.2).

use super::Function;

const MEMORY: u16 = 0x20;
const PREFETCHABLE: u16 = 0x24;
const ADDRESS: u32 = 0xFFF0_FFF0;
/// The base behind the limit, as QEMU's root ports have it at reset.
const CLOSED: u32 = 0x0000_FFF0;
/// Both halves are 64 bits wide.
const WIDE: u32 = 0x0001_0001;

impl Function {
    /// A bridge to PCI, between these buses. Both of its windows are closed; the prefetchable one has 64 bits.
    #[must_use]
    pub fn bridge(self, primary: u8, secondary: u8, subordinate: u8) -> Self {
        self.class(0x06_0400, 0)
            .header_type(1)
            .register(0x18, u32::from_le_bytes([primary, secondary, subordinate, 0]), 0x00FF_FFFF)
            .register(MEMORY, CLOSED, ADDRESS)
            .register(PREFETCHABLE, CLOSED | WIDE, ADDRESS)
            .register(0x28, 0, u32::MAX)
            .register(0x2C, 0, u32::MAX)
    }

    /// With this memory window, whose lowest 20 bits are taken as zeros and ones.
    #[must_use]
    pub fn memory_window(self, base: u32, limit: u32) -> Self {
        self.register(MEMORY, base >> 16 & 0xFFF0 | limit & 0xFFF0_0000, ADDRESS)
    }

    /// With this prefetchable window, as [`memory_window`](Self::memory_window).
    #[must_use]
    pub fn prefetchable_window(self, base: u64, limit: u64) -> Self {
        let (low, high) = (|address: u64| address as u32, |address: u64| (address >> 32) as u32);
        self.register(PREFETCHABLE, low(base) >> 16 & 0xFFF0 | low(limit) & 0xFFF0_0000 | WIDE, ADDRESS)
            .register(0x28, high(base), u32::MAX)
            .register(0x2C, high(limit), u32::MAX)
    }

    /// With a prefetchable window that has 32 bits, at 0 as it may be at reset.
    #[must_use]
    pub fn narrow_prefetchable_window(self) -> Self {
        self.register(PREFETCHABLE, 0, ADDRESS).register(0x28, 0, 0).register(0x2C, 0, 0)
    }

    /// Without a prefetchable window: its registers are zeros that cannot be written.
    #[must_use]
    pub fn no_prefetchable_window(self) -> Self {
        self.register(PREFETCHABLE, 0, 0).register(0x28, 0, 0).register(0x2C, 0, 0)
    }
}
