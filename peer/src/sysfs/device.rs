//! One ivshmem device as the kernel knows it, and the line that `list` prints of it.

use crate::{Kind, OpenError};
use core::fmt;
use ivshmem::pci::{Address, Command};
use std::fs;
use std::path::Path;

/// One base address register as the kernel decoded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// First byte, in the CPU's address space; 0 if unassigned.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

/// An ivshmem device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Where it sits.
    pub address: Address,
    /// Revision ID; 1 on everything since QEMU 2.6.
    pub revision: u8,
    /// The Command register.
    pub command: Command,
    /// Subsystem vendor and id; 8086 and the region's id on ACRN.
    pub subsystem: (u16, u16),
    /// BAR0 (registers), BAR1 (MSI-X), BAR2 (shared memory); `None` where there is none.
    pub bars: [Option<Bar>; 3],
    /// MSI-X vectors, 0 on a plain device; `None` for users to whom the kernel does not show the capabilities.
    pub vectors: Option<u16>,
    /// The own id, where BAR0 could be read.
    pub id: Option<u16>,
    /// The bound driver.
    pub driver: Option<String>,
    /// The IOMMU group.
    pub iommu_group: Option<String>,
}

impl Device {
    /// Plain or doorbell, told apart by the MSI-X capability; `None` where that is not known.
    pub fn kind(&self) -> Option<Kind> {
        self.vectors.map(|vectors| if vectors == 0 { Kind::Plain } else { Kind::Doorbell })
    }

    /// Bytes of shared memory, 0 without BAR2.
    pub fn size(&self) -> u64 {
        self.bars[2].map_or(0, |bar| bar.size)
    }

    /// Whether accesses to the BARs reach the device.
    pub fn decodes_memory(&self) -> bool {
        self.command.contains(Command::MEMORY)
    }

    /// BAR `index`, 0 to 2, with an address.
    pub(crate) fn bar(&self, index: usize) -> Result<Bar, OpenError> {
        let bar = self.bars.get(index).copied().flatten();
        bar.filter(|bar| bar.address != 0).ok_or(OpenError::UnassignedBar { address: self.address, index })
    }
}

impl Bar {
    /// The first three lines of a function's `resource` file: start, end and flags in hexadecimal.
    pub(super) fn read_all(path: &Path) -> Result<[Option<Bar>; 3], OpenError> {
        let text = fs::read_to_string(path).map_err(|error| OpenError::io("read", path, &error))?;
        let mut bars = [None; 3];
        for (bar, line) in bars.iter_mut().zip(text.lines()) {
            let error = || OpenError::Content { path: path.to_owned(), content: line.to_owned() };
            let mut numbers = line.split_whitespace().map(|word| {
                let digits = word.strip_prefix("0x").ok_or_else(error)?;
                u64::from_str_radix(digits, 16).map_err(|_| error())
            });
            let mut next = || numbers.next().ok_or_else(error)?;
            let (start, end, flags) = (next()?, next()?, next()?);
            // An unused BAR is a line of zeros; an unassigned one has its size and flags, but starts at 0.
            if flags != 0 {
                let size = end.checked_sub(start).and_then(|last| last.checked_add(1)).ok_or_else(error)?;
                *bar = Some(Bar { address: start, size });
            }
        }
        Ok(bars)
    }
}

/// The line of `ivshmem-peer list`, without its prefix.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ivshmem {} rev={}", self.address, self.revision)?;
        or_dash(f, "kind", self.kind())?;
        or_dash(f, "id", self.id)?;
        or_dash(f, "vectors", self.vectors)?;
        for (index, bar) in self.bars.iter().enumerate() {
            match bar {
                Some(bar) => write!(f, " bar{index}={:#x}", bar.address)?,
                None => write!(f, " bar{index}=-")?,
            }
        }
        let (vendor, id) = self.subsystem;
        write!(f, " size={} subsystem={vendor:04x}:{id:04x}", self.size())?;
        or_dash(f, "driver", self.driver.as_ref())?;
        or_dash(f, "iommu_group", self.iommu_group.as_ref())
    }
}

fn or_dash(f: &mut fmt::Formatter<'_>, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {name}={value}"),
        None => write!(f, " {name}=-"),
    }
}
