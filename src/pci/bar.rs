//! Base address registers: where a function's memory is, and how much of it (PCI 3.0, section 6.2.5.1).

use super::header::header_type;
use super::{Address, ConfigAccess};

mod error;
mod size;

pub use error::BarError;
pub use size::size_bar;

/// The first base address register; they follow each other.
const FIRST: u16 = 0x10;
/// Registers in a header of type 0; type 1 has two.
const MOST: usize = 6;

const IO: u32 = 1 << 0;
const TYPE: u32 = 0b11 << 1;
const TYPE_32: u32 = 0b00 << 1;
const TYPE_64: u32 = 0b10 << 1;
const PREFETCHABLE: u32 = 1 << 3;
/// What is not address in a memory register.
pub(super) const FLAGS: u32 = 0xF;

/// A memory base address register, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Bar {
    /// Its number, 0 to 5; a 64-bit one also takes up the next.
    pub index: u8,
    /// Physical address; 0 is not assigned.
    pub address: u64,
    /// How many address bits it has.
    pub width: Width,
    /// Whether reading has no side effects.
    pub prefetchable: bool,
}

/// The address bits of a memory base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Width {
    /// Anywhere below 4 GiB.
    Bits32,
    /// Anywhere.
    Bits64,
}

impl Width {
    /// The last address such a register can hold.
    pub(super) const fn last_address(self) -> u64 {
        match self {
            Self::Bits32 => 0xFFFF_FFFF,
            Self::Bits64 => u64::MAX,
        }
    }
}

/// Decodes base address register `index` of the function at `address`: at most 7 configuration reads, no write.
///
/// What is not an assigned memory BAR is an error. A register of 32 zero bits is [`BarError::Unassigned`] whether or
/// not there is a BAR behind it: only sizing can tell. Two BARs at the same address are [`BarError::Overlap`]; whether they overlap
/// otherwise depends on their sizes: see [`size_bar`] and [`BarRange::disjoint`].
pub fn bar<A: ConfigAccess + ?Sized>(access: &A, address: Address, index: u8) -> Result<Bar, BarError> {
    let registers = Registers::read(access, address)?;
    let bar = registers.decode(index)?;
    if bar.address == 0 {
        return Err(BarError::Unassigned { index, value: registers.value(index)? });
    }
    registers.check_others(BarRange { index, address: bar.address, size: 1 })?;
    Ok(bar)
}

/// Physical memory behind a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BarRange {
    /// The BAR's number.
    pub index: u8,
    /// Physical address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

impl BarRange {
    /// `Ok` if no byte belongs to both ranges; [`BarError::Overlap`] otherwise.
    ///
    /// For BARs whose size is known without sizing them.
    pub const fn disjoint(self, other: Self) -> Result<(), BarError> {
        // Differences instead of ends, which could wrap: what begins later begins behind the other's last byte.
        let overlap = if self.address <= other.address {
            other.address.wrapping_sub(self.address) < self.size && other.size > 0
        } else {
            self.address.wrapping_sub(other.address) < other.size && self.size > 0
        };
        if overlap {
            return Err(BarError::Overlap {
                index: self.index,
                address: self.address,
                size: self.size,
                other: other.index,
                other_address: other.address,
            });
        }
        Ok(())
    }
}

/// A private copy of a function's base address registers, each read once.
#[derive(Debug)]
pub(super) struct Registers {
    values: heapless::Vec<u32, MOST>,
}

impl Registers {
    pub(super) fn read<A: ConfigAccess + ?Sized>(access: &A, address: Address) -> Result<Self, BarError> {
        let count = match header_type(access, address) {
            (0, _) => 6,
            (1, _) => 2,
            (0x7F, true) => return Err(BarError::NoFunction),
            (layout, _) => return Err(BarError::HeaderType(layout)),
        };
        let values = (0..count).map(|index| access.read32(address, register(index))).collect();
        Ok(Self { values })
    }

    pub(super) fn value(&self, index: u8) -> Result<u32, BarError> {
        let count = self.values.len().try_into().unwrap_or(u8::MAX);
        self.values.get(usize::from(index)).copied().ok_or(BarError::Index { index, count })
    }

    /// Decodes register `index`, which may be unassigned.
    pub(super) fn decode(&self, index: u8) -> Result<Bar, BarError> {
        let value = self.value(index)?;
        if !self.starts().any(|start| start == index) {
            return Err(BarError::UpperHalf { index });
        }
        if value & IO != 0 {
            return Err(BarError::Io { index, value });
        }
        let low = u64::from(value & !FLAGS);
        let (address, width) = match value & TYPE {
            TYPE_32 => (low, Width::Bits32),
            TYPE_64 => {
                let high = self.value(index.saturating_add(1)).map_err(|_| BarError::NoUpperHalf { index, value })?;
                (u64::from(high) << 32 | low, Width::Bits64)
            }
            _ => return Err(BarError::ReservedType { index, value }),
        };
        Ok(Bar { index, address, width, prefetchable: value & PREFETCHABLE != 0 })
    }

    /// The numbers of the registers that are not upper halves.
    pub(super) fn starts(&self) -> impl Iterator<Item = u8> {
        let mut upper_half = false;
        (0_u8..).zip(&self.values).filter_map(move |(index, value)| {
            let start = !upper_half;
            upper_half = start && value & (IO | TYPE) == TYPE_64;
            start.then_some(index)
        })
    }

    /// [`BarError::Overlap`] if another memory BAR of this function begins inside `range`, which does not begin at 0, where
    /// those that are not assigned seem to be.
    fn check_others(&self, range: BarRange) -> Result<(), BarError> {
        self.starts()
            .filter(|start| *start != range.index)
            .filter_map(|start| self.decode(start).ok())
            .try_for_each(|other| range.disjoint(BarRange { index: other.index, address: other.address, size: 1 }))
    }
}

/// The offset of register `index`, 0 to 5.
pub(super) fn register(index: u8) -> u16 {
    FIRST.saturating_add(u16::from(index).saturating_mul(4))
}

#[cfg(test)]
mod tests;
