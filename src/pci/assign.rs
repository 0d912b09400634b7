//! Places for BARs that have none, because no firmware ran (microvm, qboot), or the device was plugged in after it had.
//!
//! Nothing in this crate calls [`assign`]: whoever opens a device and is told [`BarError::Unassigned`](super::BarError) may, if nobody else
//! manages the bus. A device that the hypervisor assigned has nothing unassigned, and is left alone by it.
//!
//! ```
//! use ivshmem::fake::config::{ConfigSpace, Function};
//! use ivshmem::pci::{self, Window, Windows};
//!
//! let address = "00:04.0".parse().unwrap();
//! let space = ConfigSpace::new().with(address, Function::ivshmem_plain(1 << 30));
//! // What QEMU's microvm forwards to PCI.
//! let windows = Windows {
//!     mem32: Some(Window { base: 0xC000_0000, limit: 0xDFFF_FFFF }),
//!     mem64: Some(Window { base: 0xC0_0000_0000, limit: 0xFF_FFFF_FFFF }),
//! };
//! let assigned = pci::assign(&space, address, &windows).unwrap();
//! assert_eq!((assigned.bars().len(), assigned.bars()[0].address), (2, 0xC0_0000_0000));
//! assert_eq!(pci::bar(&space, address, 0).unwrap().address, 0xC000_0000);
//! ```

use super::bridge::GRANULE;
use super::{Address, BarRange, Bridge, Command, ConfigAccess, Header, Width, Window};
use crate::log::log;

mod error;
mod need;
mod number;
mod room;
mod roots;
mod survey;
mod undo;

pub use error::AssignError;
pub use number::number_buses;
pub use roots::root_buses;

use need::{Need, Unassigned};
use survey::Survey;
use undo::Undoable;

/// The addresses that the machine forwards to PCI, and that nothing else of it uses: ACPI `_CRS` of the host bridge, or the
/// hypervisor's documentation. On a root bus whatever is not PCI's own (interrupt controllers, ECAM) is known to the caller only.
///
/// The default is none: then only windows that bridges have already are used, as for a device that was plugged into a slot for
/// which firmware reserved some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Windows {
    /// Addresses below 4 GiB: for BARs of 32 bits, and for what is behind a bridge and not prefetchable.
    pub mem32: Option<Window>,
    /// Addresses anywhere: for BARs of 64 bits, before `mem32` is.
    pub mem64: Option<Window>,
}

/// What [`assign`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    bars: heapless::Vec<BarRange, 6>,
    windows: u8,
}

impl Assigned {
    /// The BARs that it placed, largest first; those of the function only.
    pub fn bars(&self) -> &[BarRange] {
        &self.bars
    }

    /// How many windows of bridges it opened.
    pub fn windows(&self) -> u8 {
        self.windows
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Assigned {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Assigned {{ bars: {=[?]}, windows: {=u8} }}", self.bars.as_slice(), self.windows);
    }
}

/// Places the unassigned memory BARs of the function at `address`, and opens the way to them.
///
/// - Whatever has an address keeps it: BARs, expansion ROMs and bridges' windows, of every function within reach.
/// - Largest first, each on a multiple of its size and in pages of its own, at the lowest address that no other function has.
/// - Behind a bridge, in the bridge's window: a prefetchable 64-bit BAR in the prefetchable one if there is one. A bridge on the way
///   that has no window gets one, with room for twice what is unassigned behind it, or all of it, or just for the function, whatever
///   can be had (whoever places several functions does well to begin with the largest), and gets its own BARs placed if it decodes
///   none yet. Bridges on the way are told to forward, both ways: MSI-X messages come through them. Of one that did not before, a
///   window at address 0, where some bridges have it at reset, is closed.
/// - Memory decode of the function is off while its BARs are written, and then as it was: opening the device enables it.
/// - On error everything is as it was before.
///
/// Bus numbers have to be there: see [`root_buses`] and [`number_buses`].
///
/// Unassigned BARs are sized, of this function and, for a new window, of those behind it; an assigned one of another function only if
/// its alignment leaves open whether it reaches the place looked at. So nobody may access PCI memory meanwhile. The reads are bounded
/// by the functions present: one enumeration, and for each BAR and window mostly some 30 for each function, at most 2000 for each pair
/// of them. Not for a real-time phase.
pub fn assign<A: ConfigAccess + ?Sized>(
    access: &A,
    address: Address,
    windows: &Windows,
) -> Result<Assigned, AssignError> {
    let unassigned = Unassigned::of(access, address).map_err(|error| AssignError::Bar { address, error })?;
    if unassigned.is_empty() {
        return Ok(Assigned::default());
    }
    let access = Undoable::new(access);
    let survey = Survey::new(&access, address, windows)?;
    let place = |sparing| {
        let result = Placing { survey: &survey, sparing, done: Assigned::default() }.all(&unassigned);
        result.inspect_err(|_| access.undo())
    };
    // Windows with room to spare may leave too little for what is beside and behind them.
    place(false)
        .or_else(|error| match error {
            AssignError::NoRoom { .. } | AssignError::NoWindow { .. } if !survey.path.is_empty() => place(true),
            _ => Err(error),
        })
        .inspect_err(|_error| log!(error, "{}: BARs stay unassigned: {}", address, _error))
}

/// A bridge's two windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Memory,
    Prefetchable,
}

impl Kind {
    const BOTH: [Self; 2] = [Self::Prefetchable, Self::Memory];
}

struct Placing<'s, 'a, A: ?Sized> {
    survey: &'s Survey<'s, Undoable<'a, A>>,
    /// Windows are no larger than what the function needs.
    sparing: bool,
    done: Assigned,
}

impl<A: ConfigAccess + ?Sized> Placing<'_, '_, A> {
    /// From the root bus to the function.
    fn all(mut self, unassigned: &[Unassigned]) -> Result<Assigned, AssignError> {
        let access = self.survey.access;
        let bridges = self.survey.path.clone();
        for (level, bridge) in bridges.iter().enumerate() {
            for kind in Kind::BOTH {
                self.window(level, *bridge, kind)?;
            }
            // One that decodes already is somebody else's work, whatever is missing.
            let decodes = Header::new(access, *bridge).command().contains(Command::MEMORY);
            if let (false, Ok(own)) = (decodes, Unassigned::of(access.inner(), *bridge)) {
                self.bars(level, *bridge, &own)?;
            }
        }
        self.done.bars = self.bars(bridges.len(), self.survey.target, unassigned)?;
        for bridge in &bridges {
            let header = Header::new(access, *bridge);
            let (before, wanted) = (header.command(), Command::MEMORY | Command::BUS_MASTER);
            if !before.contains(Command::MEMORY)
                && let Some(bridge) = Bridge::at(access, *bridge)
            {
                bridge.close_at_0();
            }
            if !before.contains(wanted) {
                header.set_command(before | wanted);
            }
        }
        if access.overflowed() { Err(AssignError::TooDeep { bus: self.survey.target.bus() }) } else { Ok(self.done) }
    }

    /// Opens a window of a bridge that has none, if something behind it needs one.
    fn window(&mut self, level: usize, address: Address, kind: Kind) -> Result<(), AssignError> {
        let access = self.survey.access;
        let bridge = Bridge::at(access, address).ok_or(AssignError::Gone(address))?;
        let (has, width) = match kind {
            Kind::Memory => (bridge.memory(), Some(Width::Bits32)),
            Kind::Prefetchable => (bridge.prefetchable(), self.survey.prefetchable_width(address)),
        };
        let (None, Some(width)) = (has, width) else { return Ok(()) };
        let own = self.survey.need(level, &bridge, kind, true);
        if own.size == 0 {
            return Ok(());
        }
        let prefetchable = kind == Kind::Prefetchable;
        let spaces = self.survey.spaces(level, width, prefetchable);
        let all = self.survey.need(level, &bridge, kind, false);
        let twice = if all.size > own.size { all.size.saturating_mul(2) } else { all.size };
        let needs = [Need { size: twice, ..all }, all, own];
        for need in needs.into_iter().skip(if self.sparing { 2 } else { 0 }) {
            let size = need.size.checked_next_multiple_of(GRANULE).filter(|size| *size > 0);
            let (Some(size), align) = (size, need.largest.max(GRANULE)) else { continue };
            let Some(base) = self.survey.room(level, &spaces, size, align) else { continue };
            let window = Window { base, limit: base.saturating_add(size.wrapping_sub(1)) };
            match kind {
                Kind::Memory => bridge.set_memory(window),
                Kind::Prefetchable => bridge.set_prefetchable(window),
            }
            .map_err(|error| AssignError::Bridge { address, error })?;
            self.done.windows = self.done.windows.saturating_add(1);
            log!(debug, "{}: forwards {=u64:#x} to {=u64:#x}", address, window.base, window.limit);
            return Ok(());
        }
        Err(AssignError::NoWindow { address, prefetchable, size: own.size })
    }

    /// Places BARs of a function, largest first.
    fn bars(
        &mut self,
        level: usize,
        address: Address,
        unassigned: &[Unassigned],
    ) -> Result<heapless::Vec<BarRange, 6>, AssignError> {
        let access = self.survey.access;
        let header = Header::new(access, address);
        let command = header.command();
        if command.contains(Command::MEMORY) {
            header.set_command(command.difference(Command::MEMORY));
        }
        let mut placed = heapless::Vec::new();
        for bar in unassigned {
            let spaces = self.survey.spaces(level, bar.width, bar.prefetchable);
            let at = self.survey.room(level, &spaces, bar.room(), bar.room());
            let at = at.ok_or(AssignError::NoRoom { address, index: bar.index, size: bar.size })?;
            bar.write(access, address, at)?;
            log!(info, "{}: BAR{=u8} of {=u64} bytes placed at {=u64:#x}", address, bar.index, bar.size, at);
            // A function has no more BARs than that.
            let _ = placed.push(BarRange { index: bar.index, address: at, size: bar.size });
        }
        if command.contains(Command::MEMORY) {
            header.set_command(command);
        }
        Ok(placed)
    }
}

#[cfg(test)]
mod tests;
