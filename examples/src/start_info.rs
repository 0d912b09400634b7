//! PVH's `hvm_start_info` (Xen's `public/arch-x86/hvm/start_info.h`): the command line and the RSDP.

use core::fmt;

const MAGIC: u32 = 0x336E_C578;
/// Bytes that the fields read here take; version 0 has them all.
const BYTES: u64 = 40;
/// Longest command line taken, in bytes.
const COMMAND_LINE_MOST: usize = 2048;
/// End of the memory that the boot page tables map, in bytes.
const MAPPED: u64 = 1 << 30;
/// The two MiB below the image that they leave out.
const GUARD: core::ops::Range<u64> = 0x20_0000..0x40_0000;

/// What the image takes from the start info.
#[derive(Clone, Copy, Debug)]
pub struct StartInfo {
    /// What `-append` said; empty without it.
    pub command_line: &'static str,
    /// Physical address of ACPI's root pointer, if the boot loader found it.
    pub rsdp: Option<u64>,
}

/// A start info that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartInfoError {
    /// EBX did not point to one.
    Magic(u32),
    /// It, or the command line, is where the image does not map memory.
    Unreachable(u64),
    /// The command line has no end, or is not UTF-8.
    CommandLine,
}

impl fmt::Display for StartInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(found) => write!(f, "no PVH start info: its magic number reads {found:#010x}"),
            Self::Unreachable(address) => write!(f, "the start info or its command line lies at {address:#x}"),
            Self::CommandLine => write!(f, "the command line is not UTF-8, or longer than {COMMAND_LINE_MOST} bytes"),
        }
    }
}

impl StartInfo {
    /// Reads it.
    ///
    /// # Safety
    /// `address` is what EBX held at the PVH entry, and the boot page tables are active.
    pub unsafe fn read(address: u64) -> Result<Self, StartInfoError> {
        let at = |offset: u64, bytes: u64| {
            let first = address.wrapping_add(offset);
            let end = first.checked_add(bytes).filter(|end| *end <= MAPPED);
            let in_guard = end.is_some_and(|end| first < GUARD.end && end > GUARD.start);
            if first == 0 || end.is_none() || in_guard { Err(StartInfoError::Unreachable(first)) } else { Ok(first) }
        };
        let fields: *const u32 = core::ptr::with_exposed_provenance(at(0, BYTES)? as usize);
        // SAFETY: the caller's promise, and the range was just checked to be mapped memory.
        let magic = unsafe { fields.read_unaligned() };
        if magic != MAGIC {
            return Err(StartInfoError::Magic(magic));
        }
        let quad = |offset: u64| {
            let field: *const u64 = core::ptr::with_exposed_provenance((address + offset) as usize);
            // SAFETY: inside the 40 bytes just checked, and the magic number says what they are.
            unsafe { field.read_unaligned() }
        };
        let (text, rsdp) = (quad(24), quad(32));
        // SAFETY: the start info says that a zero-terminated text is there, in memory the loader put aside.
        let command_line = if text == 0 { "" } else { unsafe { command_line(text) }? };
        Ok(Self { command_line, rsdp: (rsdp != 0).then_some(rsdp) })
    }
}

/// # Safety
/// `address` is of zero-terminated text that nothing changes while the image runs.
unsafe fn command_line(address: u64) -> Result<&'static str, StartInfoError> {
    let end = address.checked_add(COMMAND_LINE_MOST as u64).ok_or(StartInfoError::Unreachable(address))?;
    if end > MAPPED || (address < GUARD.end && end > GUARD.start) {
        return Err(StartInfoError::Unreachable(address));
    }
    let text: *const u8 = core::ptr::with_exposed_provenance(address as usize);
    // SAFETY: the range was just checked to be mapped memory; the caller promises that nothing changes it.
    let bytes = unsafe { core::slice::from_raw_parts(text, COMMAND_LINE_MOST) };
    let length = bytes.iter().position(|byte| *byte == 0).ok_or(StartInfoError::CommandLine)?;
    core::str::from_utf8(&bytes[..length]).map_err(|_| StartInfoError::CommandLine)
}
