//! The registers of a slot: PCI Express capability, Link Status, Slot Capabilities, Control and Status.

use super::SlotError;
use crate::pci::{Address, ConfigAccess, find_capability};

/// PCI Express Capability (section 7.5.3).
const CAPABILITY: u8 = 0x10;
/// Capability ID (byte 0) and PCI Express Capabilities Register (upper half), section 7.5.3.2.
const CAPABILITIES: u16 = 0x00;
/// Link Capabilities (section 7.5.3.6).
const LINK_CAPABILITIES: u16 = 0x0C;
/// Link Control (low half) and Link Status (section 7.5.3.8).
const LINK: u16 = 0x10;
/// Slot Capabilities (section 7.5.3.9).
const SLOT_CAPABILITIES: u16 = 0x14;
/// Slot Control (low half, section 7.5.3.10) and Slot Status (section 7.5.3.11).
const SLOT: u16 = 0x18;

/// Device/Port Type: Root Port and Downstream Port of a switch.
const PORTS: [u32; 2] = [0x4, 0x6];
const SLOT_IMPLEMENTED: u32 = 1 << 24;
const LINK_ACTIVE_REPORTING: u32 = 1 << 20;

bitflags::bitflags! {
    /// Slot Capabilities (section 7.5.3.9), without the slot's number and its power limit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SlotCapabilities: u32 {
        /// There is an attention button.
        const ATTENTION_BUTTON = 1 << 0;
        /// Software switches the slot's power.
        const POWER_CONTROLLER = 1 << 1;
        /// There is a sensor of the retention latch.
        const MRL_SENSOR = 1 << 2;
        /// There is an attention indicator.
        const ATTENTION_INDICATOR = 1 << 3;
        /// There is a power indicator.
        const POWER_INDICATOR = 1 << 4;
        /// An adapter may be removed without notice.
        const SURPRISE = 1 << 5;
        /// The slot supports hot-plug.
        const HOT_PLUG = 1 << 6;
        /// Commands take no time, and the slot does not say that they are completed.
        const NO_COMMAND_COMPLETED = 1 << 18;
    }

    /// Slot Control (section 7.5.3.10); other bits are kept as they are read.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Control: u16 {
        /// Attention indicator: 01 on, 10 blinking, 11 off.
        const ATTENTION_ON = 0b01 << 6;
        const ATTENTION_OFF = 0b11 << 6;
        /// Power indicator, alike.
        const POWER_ON = 0b01 << 8;
        const POWER_BLINKING = 0b10 << 8;
        const POWER_OFF = 0b11 << 8;
        /// Power controller: set is off.
        const UNPOWERED = 1 << 10;

        const _ = !0;
    }

    /// Slot Status (section 7.5.3.11).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct SlotStatus: u16 {
        const BUTTON = 1 << 0;
        const POWER_FAULT = 1 << 1;
        const MRL_CHANGED = 1 << 2;
        const PRESENCE_CHANGED = 1 << 3;
        const COMPLETED = 1 << 4;
        const PRESENT = 1 << 6;
        const LINK_CHANGED = 1 << 8;
        /// What is cleared by writing 1.
        const EVENTS = 0b1_0001_1111;

        const _ = !0;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for SlotCapabilities {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "SlotCapabilities({=u32:#x})", self.bits());
    }
}

/// Where the registers of one slot are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    port: Address,
    capability: u16,
    pub(super) capabilities: SlotCapabilities,
    /// The physical slot's number.
    pub(super) number: u16,
    /// Whether Link Status says that the link is active.
    pub(super) reports_link: bool,
}

impl Registers {
    /// At most 55 reads.
    pub(super) fn find<A: ConfigAccess + ?Sized>(access: &A, port: Address) -> Result<Self, SlotError> {
        let capability = find_capability(access, port, CAPABILITY).map_err(SlotError::Capability)?;
        // All of it lies in the first 256 bytes.
        let capability = capability.filter(|offset| *offset <= 0x100 - 0x1C).ok_or(SlotError::NoSlot)?;
        let read = |offset: u16| access.read32(port, capability.saturating_add(offset));
        let kind = read(CAPABILITIES);
        if kind & SLOT_IMPLEMENTED == 0 || !PORTS.contains(&(kind >> 20 & 0xF)) {
            return Err(SlotError::NoSlot);
        }
        let slot = read(SLOT_CAPABILITIES);
        let capabilities = SlotCapabilities::from_bits_truncate(slot);
        if slot == u32::MAX || !capabilities.contains(SlotCapabilities::HOT_PLUG) {
            return Err(SlotError::NotHotPlug { capabilities: slot });
        }
        let reports_link = read(LINK_CAPABILITIES) & LINK_ACTIVE_REPORTING != 0;
        Ok(Self { port, capability, capabilities, number: (slot >> 19) as u16, reports_link })
    }

    /// Slot Control and Slot Status with one read; `None` if the port no longer answers.
    pub(super) fn read<A: ConfigAccess + ?Sized>(&self, access: &A) -> Option<(Control, SlotStatus)> {
        let value = access.read32(self.port, self.capability.saturating_add(SLOT));
        let halves = (Control::from_bits_retain(value as u16), SlotStatus::from_bits_retain((value >> 16) as u16));
        (value != u32::MAX).then_some(halves)
    }

    /// Clears these events, and no others: QEMU takes back what a write clears that was not set.
    pub(super) fn clear<A: ConfigAccess + ?Sized>(&self, access: &A, events: SlotStatus) {
        let events = events.intersection(SlotStatus::EVENTS);
        if !events.is_empty() {
            access.write16(self.port, self.capability.saturating_add(SLOT + 2), events.bits());
        }
    }

    /// A command: whatever is written to Slot Control.
    pub(super) fn command<A: ConfigAccess + ?Sized>(&self, access: &A, control: Control) {
        access.write16(self.port, self.capability.saturating_add(SLOT), control.bits());
    }

    /// Data Link Layer Link Active; `true` where the port does not say.
    pub(super) fn link_is_active<A: ConfigAccess + ?Sized>(&self, access: &A) -> bool {
        const ACTIVE: u32 = 1 << 29;
        !self.reports_link || access.read32(self.port, self.capability.saturating_add(LINK)) & ACTIVE != 0
    }
}
