//! What a device consists of: all that opening it finds out.

use super::{OpenError, find, quirks, register};
use crate::log::log;
use crate::msix::{BarExtent, Capability, MsixError, Placement};
use crate::pci::{Address, Bar, BarError, BarRange, Command, ConfigAccess, Function, Header};
use crate::pci::{Width, bar, find_capability, size_bar};

/// The least that can be mapped with a caching of its own.
const PAGE: u64 = 4096;

/// What the caller knows better than the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Options {
    /// The device's own id, where IVPosition is not to be believed: ACRN up to v3.2 forgets it when firmware sizes BAR0.
    /// IVPosition is not read then.
    pub id_override: Option<u16>,
}

/// A device's addresses and numbers: what [`Device::open`](super::Device::open) finds out, and all that
/// [`Device::with_layout`](super::Device::with_layout) needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Layout {
    /// Where the function sits.
    pub address: Address,
    /// Revision ID: 1 on everything known. Revision 0, QEMU's up to 2.5, is refused.
    pub revision: u8,
    /// Subsystem Vendor ID and Subsystem ID.
    pub subsystem: (u16, u16),
    /// Physical address of the registers.
    pub bar0: u64,
    /// Physical address of the memory.
    pub bar2: u64,
    /// Bytes of memory.
    pub size: u64,
    /// The device's own id; `None` to read IVPosition, which is one VM exit.
    pub id: Option<u16>,
    /// The interrupts.
    pub vectors: Vectors,
}

/// What a device has of interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Vectors {
    /// No MSI-X capability: it neither rings nor is rung.
    None,
    /// An MSI-X capability whose structures lie where they should.
    Usable(Placement),
    /// An MSI-X capability that cannot be believed. The memory can still be polled, and peers can be rung.
    Broken {
        /// Vectors that the capability announces.
        vectors: u16,
        /// What is wrong.
        error: MsixError,
    },
}

impl Layout {
    /// Finds out a function's layout and enables memory decode; also says what Command was. Sizes BAR2 and nothing else, and
    /// maps nothing. On error Command is as it was.
    pub(super) fn probe<A: ConfigAccess + ?Sized>(
        access: &A,
        function: &Function,
        options: Options,
    ) -> Result<(Self, Command), OpenError> {
        let address = find::check(access, function)?;
        let header = Header::new(access, address);
        let bar0 = bar(access, address, 0)?;
        let bar2 = bar(access, address, 2)?;
        let size = size_bar(access, address, 2)?;
        if size < PAGE {
            return Err(OpenError::SubPage { size });
        }
        let registers = BarRange { index: 0, address: bar0.address, size: register::BAR0_SIZE };
        registers.disjoint(BarRange { index: 2, address: bar2.address, size })?;

        let vectors = match find_capability(access, address, Capability::ID)? {
            None => Vectors::None,
            Some(offset) => {
                let capability = Capability::read(access, address, offset);
                let extents = extents(access, address, (&bar0, &bar2, size));
                match Placement::check(&capability, &extents) {
                    Ok(placement) => Vectors::Usable(placement),
                    Err(error) => {
                        log!(error, "{}: no interrupts: {}", address, error);
                        Vectors::Broken { vectors: capability.vectors, error }
                    }
                }
            }
        };
        let layout = Self {
            address,
            revision: function.revision,
            subsystem: header.subsystem(),
            bar0: bar0.address,
            bar2: bar2.address,
            size,
            id: options.id_override,
            vectors,
        };
        // Last, when it is sure that the BARs are assigned: a hot-plugged device decodes at 0 otherwise.
        let command = header.command();
        if command.bits() == u16::MAX {
            return Err(OpenError::DeviceGone);
        }
        header.set_command(command | Command::MEMORY);
        Ok((layout, command))
    }

    /// The hypervisor differences that apply.
    pub fn quirks(&self) -> &'static quirks::Quirks {
        quirks::of(self.subsystem.0, !matches!(self.vectors, Vectors::None))
    }
}

/// How long each BAR is at most, without sizing any more: see [`BarExtent`].
fn extents<A: ConfigAccess + ?Sized>(access: &A, address: Address, known: (&Bar, &Bar, u64)) -> [Option<BarExtent>; 6] {
    let (bar0, bar2, size) = known;
    core::array::from_fn(|index| match index {
        0 => {
            let aligned = BarExtent::derived(bar0.address, end(bar0.width)).limit;
            Some(BarExtent { address: bar0.address, limit: aligned.min(register::BAR0_SIZE), taken: register::USED })
        }
        2 => Some(BarExtent::sized(bar2.address, size)),
        _ => other(bar(access, address, index as u8)),
    })
}

fn other(bar: Result<Bar, BarError>) -> Option<BarExtent> {
    bar.ok().map(|bar| BarExtent::derived(bar.address, end(bar.width)))
}

/// The first address that a BAR of this width cannot hold.
const fn end(width: Width) -> u64 {
    match width {
        Width::Bits32 => 1 << 32,
        Width::Bits64 => u64::MAX,
    }
}
