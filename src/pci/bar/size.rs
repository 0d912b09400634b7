//! Sizing a BAR, and leaving configuration space as it was.

use super::{Bar, BarError, BarRange, FLAGS, Registers, Width, register};
use crate::log::log;
use crate::pci::header::COMMAND;
use crate::pci::{Address, Command, ConfigAccess, Header};

/// The bytes behind memory BAR `index` of the function at `address`; an unassigned BAR is sized, too.
///
/// Writes exactly 0xFFFF_FFFF (ACRN knows sizing by this value only) to each half, reads it back and restores it before the next
/// one; memory decode is off meanwhile. On every path, errors included, the BAR and Command get back the bits that they had, and
/// are read again to see that they took them. At most 13 reads and 6 writes, all of 32 bits except Command's 16-bit writes.
///
/// Nobody may access the BAR's memory meanwhile. Size only what has to be: ACRN up to 3.2 forgets IVPosition when BAR0 is sized.
pub fn size_bar<A: ConfigAccess + ?Sized>(access: &A, address: Address, index: u8) -> Result<u64, BarError> {
    let registers = Registers::read(access, address)?;
    let bar = registers.decode(index)?;
    let value = registers.value(index)?;

    let header = Header::new(access, address);
    let command = header.command();
    let decoding = command.contains(Command::MEMORY);
    if decoding {
        header.set_command(command.difference(Command::MEMORY));
    }
    // From here to the restored Command there is no way out.
    let low = exchange(access, address, register(index), value);
    let high = match bar.width {
        Width::Bits32 => Exchanged { mask: u32::MAX, restored: Ok(()) },
        Width::Bits64 => {
            let next = index.saturating_add(1);
            exchange(access, address, register(next), registers.value(next).unwrap_or(0))
        }
    };
    if decoding {
        header.set_command(command);
    }
    let found = header.command();
    low.restored?;
    high.restored?;
    if found != command {
        let (written, found) = (command.bits().into(), found.bits().into());
        return Err(BarError::NotRestored { offset: COMMAND, written, found });
    }

    if (low.mask ^ value) & FLAGS != 0 {
        return Err(BarError::TypeChanged { index, before: value, after: low.mask });
    }
    let mask = u64::from(high.mask) << 32 | u64::from(low.mask & !FLAGS);
    let size = checked_size(bar, mask, value)?;
    if bar.address != 0 {
        check_place(bar, size)?;
        registers.check_others(BarRange { index, address: bar.address, size })?;
    }
    log!(debug, "PCI {}: BAR{} at {=u64:#x} has {=u64} bytes", address, index, bar.address, size);
    Ok(size)
}

/// What a register answered with all bits written, and whether it took its old value back.
struct Exchanged {
    mask: u32,
    restored: Result<(), BarError>,
}

fn exchange<A: ConfigAccess + ?Sized>(access: &A, address: Address, offset: u16, value: u32) -> Exchanged {
    access.write32(address, offset, u32::MAX);
    let mask = access.read32(address, offset);
    access.write32(address, offset, value);
    let found = access.read32(address, offset);
    let restored = if found == value { Ok(()) } else { Err(BarError::NotRestored { offset, written: value, found }) };
    Exchanged { mask, restored }
}

fn checked_size(bar: Bar, mask: u64, value: u32) -> Result<u64, BarError> {
    let writable = match bar.width {
        Width::Bits32 => mask & u64::from(u32::MAX),
        Width::Bits64 => mask,
    };
    if writable == 0 {
        return Err(BarError::Absent { index: bar.index, value });
    }
    // The lowest writable bit; without a gap above it, the mask is its negative.
    let size = mask & mask.wrapping_neg();
    if mask != size.wrapping_neg() {
        return Err(BarError::NotContiguous { index: bar.index, mask: writable });
    }
    Ok(size)
}

fn check_place(bar: Bar, size: u64) -> Result<(), BarError> {
    let Bar { index, address, width, .. } = bar;
    // A size is at least 16 and at most 2^63.
    let most = size.wrapping_sub(1);
    if address.checked_add(most).is_none_or(|last| last > width.last_address()) {
        return Err(BarError::Wraps { index, address, size });
    }
    if address & most != 0 {
        return Err(BarError::Misaligned { index, address, size });
    }
    Ok(())
}
