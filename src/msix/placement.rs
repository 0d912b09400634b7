//! Where the table and the pending bits lie in physical memory, once it is sure that they lie inside their BARs.
//!
//! Only BAR2 is ever sized: sizing BAR0 loses the local id on ACRN up to v3.2, and moves mappings on all. So how long
//! another BAR is has to follow from what is known without it. A memory BAR is aligned to its size (PCI 3.0, 6.2.5.1),
//! so it is at most as long as its address is aligned. A structure that ends within that bound is inside the BAR if
//! the device is sane at all, one that ends beyond it cannot be. That, and that the structures lie neither
//! on each other, on the registers, nor on another BAR, is what is checked.

use super::{Capability, Location, MsixError};
use core::ops::Range;

/// Bytes of a table of `vectors` entries.
pub(super) const fn table_bytes(vectors: u16) -> u64 {
    (vectors as u64).saturating_mul(16)
}

/// Bytes of the pending bits of `vectors` entries.
pub(super) const fn pending_bytes(vectors: u16) -> u64 {
    (vectors.div_ceil(64) as u64).saturating_mul(8)
}

/// A memory BAR: where it starts, and how long it is at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BarExtent {
    /// Physical address of its first byte.
    pub address: u64,
    /// The most bytes it can have: its size where that is known, else the alignment of its address.
    pub limit: u64,
    /// Bytes at its start that are something else: the registers of BAR0, the inter-VM memory of BAR2.
    pub taken: u64,
}

impl BarExtent {
    /// A BAR whose size is known, and all of it taken.
    pub const fn sized(address: u64, size: u64) -> Self {
        Self { address, limit: size, taken: size }
    }

    /// A BAR of which only the address is known. A 32-bit BAR's `end` is 4 GiB.
    pub const fn derived(address: u64, end: u64) -> Self {
        // The lowest set bit is the alignment.
        let alignment = address & address.wrapping_neg();
        let room = end.saturating_sub(address);
        Self { address, limit: if alignment < room { alignment } else { room }, taken: 0 }
    }
}

/// Where the MSI-X structures lie in physical memory, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Placement {
    /// Byte offset of the capability in configuration space.
    pub capability: u16,
    /// Vectors, 1 to 2048.
    pub vectors: u16,
    /// Physical address of the table.
    pub table: u64,
    /// Physical address of the pending bits.
    pub pending: u64,
}

impl Placement {
    /// Checks a capability against the function's BARs; `None` is a BAR that no structure can lie in.
    pub fn check(capability: &Capability, bars: &[Option<BarExtent>; 6]) -> Result<Self, MsixError> {
        let Capability { offset, vectors, table, pending } = *capability;
        let table_at = place(table, capability.table_bytes(), bars)?;
        let pending_at = place(pending, capability.pending_bytes(), bars)?;
        if overlap(&table_at, &pending_at) {
            return Err(MsixError::Overlap { bar: table.bar, table: table.offset, pending: pending.offset });
        }
        Ok(Self { capability: offset, vectors, table: table_at.start, pending: pending_at.start })
    }
}

/// The physical range of a structure, if it lies inside its BAR and on nothing else.
fn place(location: Location, bytes: u64, bars: &[Option<BarExtent>; 6]) -> Result<Range<u64>, MsixError> {
    let Location { bar, offset } = location;
    let found = bars.get(usize::from(bar)).ok_or(MsixError::ReservedBar { bar })?;
    let extent = found.ok_or(MsixError::NoBar { bar })?;
    let beyond = |end| MsixError::BeyondBar { bar, end, limit: extent.limit };
    let end = u64::from(offset).checked_add(bytes).ok_or(beyond(u64::MAX))?;
    if end > extent.limit {
        return Err(beyond(end));
    }
    let start = extent.address.checked_add(offset.into()).ok_or(beyond(end))?;
    let range = start..start.checked_add(bytes).ok_or(beyond(end))?;
    for (other, extent) in (0u8..).zip(bars) {
        let Some(extent) = extent else { continue };
        // Of its own BAR a structure may have what is not taken; of another nothing that is known to belong to it.
        if overlap(&range, &(extent.address..extent.address.saturating_add(extent.taken))) {
            return Err(MsixError::OverlapsBar { bar, other });
        }
    }
    Ok(range)
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BAR1: u64 = 0xFEBF_2000;

    fn bars() -> [Option<BarExtent>; 6] {
        [
            Some(BarExtent { address: 0xFEBF_1000, limit: 256, taken: 16 }),
            Some(BarExtent::derived(BAR1, 1 << 32)),
            Some(BarExtent::sized(0xE0_0000_0000, 1 << 20)),
            None,
            None,
            None,
        ]
    }

    fn capability(vectors: u16, table: (u8, u32), pending: (u8, u32)) -> Capability {
        let location = |(bar, offset)| Location { bar, offset };
        Capability { offset: 0x40, vectors, table: location(table), pending: location(pending) }
    }

    #[test]
    fn an_unsized_bar_is_at_most_as_long_as_its_address_is_aligned() {
        assert_eq!(BarExtent::derived(0xFEBF_2000, 1 << 32).limit, 0x2000);
        assert_eq!(BarExtent::derived(0xFEC0_0000, 1 << 32).limit, 0x40_0000);
        assert_eq!(BarExtent::derived(0x8000_0000, 1 << 32).limit, 0x8000_0000);
        assert_eq!(BarExtent::derived(0xC000_0000, 1 << 32).limit, 0x4000_0000);
    }

    #[test]
    fn what_qemu_and_acrn_have_is_accepted() {
        let qemu = |vectors, pending| Placement::check(&capability(vectors, (1, 0), (1, pending)), &bars());
        let placed = |vectors, pending| {
            Ok(Placement { capability: 0x40, vectors, table: BAR1, pending: BAR1 + u64::from(pending) })
        };
        for (vectors, pending) in [(1, 0x800), (8, 0x800), (128, 0x800), (129, 0x810), (256, 0x1000)] {
            assert_eq!(qemu(vectors, pending), placed(vectors, pending), "{vectors}");
        }
    }

    #[test]
    fn all_2048_vectors_fit_a_bar_of_64_kib() {
        let mut bars = bars();
        bars[1] = Some(BarExtent::derived(0xFEB0_0000, 1 << 32));
        let placement = Placement::check(&capability(2048, (1, 0), (1, 0x8000)), &bars).unwrap();
        assert_eq!((placement.table, placement.pending), (0xFEB0_0000, 0xFEB0_8000));
    }

    #[test]
    fn past_the_end_is_refused() {
        // BAR1 at 0xFEBF_2000 has at most 8 KiB: 512 vectors fill it.
        let past = Placement::check(&capability(512, (1, 0), (1, 0x2000)), &bars());
        assert_eq!(past, Err(MsixError::BeyondBar { bar: 1, end: 0x2040, limit: 0x2000 }));
        let past = Placement::check(&capability(513, (1, 0), (1, 0x800)), &bars());
        assert_eq!(past, Err(MsixError::BeyondBar { bar: 1, end: 0x2010, limit: 0x2000 }));
        let past = Placement::check(&capability(1, (1, 0xFFFF_FFF8), (1, 0x800)), &bars());
        assert_eq!(past, Err(MsixError::BeyondBar { bar: 1, end: 0x1_0000_0008, limit: 0x2000 }));
    }

    #[test]
    fn a_reserved_indicator_is_refused() {
        for bar in [6, 7] {
            let refused = Err(MsixError::ReservedBar { bar });
            assert_eq!(Placement::check(&capability(1, (bar, 0), (1, 0x800)), &bars()), refused);
            assert_eq!(Placement::check(&capability(1, (1, 0), (bar, 0x800)), &bars()), refused);
        }
    }

    #[test]
    fn an_absent_bar_is_refused() {
        for bar in [3, 4, 5] {
            let refused = Err(MsixError::NoBar { bar });
            assert_eq!(Placement::check(&capability(1, (bar, 0), (1, 0x800)), &bars()), refused);
        }
    }

    #[test]
    fn table_and_pending_bits_must_not_overlap() {
        let refused = Err(MsixError::Overlap { bar: 1, table: 0x100, pending: 0x108 });
        assert_eq!(Placement::check(&capability(1, (1, 0x100), (1, 0x108)), &bars()), refused);
        assert!(Placement::check(&capability(1, (1, 0x100), (1, 0x110)), &bars()).is_ok());
        assert!(Placement::check(&capability(1, (1, 0x100), (1, 0xF8)), &bars()).is_ok());
    }

    #[test]
    fn registers_and_memory_are_not_lain_on() {
        let refused = Err(MsixError::OverlapsBar { bar: 0, other: 0 });
        assert_eq!(Placement::check(&capability(1, (0, 8), (1, 0x800)), &bars()), refused);
        assert!(Placement::check(&capability(1, (0, 16), (1, 0x800)), &bars()).is_ok());
        let beyond = Err(MsixError::BeyondBar { bar: 0, end: 0x110, limit: 0x100 });
        assert_eq!(Placement::check(&capability(1, (0, 0x100), (1, 0x800)), &bars()), beyond);
        let refused = Err(MsixError::OverlapsBar { bar: 2, other: 2 });
        assert_eq!(Placement::check(&capability(1, (2, 0), (1, 0x800)), &bars()), refused);
        // BAR1 so aligned that it could reach up to BAR0, which lies in it.
        let mut bars = bars();
        bars[1] = Some(BarExtent::derived(0xFEBF_0000, 1 << 32));
        let refused = Err(MsixError::OverlapsBar { bar: 1, other: 0 });
        assert_eq!(Placement::check(&capability(512, (1, 0), (1, 0x4000)), &bars), refused);
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_lies_inside_its_bar_and_on_nothing_else(
            vectors in 1u16..=2048,
            table in (0u8..8, prop_oneof![0u32..0x4000, any::<u32>()]),
            pending in (0u8..8, prop_oneof![0u32..0x4000, any::<u32>()]),
            addresses in prop::array::uniform6(prop::option::of((1u64..1 << 20).prop_map(|page| page << 12))),
        ) {
            let mut bars = addresses.map(|address| address.map(|a| BarExtent::derived(a, 1 << 32)));
            if let Some(bar0) = &mut bars[0] {
                *bar0 = BarExtent { limit: 256, taken: 16, ..*bar0 };
            }
            let capability = capability(vectors, (table.0, table.1 & !7), (pending.0, pending.1 & !7));
            if let Ok(placement) = Placement::check(&capability, &bars) {
                let ranges = [
                    (capability.table, placement.table, 16 * u64::from(vectors)),
                    (capability.pending, placement.pending, 8 * u64::from(vectors).div_ceil(64)),
                ];
                for (location, start, bytes) in ranges {
                    let bar = bars[usize::from(location.bar)].unwrap();
                    prop_assert_eq!(start, bar.address + u64::from(location.offset));
                    prop_assert!(start + bytes <= bar.address + bar.limit);
                    if let Some(bar0) = bars[0] {
                        prop_assert!(start >= bar0.address + 16 || start + bytes <= bar0.address);
                    }
                }
                let [(_, table, length), (_, pending, bits)] = ranges;
                prop_assert!(table + length <= pending || pending + bits <= table);
            }
        }
    }
}
