//! Finding the function that a selector means.

use super::{OpenError, Selector};
use crate::log::log;
use crate::pci::{Address, BarError, ConfigAccess, Function, Header, bar, functions, size_bar};

/// Red Hat's vendor id and ivshmem's device id. Other devices of the vendor are virtio.
const ID: (u16, u16) = (0x1AF4, 0x1110);
/// Siemens's vendor id and the device id of ivshmem's version 2, Jailhouse's.
const VERSION_2: (u16, u16) = (0x110A, 0x4106);
/// Memory controllers.
const CLASS: u32 = 0x05;

/// Whether a function says that it is an ivshmem device of version 1, however unusable otherwise.
pub const fn is_ivshmem(function: &Function) -> bool {
    function.vendor == ID.0 && function.device == ID.1
}

/// The function that a selector means.
///
/// Where there is none that fits, nor any other, but one of version 2 (Jailhouse's), the error is [`OpenError::Version2`].
/// [`Selector::Size`] sizes BAR2 of each device it meets, up to the one it finds; one that cannot be sized does not fit.
pub fn find<A: ConfigAccess + ?Sized>(access: &A, selector: &Selector) -> Result<Function, OpenError> {
    let mut seen = 0usize;
    if let Selector::Address(address) = selector {
        return Function::read(access, *address).ok_or(OpenError::Absent(*address));
    }
    let mut version_2 = None;
    for function in functions(access) {
        if is_version_2(&function) {
            version_2 = version_2.or(Some(function.address));
        }
        if !is_ivshmem(&function) {
            continue;
        }
        let fits = match *selector {
            Selector::Address(_) => false,
            Selector::Nth(n) => seen == n,
            Selector::Size(bytes) => size_bar(access, function.address, 2) == Ok(bytes),
            Selector::Subsystem(id) => Header::new(access, function.address).subsystem().1 == id,
        };
        if fits {
            return Ok(function);
        }
        seen = seen.saturating_add(1);
    }
    log!(error, "none of {=usize} ivshmem devices is {}", seen, selector);
    match version_2 {
        Some(address) if seen == 0 => Err(OpenError::Version2(address)),
        _ => Err(OpenError::NotFound { seen }),
    }
}

fn is_version_2(function: &Function) -> bool {
    (function.vendor, function.device) == VERSION_2
}

/// Refuses what is no ivshmem device of version 1 and revision 1 or later.
pub(super) fn check<A: ConfigAccess + ?Sized>(access: &A, function: &Function) -> Result<Address, OpenError> {
    let Function { address, vendor, device, revision, header_type, class, .. } = *function;
    if is_version_2(function) {
        return Err(OpenError::Version2(address));
    }
    if !is_ivshmem(function) {
        return Err(OpenError::NotIvshmem { vendor, device });
    }
    if header_type != 0 {
        return Err(OpenError::HeaderType(header_type));
    }
    if class >> 16 != CLASS {
        return match bar(access, address, 0) {
            // kvmtool hw/pci-shmem.c.
            Err(BarError::Io { value, .. }) => Err(OpenError::Kvmtool { class, bar0: value }),
            _ => Err(OpenError::Class(class)),
        };
    }
    if revision == 0 {
        return Err(OpenError::Revision(revision));
    }
    Ok(address)
}
