//! The resource files that the kernel offers of every PCI function: memory and doorbell, but no interrupt.
//!
//! `resource2`, never `resource2_wc`: stores to a write-combining mapping may leave out of order, and then a message's stamp
//! could arrive before its bytes.

use super::pci::Pci;
use super::registers::{self, Registers};
use crate::sysfs::Device;
use crate::{OpenError, Sysfs};

/// Maps a function's registers and BAR2.
pub(super) fn open(sysfs: &Sysfs, device: &Device) -> Result<Pci, OpenError> {
    sysfs.enable(device)?;
    let kind = device.kind().ok_or(OpenError::NotRoot { address: device.address })?;
    let registers = Registers::new(sysfs.map_bar(device, 0, registers::LENGTH)?);
    let memory = sysfs.map_bar(device, 2, device.size())?;
    Pci::new(memory, registers, kind, None)
}
