//! Finding the function that a selector means.

use super::{OpenError, Selector};
use crate::log::log;
use crate::pci::{Address, ConfigAccess, Function, Header, functions, size_bar};

/// Red Hat's vendor id and ivshmem's device id. Other devices of the vendor are virtio; Jailhouse's ivshmem of version 2 is
/// 110a:4106, with other registers at the same offsets.
const ID: (u16, u16) = (0x1AF4, 0x1110);
/// Memory controllers.
const CLASS: u32 = 0x05;

/// Whether a function says that it is an ivshmem device of version 1, however unusable otherwise.
pub const fn is_ivshmem(function: &Function) -> bool {
    function.vendor == ID.0 && function.device == ID.1
}

/// The function that a selector means.
///
/// [`Selector::Size`] sizes BAR2 of each device it meets, up to the one it finds; one that cannot be sized does not fit.
pub fn find<A: ConfigAccess + ?Sized>(access: &A, selector: &Selector) -> Result<Function, OpenError> {
    let mut seen = 0usize;
    if let Selector::Address(address) = selector {
        return Function::read(access, *address).ok_or(OpenError::Absent(*address));
    }
    for function in functions(access).filter(is_ivshmem) {
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
    Err(OpenError::NotFound { seen })
}

/// Refuses what is no ivshmem device of version 1.
pub(super) fn check(function: &Function) -> Result<Address, OpenError> {
    let Function { address, vendor, device, header_type, class, .. } = *function;
    if !is_ivshmem(function) {
        return Err(OpenError::NotIvshmem { vendor, device });
    }
    if header_type != 0 {
        return Err(OpenError::HeaderType(header_type));
    }
    if class >> 16 != CLASS {
        return Err(OpenError::Class(class));
    }
    Ok(address)
}
