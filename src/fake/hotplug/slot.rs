//! The slot of a PCI Express port.

use crate::fake::config::Function;
use crate::fake::vm::lock;
use crate::pci::{Address, Buses, ConfigAccess};
use std::sync::Mutex;
use std::vec::Vec;

/// Where the port's PCI Express capability is, as in QEMU's root ports.
const CAPABILITY: u16 = 0x54;
const LINK: u16 = CAPABILITY + 0x10;
const SLOT: u16 = CAPABILITY + 0x18;

const POWER_FIELD: u16 = 0b11 << 8;
const UNPOWERED: u16 = 1 << 10;
const CONTROL: u16 = 0x17FF;
const EVENTS: u16 = 0x11F;

const BUTTON: u16 = 1 << 0;
const POWER_FAULT: u16 = 1 << 1;
const PRESENCE_CHANGED: u16 = 1 << 3;
const COMPLETED: u16 = 1 << 4;
const PRESENT: u16 = 1 << 6;
const LINK_CHANGED: u16 = 1 << 8;
const ACTIVE: u32 = 1 << 29;

/// What a slot does that QEMU's does not, or the other way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Looks at the slot until a command is completed; `usize::MAX` is never.
    pub completes_after: usize,
    /// Looks at the link until it is active.
    pub trains_for: usize,
    /// Reads of the function until it answers.
    pub answers_after: usize,
    /// Power makes a power fault.
    pub faults: bool,
    /// What was let go stays in the slot until somebody takes it, as in a slot that is no model.
    pub stays: bool,
    /// The link's changes are events.
    pub reports_link_changes: bool,
}

/// A port with a slot, in a configuration space that holds the port and what the slot may take.
#[derive(Debug)]
pub struct Slot<A> {
    space: A,
    port: Address,
    function: Address,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    inserted: bool,
    control: u16,
    status: u16,
    /// Looks left until a command is completed, the link is active, the function answers.
    completing: Option<usize>,
    training: usize,
    silent: usize,
    /// The port itself is gone.
    gone: bool,
    /// Accesses to the function left until somebody takes it.
    left: Option<usize>,
    commands: Vec<u16>,
    early: usize,
    reads: usize,
    writes: usize,
}

impl State {
    fn is_powered(&self, capabilities: u32) -> bool {
        capabilities & 1 << 1 == 0 || self.control & UNPOWERED == 0
    }

    fn power_up(&mut self) {
        (self.training, self.silent) = (self.behaviour.trains_for, self.behaviour.answers_after);
        if self.behaviour.faults {
            self.status |= POWER_FAULT;
        }
        if self.behaviour.reports_link_changes {
            self.status |= LINK_CHANGED;
        }
    }

    fn take(&mut self) {
        if core::mem::take(&mut self.inserted) {
            self.status = self.status & !PRESENT | PRESENCE_CHANGED;
        }
    }

    /// pcie_cap_slot_write_config.
    fn command(&mut self, new: u16, capabilities: u32) {
        let (before, powered) = (self.control, self.is_powered(capabilities));
        let is_off = |control: u16| control & UNPOWERED != 0 && control & POWER_FIELD == POWER_FIELD;
        self.control = new & CONTROL;
        self.commands.push(new);
        if self.inserted && !self.behaviour.stays && is_off(new) && !is_off(before) {
            self.take();
        }
        if self.inserted && !powered && self.is_powered(capabilities) {
            self.power_up();
        }
        if powered && !self.is_powered(capabilities) && self.behaviour.reports_link_changes {
            self.status |= LINK_CHANGED;
        }
        self.early += usize::from(self.completing.is_some());
        self.completing = (capabilities & 1 << 18 == 0).then_some(self.behaviour.completes_after);
        self.complete(false);
    }

    fn complete(&mut self, look: bool) {
        if let Some(left) = &mut self.completing {
            *left = left.saturating_sub(look.into());
            if *left == 0 {
                self.completing = None;
                self.status |= COMPLETED;
            }
        }
    }
}

impl Slot<()> {
    /// A port with this bus behind it and a slot that can do what QEMU's can.
    pub fn port(bus: u8) -> Function {
        Self::port_with(bus, 0x000A_007B)
    }

    /// The same with these Slot Capabilities.
    pub fn port_with(bus: u8, capabilities: u32) -> Function {
        let mut body = 0x0142_u16.to_le_bytes().to_vec();
        body.resize(0x3A, 0);
        body[0x0A..0x0E].copy_from_slice(&0x0030_0604_u32.to_le_bytes());
        body[0x12..0x16].copy_from_slice(&capabilities.to_le_bytes());
        Function::new(0x1B36, 0x000C).bridge(0, bus, bus).capability(CAPABILITY, 0x10, &body)
    }
}

impl<A: ConfigAccess> Slot<A> {
    /// An empty slot, without power if that can be switched.
    pub fn new(space: A, port: Address, function: Address) -> Self {
        let state = State { control: 0x07C0, ..State::default() };
        Self { space, port, function, state: Mutex::new(state) }
    }

    /// With another behaviour than QEMU's.
    #[must_use]
    pub fn behaving(self, behaviour: Behaviour) -> Self {
        self.behave(behaviour);
        self
    }

    /// With another behaviour from the next command on.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// With the function in it from the beginning, with power.
    #[must_use]
    pub fn filled(self) -> Self {
        {
            let mut state = lock(&self.state);
            (state.inserted, state.status, state.control) = (true, PRESENT, 0x01C0);
        }
        self
    }

    /// What holds the functions.
    pub fn space(&self) -> &A {
        &self.space
    }

    /// QEMU's `device_add`: presence, and a press of the button.
    pub fn add(&self) {
        self.insert();
        self.press();
    }

    /// Presence only.
    pub fn insert(&self) {
        let powered = lock(&self.state).is_powered(self.capabilities());
        let mut state = lock(&self.state);
        state.inserted = true;
        state.status |= PRESENT | PRESENCE_CHANGED;
        if powered {
            state.power_up();
        }
    }

    /// The attention button: QEMU's `device_del`.
    pub fn press(&self) {
        lock(&self.state).status |= BUTTON;
    }

    /// Takes the function out without asking anybody.
    pub fn take(&self) {
        lock(&self.state).take();
    }

    /// The same after so many more accesses to it.
    pub fn take_after(&self, accesses: usize) {
        lock(&self.state).left = Some(accesses);
    }

    /// The link goes down and stays down.
    pub fn drop_link(&self) {
        let mut state = lock(&self.state);
        state.training = usize::MAX;
        if state.behaviour.reports_link_changes {
            state.status |= LINK_CHANGED;
        }
    }

    /// The port itself is gone: all-ones.
    pub fn lose_port(&self) {
        lock(&self.state).gone = true;
    }

    /// Whether something is in it.
    pub fn is_filled(&self) -> bool {
        lock(&self.state).inserted
    }

    /// What was written to Slot Control since the beginning or the last call of this.
    pub fn take_commands(&self) -> Vec<u16> {
        core::mem::take(&mut lock(&self.state).commands)
    }

    /// Commands before the last one was completed: to be given after a second only (section 6.7.3.2).
    pub fn early_commands(&self) -> usize {
        lock(&self.state).early
    }

    /// Configuration reads and writes, of whatever, since the beginning or the last call of this.
    pub fn take_counts(&self) -> (usize, usize) {
        let mut state = lock(&self.state);
        (core::mem::take(&mut state.reads), core::mem::take(&mut state.writes))
    }

    fn capabilities(&self) -> u32 {
        self.space.read32(self.port, CAPABILITY + 0x14)
    }

    /// Whether an access reaches the configuration space.
    fn reaches(&self, address: Address) -> bool {
        let capabilities = self.capabilities();
        let mut state = lock(&self.state);
        if state.gone {
            return false;
        }
        if address.bus() != self.function.bus() {
            return true;
        }
        if let Some(left) = &mut state.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                state.take();
            }
        }
        let answers =
            state.inserted && state.is_powered(capabilities) && state.training == 0 && address == self.function;
        let silent = core::mem::replace(&mut state.silent, 0);
        state.silent = silent.saturating_sub(answers.into());
        answers && silent == 0
    }
}

impl<A: ConfigAccess> ConfigAccess for Slot<A> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        lock(&self.state).reads += 1;
        if !self.reaches(address) {
            return u32::MAX;
        }
        let capabilities = self.capabilities();
        let value = self.space.read32(address, offset);
        let mut state = lock(&self.state);
        match (address == self.port, offset & !3) {
            (true, SLOT) => {
                state.complete(true);
                u32::from(state.status) << 16 | u32::from(state.control)
            }
            (true, LINK) => {
                let active = state.inserted && state.is_powered(capabilities) && state.training == 0;
                if state.training != usize::MAX && state.is_powered(capabilities) {
                    state.training = state.training.saturating_sub(1);
                }
                value & !ACTIVE | if active { ACTIVE } else { 0 }
            }
            _ => value,
        }
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        lock(&self.state).writes += 1;
        assert!(address != self.port || offset & !3 != SLOT, "Slot Control and Status are two registers");
        if self.reaches(address) {
            self.space.write32(address, offset, value);
        }
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        lock(&self.state).writes += 1;
        if !self.reaches(address) {
            return;
        }
        let capabilities = self.capabilities();
        let mut state = lock(&self.state);
        match (address == self.port, offset) {
            (true, SLOT) => state.command(value, capabilities),
            (true, offset) if offset == SLOT + 2 => {
                assert_eq!(value & !EVENTS, 0, "reserved bits");
                assert_eq!(value & !state.status, 0, "cleared what was not set");
                state.status &= !value;
            }
            _ => {
                drop(state);
                self.space.write16(address, offset, value);
            }
        }
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        self.space.buses(index)
    }
}
