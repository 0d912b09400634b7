//! The write that a vector makes: which CPU, which IDT vector.

use core::fmt;

/// A message-signalled interrupt: fixed delivery, edge, physical destination, one CPU.
///
/// Nothing else is offered: ACRN copies the delivery mode raw into an IPI for a VM with a local APIC of its own,
/// and ORs the destinations of a group into a wrong set (`inject_msi_for_lapic_pt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Message {
    apic_id: u8,
    idt_vector: u8,
}

/// A destination or vector that no message can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MessageError {
    /// An APIC id above 254: the message's destination has 8 bits, and 255 means every CPU.
    ApicId(u32),
    /// An IDT vector below 32: the CPU's exceptions.
    Vector(u8),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApicId(id) => write!(f, "APIC id {id} is above 254, the last that an MSI-X message can name"),
            Self::Vector(vector) => write!(f, "IDT vector {vector} is below 32 and belongs to the CPU's exceptions"),
        }
    }
}

impl core::error::Error for MessageError {}

impl Message {
    /// A message to the CPU whose local APIC has the id `apic_id` (0 to 254), for IDT vector `idt_vector` (32 to 255).
    pub const fn new(apic_id: u32, idt_vector: u8) -> Result<Self, MessageError> {
        if idt_vector < 32 {
            return Err(MessageError::Vector(idt_vector));
        }
        if apic_id > 254 {
            return Err(MessageError::ApicId(apic_id));
        }
        Ok(Self { apic_id: apic_id.to_le_bytes()[0], idt_vector })
    }

    /// The local APIC id of the CPU that is interrupted.
    pub const fn apic_id(self) -> u32 {
        self.apic_id as u32
    }

    /// The IDT vector that is raised.
    pub const fn idt_vector(self) -> u8 {
        self.idt_vector
    }

    /// Message Address (Intel SDM vol. 3, 11.11.1): FEEh, destination id in bits 12 to 19, redirection hint and
    /// destination mode 0. Its upper half is 0.
    pub const fn address(self) -> u32 {
        0xFEE0_0000 | (self.apic_id as u32) << 12
    }

    /// Message Data (Intel SDM vol. 3, 11.11.2): edge, fixed delivery, vector in bits 0 to 7.
    pub const fn data(self) -> u32 {
        self.idt_vector as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_one_cpu_physically_fixed_and_edge() {
        let message = Message::new(254, 0x41).unwrap();
        assert_eq!((message.address(), message.data()), (0xFEEF_E000, 0x41));
        assert_eq!((message.apic_id(), message.idt_vector()), (254, 0x41));
        assert_eq!(Message::new(0, 32).unwrap().address(), 0xFEE0_0000);
    }

    #[test]
    fn each_error_says_the_number() {
        use std::string::ToString;
        let apic = "APIC id 255 is above 254, the last that an MSI-X message can name";
        assert_eq!(MessageError::ApicId(255).to_string(), apic);
        let vector = "IDT vector 31 is below 32 and belongs to the CPU's exceptions";
        assert_eq!(MessageError::Vector(31).to_string(), vector);
    }

    #[test]
    fn refuses_what_a_message_cannot_name() {
        assert_eq!(Message::new(255, 0x41), Err(MessageError::ApicId(255)));
        assert_eq!(Message::new(256, 0x41), Err(MessageError::ApicId(256)));
        assert_eq!(Message::new(u32::MAX, 0x41), Err(MessageError::ApicId(u32::MAX)));
        assert_eq!(Message::new(0, 31), Err(MessageError::Vector(31)));
    }
}
