//! The standard header of a function: identity, Command, Status (PCI Local Bus 3.0, section 6.1 and 6.2).

use super::{Address, ConfigAccess};

/// Vendor ID (low half) and Device ID.
const IDENTITY: u16 = 0x00;
/// Command (low half) and Status.
pub(super) const COMMAND: u16 = 0x04;
/// Revision ID (lowest byte) and Class Code.
const CLASS: u16 = 0x08;
/// Cache Line Size, Latency Timer, Header Type (byte 2), BIST.
const TYPE: u16 = 0x0C;
/// Subsystem Vendor ID (low half) and Subsystem ID, in a header of type 0.
const SUBSYSTEM: u16 = 0x2C;

bitflags::bitflags! {
    /// The Command register (PCI 3.0, section 6.2.2); other bits are kept as they are read.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Command: u16 {
        /// Answers I/O space cycles.
        const IO = 1 << 0;
        /// Answers memory cycles: BARs are decoded.
        const MEMORY = 1 << 1;
        /// May write to memory itself; without it QEMU's TCG loses MSI-X messages.
        const BUS_MASTER = 1 << 2;
        /// Reports parity errors.
        const PARITY_ERROR_RESPONSE = 1 << 6;
        /// Drives SERR#.
        const SERR = 1 << 8;
        /// Does not assert INTx.
        const INTX_DISABLE = 1 << 10;

        const _ = !0;
    }

    /// The Status register (PCI 3.0, section 6.2.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Status: u16 {
        /// INTx is asserted.
        const INTX = 1 << 3;
        /// There is a capability list.
        const CAPABILITIES = 1 << 4;
        /// A write of its own met a parity error.
        const MASTER_PARITY_ERROR = 1 << 8;
        /// It ended a cycle with Target-Abort.
        const SIGNALED_TARGET_ABORT = 1 << 11;
        /// A cycle of its own ended with Target-Abort.
        const RECEIVED_TARGET_ABORT = 1 << 12;
        /// A cycle of its own ended with Master-Abort.
        const RECEIVED_MASTER_ABORT = 1 << 13;
        /// It asserted SERR#.
        const SIGNALED_SERR = 1 << 14;
        /// It met a parity error.
        const PARITY_ERROR = 1 << 15;

        const _ = !0;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Command {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Command({=u16:#06x})", self.bits());
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Status {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Status({=u16:#06x})", self.bits());
    }
}

/// What a function says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Function {
    /// Where it sits.
    pub address: Address,
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Revision ID.
    pub revision: u8,
    /// Class Code, 24 bits: base class, sub-class, programming interface. 0x050000 is RAM.
    pub class: u32,
    /// Header layout: 0 for a device, 1 for a bridge. Without the multi-function bit.
    pub header_type: u8,
    /// Whether the device has further functions; means something in function 0 only.
    pub multi_function: bool,
}

impl Function {
    /// Reads who sits at `address`: 1 configuration read, or 3 if a function is there.
    ///
    /// Vendor IDs 0xFFFF and 0 mean none: 0 is what QEMU answers where an ECAM window is not decoded.
    pub fn read<A: ConfigAccess + ?Sized>(access: &A, address: Address) -> Option<Self> {
        let (vendor, device) = halves(access.read32(address, IDENTITY));
        if matches!(vendor, 0 | 0xFFFF) {
            return None;
        }
        let [revision, class @ ..] = access.read32(address, CLASS).to_le_bytes();
        let [interface, sub, base] = class;
        let (header_type, multi_function) = header_type(access, address);
        Some(Self {
            address,
            vendor,
            device,
            revision,
            class: u32::from_be_bytes([0, base, sub, interface]),
            header_type,
            multi_function,
        })
    }
}

/// The registers every function has.
#[derive(Debug)]
pub struct Header<'a, A: ?Sized> {
    access: &'a A,
    address: Address,
}

impl<'a, A: ConfigAccess + ?Sized> Header<'a, A> {
    /// The header of the function at `address`; nothing is accessed yet.
    pub const fn new(access: &'a A, address: Address) -> Self {
        Self { access, address }
    }

    /// The Command register; all-ones if the function is not there.
    pub fn command(&self) -> Command {
        Command::from_bits_retain(halves(self.access.read32(self.address, COMMAND)).0)
    }

    /// Writes the Command register: one 16-bit cycle, so that Status is not written (its bits are write-1-to-clear by
    /// the specification and plain storage on ACRN).
    pub fn set_command(&self, command: Command) {
        self.access.write16(self.address, COMMAND, command.bits());
    }

    /// The Status register; all-ones if the function is not there.
    pub fn status(&self) -> Status {
        Status::from_bits_retain(halves(self.access.read32(self.address, COMMAND)).1)
    }

    /// Subsystem Vendor ID and Subsystem ID; ACRN puts 0x8086 and the region's id here.
    ///
    /// Means something in a header of type 0 only.
    pub fn subsystem(&self) -> (u16, u16) {
        halves(self.access.read32(self.address, SUBSYSTEM))
    }
}

/// Header layout and multi-function bit; (0x7F, true) if the function is not there.
pub(super) fn header_type<A: ConfigAccess + ?Sized>(access: &A, address: Address) -> (u8, bool) {
    let [_, _, value, _] = access.read32(address, TYPE).to_le_bytes();
    (value & 0x7F, value & 0x80 != 0)
}

/// Low half, high half.
pub(super) const fn halves(value: u32) -> (u16, u16) {
    let [a, b, c, d] = value.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

#[cfg(test)]
mod tests;
