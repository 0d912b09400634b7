//! The capability list (PCI 3.0, section 6.7).

use super::header::header_type;
use super::{Address, ConfigAccess, Header, Status};
use core::fmt;
use core::iter::FusedIterator;

/// Where the first capability's offset is, in headers of type 0 and 1.
const POINTER: u16 = 0x34;
/// Capabilities lie behind the header ...
const FIRST: u8 = 0x40;

/// One entry of the capability list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Capability {
    /// Capability ID: 0x11 is MSI-X, 0x09 vendor-specific.
    pub id: u8,
    /// Byte offset in configuration space, a multiple of 4 from 0x40 to 0xFC.
    pub offset: u16,
}

/// A capability list that no working function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CapabilityError {
    /// The function is not there, or vanished.
    NoFunction,
    /// A header of a layout other than 0 (device) and 1 (bridge).
    HeaderType(u8),
    /// A pointer into the header.
    BadPointer {
        /// Byte offset of the register with the pointer.
        at: u16,
        /// The pointer.
        pointer: u8,
    },
    /// The list comes back to an entry it had before.
    Loop {
        /// Byte offset of that entry.
        offset: u16,
    },
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFunction => f.write_str("no PCI function is there"),
            Self::HeaderType(layout) => write!(f, "PCI header layout {layout:#x} is neither 0 nor 1"),
            Self::BadPointer { at, pointer } => {
                write!(f, "the capability pointer at {at:#x} is {pointer:#x}, inside the header")
            }
            Self::Loop { offset } => write!(f, "the capability list comes back to {offset:#x}"),
        }
    }
}

impl core::error::Error for CapabilityError {}

/// The capabilities of the function at `address`, in the list's order; ends after the first error.
///
/// At most 48 entries, because the list cannot come twice to the same place: at most 51 configuration reads, whatever they answer.
pub fn capabilities<A: ConfigAccess + ?Sized>(access: &A, address: Address) -> Capabilities<'_, A> {
    Capabilities { access, address, state: State::Start, seen: 0 }
}

/// The offset of the first capability with this `id`; `None` if the function has none.
///
/// At most 51 configuration reads.
pub fn find_capability<A: ConfigAccess + ?Sized>(
    access: &A,
    address: Address,
    id: u8,
) -> Result<Option<u16>, CapabilityError> {
    for capability in capabilities(access, address) {
        let capability = capability?;
        if capability.id == id {
            return Ok(Some(capability.offset));
        }
    }
    Ok(None)
}

/// Iterator made by [`capabilities`].
#[derive(Debug)]
pub struct Capabilities<'a, A: ?Sized> {
    access: &'a A,
    address: Address,
    state: State,
    /// One bit for each of the 48 places where an entry can begin.
    seen: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    /// A pointer, as found at this offset.
    Pointer {
        at: u16,
        pointer: u8,
    },
    End,
}

impl<A: ConfigAccess + ?Sized> Capabilities<'_, A> {
    fn start(&self) -> Result<State, CapabilityError> {
        let status = Header::new(self.access, self.address).status();
        if status == Status::from_bits_retain(u16::MAX) {
            return Err(CapabilityError::NoFunction);
        }
        if !status.contains(Status::CAPABILITIES) {
            return Ok(State::End);
        }
        let (layout, _) = header_type(self.access, self.address);
        if layout > 1 {
            return Err(CapabilityError::HeaderType(layout));
        }
        let [pointer, ..] = self.access.read32(self.address, POINTER).to_le_bytes();
        Ok(State::Pointer { at: POINTER, pointer })
    }

    fn step(&mut self) -> Result<Option<Capability>, CapabilityError> {
        if let State::Start = self.state {
            self.state = self.start()?;
        }
        let State::Pointer { at, pointer } = self.state else { return Ok(None) };
        // The two lowest bits are reserved, and software must mask them.
        let offset = pointer & !3;
        if offset == 0 {
            return Ok(None);
        }
        let place = offset.checked_sub(FIRST).ok_or(CapabilityError::BadPointer { at, pointer })? / 4;
        let bit = 1_u64.checked_shl(place.into()).unwrap_or(0);
        let offset = u16::from(offset);
        if self.seen & bit != 0 {
            return Err(CapabilityError::Loop { offset });
        }
        self.seen |= bit;
        let value = self.access.read32(self.address, offset);
        if value == u32::MAX {
            return Err(CapabilityError::NoFunction);
        }
        let [id, next, ..] = value.to_le_bytes();
        self.state = State::Pointer { at: offset, pointer: next };
        Ok(Some(Capability { id, offset }))
    }
}

impl<A: ConfigAccess + ?Sized> Iterator for Capabilities<'_, A> {
    type Item = Result<Capability, CapabilityError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = State::End;
        }
        item
    }
}

impl<A: ConfigAccess + ?Sized> FusedIterator for Capabilities<'_, A> {}

#[cfg(test)]
mod tests;
