//! BARs 0 to 3 as both of ACRN's devices keep them: what is written is an address, unless it is exactly all ones.

use core::ops::Range;

/// The registers of BAR0 and BAR1 (32 bits) and BAR2 (64 bits).
#[derive(Clone, Debug)]
pub(super) struct Bars([Register; 4]);

#[derive(Clone, Copy, Debug)]
struct Register {
    /// The address bits.
    mask: u32,
    flags: u32,
    value: u32,
    /// All ones were written: the BAR is nowhere until an address is.
    sizing: bool,
}

impl Bars {
    /// `lengths` of BARs 0 to 2, at `addresses`; `flags` are BAR2's.
    pub(super) fn new(lengths: [u32; 3], addresses: [u64; 3], flags: u32) -> Self {
        let register = |length: u32, flags, address: u32| {
            let mask = length.wrapping_neg();
            Register { mask, flags, value: address & mask | flags, sizing: false }
        };
        let [bar0, bar1, bar2] = addresses;
        let high = Register { mask: u32::MAX, flags: 0, value: (bar2 >> 32) as u32, sizing: false };
        Self([
            register(lengths[0], 0, bar0 as u32),
            register(lengths[1], 0, bar1 as u32),
            register(lengths[2], flags, bar2 as u32),
            high,
        ])
    }

    /// The register at this offset of configuration space, if it is one of them.
    pub(super) fn index(offset: u16) -> Option<usize> {
        (0x10..0x20).contains(&offset).then(|| usize::from(offset - 0x10) / 4)
    }

    pub(super) fn read(&self, index: usize) -> u32 {
        self.0[index].value
    }

    pub(super) fn write(&mut self, index: usize, value: u32) {
        let register = &mut self.0[index];
        register.sizing = value == u32::MAX;
        register.value = value & register.mask | register.flags;
    }

    /// Where a BAR is, unless it is being sized or was never given an address.
    pub(super) fn range(&self, index: u8) -> Option<Range<u64>> {
        let low = self.0[usize::from(index)];
        let high = if index == 2 { self.0[3] } else { Register { value: 0, sizing: false, ..low } };
        let address = u64::from(high.value) << 32 | u64::from(low.value & low.mask);
        let length = u64::from(low.mask.wrapping_neg());
        (!low.sizing && !high.sizing && address != 0).then(|| address..address + length)
    }
}
