//! Native hot-plug of PCI Express: the slot of a root port, or of a switch's downstream port (PCI Express Base Specification 4.0, sections
//! 6.7 and 7.5.3.9 to 7.5.3.11).
//!
//! ```text
//!            presence                    link, 100 ms, Vendor ID
//!   Empty ------------> Starting ------------------------------> Up
//!     ^  ^                 | fault                               | `finish_removal`
//!     |  | no presence     v                                     v
//!     |  +----------------Off <----------- no answer ------- Stopping
//!     +------------------------- surprise removal ------------- Up
//! ```
//!
//! The attention button, pressed while Up, requests removal, and pressed once more takes that back; pressed while Off it asks for power again.
//! A press while Starting is a request that is told once the device is Up.

use super::{Event, answers};
use crate::log::log;
use crate::pci::{Address, Bridge, ConfigAccess};

mod error;
mod registers;

pub use error::{Fault, SlotError};
pub use registers::SlotCapabilities;

use registers::{Control, Registers, SlotStatus};

/// For a command to be completed (section 6.7.3.2), for the link to become active, for the first answer (section 6.6.1), and between
/// power off and whatever relies on it (section 6.7.1.8), in microseconds.
const SECOND: u64 = 1_000_000;
/// From an active link to the first configuration cycle (section 6.6.1), in microseconds.
const READY: u64 = 100_000;

/// A slot, and what is in it.
///
/// Whatever its registers say, a call makes at most 4 configuration reads and 4 writes, and does not wait: time passes between calls.
#[derive(Debug)]
pub struct Slot {
    registers: Registers,
    /// Device 0 of the bus behind the port: all that a link leads to.
    function: Address,
    state: State,
    /// When the last command was given, which the slot has not yet said to be completed.
    commanded: Option<u64>,
    /// Since when there is no power.
    unpowered: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Starting {
        since: u64,
        /// When the link was first seen active.
        active: Option<u64>,
        pressed: bool,
    },
    Up {
        /// Not told yet.
        pressed: bool,
        requested: bool,
    },
    Stopping {
        commanded: bool,
    },
    /// Something is in the slot that was let go, or that does not come up.
    Off,
}

/// One look at a slot.
#[derive(Clone, Copy)]
struct Look {
    now: u64,
    control: Control,
    status: SlotStatus,
}

impl Look {
    fn is_present(&self) -> bool {
        self.status.contains(SlotStatus::PRESENT)
    }

    fn pressed(&self) -> bool {
        self.status.contains(SlotStatus::BUTTON)
    }

    /// Something was put into the slot, or taken out of it, since the last look.
    fn swapped(&self) -> bool {
        self.status.contains(SlotStatus::PRESENCE_CHANGED)
    }

    fn attention(&self) -> Control {
        self.control.intersection(Control::ATTENTION_OFF)
    }
}

impl Slot {
    /// The slot of the port at `port`: at most 57 configuration reads, and no write.
    ///
    /// What is in it already is [added](Event::Added) by [`poll`](Self::poll).
    pub fn at<A: ConfigAccess + ?Sized>(access: &A, port: Address) -> Result<Self, SlotError> {
        let bridge = Bridge::at(access, port).ok_or(SlotError::NotABridge)?;
        let registers = Registers::find(access, port)?;
        let bus = bridge.numbers().secondary;
        let function = Address::new(port.segment(), bus, 0, 0).ok().filter(|_| bus != 0).ok_or(SlotError::NoBus)?;
        log!(debug, "{}: slot {=u16}, {}", port, registers.number, registers.capabilities);
        Ok(Self { registers, function, state: State::Empty, commanded: None, unpowered: None })
    }

    /// Where the function is that the slot takes.
    pub fn function(&self) -> Address {
        self.function
    }

    /// What the slot can do.
    pub fn capabilities(&self) -> SlotCapabilities {
        self.registers.capabilities
    }

    /// The physical slot's number.
    pub fn number(&self) -> u16 {
        self.registers.number
    }

    /// Looks at the slot and does what is due; `now` is any clock's time in microseconds, which does not run backwards.
    pub fn poll<A: ConfigAccess + ?Sized>(&mut self, access: &A, now: u64) -> Option<Event> {
        let Some((control, status)) = self.registers.read(access) else { return self.gone() };
        self.registers.clear(access, status);
        if status.contains(SlotStatus::COMPLETED) {
            self.commanded = None;
        }
        let look = Look { now, control, status };
        match self.state {
            State::Empty => self.empty(access, look),
            State::Starting { since, active, pressed } => self.starting(access, look, since, active, pressed),
            State::Up { pressed, requested } => self.up(access, look, pressed, requested),
            State::Stopping { commanded } => self.stopping(access, look, commanded),
            State::Off => {
                if !look.is_present() || look.pressed() || look.swapped() {
                    self.state = State::Empty;
                } else {
                    self.power_off(access, look, look.attention());
                }
                None
            }
        }
    }

    /// Lets the function go: the next calls of [`poll`](Self::poll) switch its power off, and say [`Event::Removed`] when it no longer
    /// answers. `false` if there is none.
    ///
    /// Nothing may use it any more. Without being asked it may be done too.
    pub fn finish_removal(&mut self) -> bool {
        let up = matches!(self.state, State::Up { .. });
        if up {
            self.state = State::Stopping { commanded: false };
        }
        up
    }

    /// The port no longer answers: it was itself behind something that was unplugged.
    fn gone(&mut self) -> Option<Event> {
        let before = core::mem::replace(&mut self.state, State::Empty);
        (self.commanded, self.unpowered) = (None, None);
        match before {
            State::Up { .. } => Some(Event::Lost(self.function)),
            State::Stopping { .. } => Some(Event::Removed(self.function)),
            State::Empty | State::Starting { .. } | State::Off => None,
        }
    }

    fn empty<A: ConfigAccess + ?Sized>(&mut self, access: &A, look: Look) -> Option<Event> {
        if !look.is_present() {
            self.power_off(access, look, look.attention());
            return None;
        }
        let powered = !look.control.contains(Control::UNPOWERED) || !self.has(SlotCapabilities::POWER_CONTROLLER);
        let rested = self.unpowered.is_none_or(|since| look.now.wrapping_sub(since) >= SECOND);
        let on = Control::POWER_BLINKING | Control::ATTENTION_OFF;
        if powered || rested && self.command(access, look, on) {
            // Without a change of presence it is not the button that said there is something.
            let pressed = powered && look.pressed() && !look.swapped();
            self.state = State::Starting { since: look.now, active: None, pressed };
            self.unpowered = None;
        }
        None
    }

    fn starting<A: ConfigAccess + ?Sized>(
        &mut self,
        access: &A,
        look: Look,
        since: u64,
        active: Option<u64>,
        pressed: bool,
    ) -> Option<Event> {
        let waited = look.now.wrapping_sub(since);
        let pressed = pressed || look.pressed();
        if !look.is_present() {
            self.power_off(access, look, Control::ATTENTION_OFF);
            self.state = State::Empty;
            return None;
        }
        if look.status.contains(SlotStatus::POWER_FAULT) {
            return self.fail(access, look, Fault::Power);
        }
        if !self.registers.link_is_active(access) {
            self.state = State::Starting { since, active: None, pressed };
            return if waited >= SECOND { self.fail(access, look, Fault::Link) } else { None };
        }
        let active = active.unwrap_or(look.now);
        self.state = State::Starting { since, active: Some(active), pressed };
        let ready = look.now.wrapping_sub(active);
        if ready < READY {
            return None;
        }
        let identity = match answers(access, self.function) {
            Ok(()) => {
                // The changes that bringing it up made are none of what is in the slot; what changes later is.
                let late = self.registers.read(access).map_or(SlotStatus::empty(), |(_, status)| status);
                self.registers
                    .clear(access, late.intersection(SlotStatus::PRESENCE_CHANGED | SlotStatus::LINK_CHANGED));
                self.state = State::Up { pressed, requested: false };
                self.command(access, look, Control::POWER_ON | Control::ATTENTION_OFF);
                return Some(Event::Added(self.function));
            }
            Err(identity) => identity,
        };
        if ready >= SECOND { self.fail(access, look, Fault::NoAnswer { identity }) } else { None }
    }

    fn up<A: ConfigAccess + ?Sized>(
        &mut self,
        access: &A,
        look: Look,
        pressed: bool,
        requested: bool,
    ) -> Option<Event> {
        let unchanged = !look.status.intersects(SlotStatus::PRESENCE_CHANGED | SlotStatus::LINK_CHANGED);
        let there = look.is_present() && unchanged && self.registers.link_is_active(access);
        if !there || answers(access, self.function).is_err() {
            self.power_off(access, look, Control::ATTENTION_OFF);
            self.state = State::Empty;
            return Some(Event::Lost(self.function));
        }
        let pressed = pressed || look.pressed();
        let requested = requested != pressed;
        self.state = State::Up { pressed: false, requested };
        // A command that the slot is not ready for is given later.
        let indicator = if requested { Control::POWER_BLINKING } else { Control::POWER_ON };
        self.command(access, look, indicator | Control::ATTENTION_OFF);
        match (pressed, requested) {
            (false, _) => None,
            (true, true) => Some(Event::RemovalRequested(self.function)),
            (true, false) => Some(Event::RemovalCancelled(self.function)),
        }
    }

    fn stopping<A: ConfigAccess + ?Sized>(&mut self, access: &A, look: Look, commanded: bool) -> Option<Event> {
        if look.is_present() && !commanded {
            let commanded = self.power_off(access, look, Control::ATTENTION_OFF);
            self.state = State::Stopping { commanded };
            return None;
        }
        if look.is_present() && answers(access, self.function).is_ok() {
            return None;
        }
        // Something else may be in the slot by now.
        self.state = if look.is_present() && !look.swapped() { State::Off } else { State::Empty };
        Some(Event::Removed(self.function))
    }

    fn fail<A: ConfigAccess + ?Sized>(&mut self, access: &A, look: Look, fault: Fault) -> Option<Event> {
        log!(error, "{}: {}", self.function, fault);
        self.power_off(access, look, Control::ATTENTION_ON);
        self.state = State::Off;
        Some(Event::Failed(self.function, fault))
    }

    fn power_off<A: ConfigAccess + ?Sized>(&mut self, access: &A, look: Look, attention: Control) -> bool {
        let done = self.command(access, look, Control::POWER_OFF | Control::UNPOWERED | attention);
        if done && !look.control.contains(Control::UNPOWERED) {
            self.unpowered = Some(look.now);
        }
        done
    }

    /// Switches power and indicators, those that there are. `false` if the slot has not yet completed the last command, for which it has a
    /// second.
    fn command<A: ConfigAccess + ?Sized>(&mut self, access: &A, look: Look, wanted: Control) -> bool {
        let switched = [
            (SlotCapabilities::POWER_CONTROLLER, Control::UNPOWERED),
            (SlotCapabilities::POWER_INDICATOR, Control::POWER_OFF),
            (SlotCapabilities::ATTENTION_INDICATOR, Control::ATTENTION_OFF),
        ];
        let switched = switched.iter().filter(|(has, _)| self.has(*has));
        let mask = switched.fold(Control::empty(), |mask, (_, bits)| mask.union(*bits));
        let control = look.control.difference(mask).union(wanted.intersection(mask));
        if control == look.control {
            return true;
        }
        if self.commanded.is_some_and(|since| look.now.wrapping_sub(since) < SECOND) {
            return false;
        }
        self.registers.command(access, control);
        let completes = !self.has(SlotCapabilities::NO_COMMAND_COMPLETED);
        self.commanded = completes.then_some(look.now);
        true
    }

    fn has(&self, capability: SlotCapabilities) -> bool {
        self.registers.capabilities.contains(capability)
    }
}

#[cfg(test)]
mod tests;
