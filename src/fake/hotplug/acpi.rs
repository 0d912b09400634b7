//! QEMU's ACPI hot-plug registers.

use crate::fake::vm::lock;
use crate::hotplug::acpi::Registers;
use crate::pci::{Address, Buses, ConfigAccess};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::vec::Vec;

/// Selectors that QEMU has (`ACPI_PCIHP_MAX_HOTPLUG_BUS`).
const SELECTORS: usize = 256;

/// QEMU's registers and the slots that they are about, over a configuration space that holds what may be in them: a function that is in no slot
/// answers always.
#[derive(Debug)]
pub struct AcpiSlots<A> {
    space: A,
    /// The bus of each selector.
    buses: Vec<u8>,
    /// Slots of the first selector's bus that nothing can be taken out of.
    fixed: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    selected: u32,
    up: Vec<u32>,
    down: Vec<u32>,
    /// What is not in its slot.
    absent: BTreeSet<Address>,
    /// `acpi-pci-hotplug-with-bridge-support=off`.
    root_only: bool,
    /// The registers are all-ones.
    dead: bool,
    accesses: usize,
    /// A function that is taken after so many more accesses to it.
    going: Option<(Address, usize)>,
    ejected: Vec<(u32, u32)>,
}

impl<A: ConfigAccess> AcpiSlots<A> {
    /// `buses` are those of the selectors 0, 1, and so on; from the slots in `fixed`, of the first of them, nothing can be taken.
    pub fn new(space: A, buses: &[u8], fixed: u32) -> Self {
        let (up, down) = ([0; SELECTORS].to_vec(), [0; SELECTORS].to_vec());
        let state = Mutex::new(State { up, down, ..State::default() });
        Self { space, buses: buses.to_vec(), fixed, state }
    }

    /// As with `acpi-pci-hotplug-with-bridge-support=off`: selector 0 only, and reading tells again what it told.
    #[must_use]
    pub fn root_only(self) -> Self {
        lock(&self.state).root_only = true;
        self
    }

    /// Without this function, until it is added.
    #[must_use]
    pub fn without(self, address: Address) -> Self {
        lock(&self.state).absent.insert(address);
        self
    }

    /// QEMU's `device_add`.
    pub fn add(&self, address: Address) {
        let selector = self.selector(address);
        let mut state = lock(&self.state);
        assert!(state.absent.remove(&address), "{address} is there");
        state.up[selector] |= 1 << address.device();
    }

    /// QEMU's `device_del`.
    pub fn request(&self, address: Address) {
        let selector = self.selector(address);
        lock(&self.state).down[selector] |= 1 << address.device();
    }

    /// Takes the function out although nobody wrote that.
    pub fn take(&self, address: Address) {
        let selector = self.selector(address);
        lock(&self.state).eject(selector, address);
    }

    /// The same after so many more accesses to it.
    pub fn take_after(&self, address: Address, accesses: usize) {
        lock(&self.state).going = Some((address, accesses));
    }

    /// From now on the registers are all-ones, and take nothing.
    pub fn die(&self) {
        lock(&self.state).dead = true;
    }

    /// What was ejected: selector and slots.
    pub fn ejected(&self) -> Vec<(u32, u32)> {
        lock(&self.state).ejected.clone()
    }

    /// Accesses to the registers since the beginning or the last call of this.
    pub fn take_accesses(&self) -> usize {
        core::mem::take(&mut lock(&self.state).accesses)
    }

    /// What holds the functions.
    pub fn space(&self) -> &A {
        &self.space
    }

    fn selector(&self, address: Address) -> usize {
        self.buses.iter().position(|bus| *bus == address.bus()).expect("a bus with a selector")
    }

    /// Whether an access reaches the function.
    fn is_there(&self, address: Address) -> bool {
        let mut state = lock(&self.state);
        if let Some((going, left)) = &mut state.going
            && *going == address
        {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => drop(state.absent.insert(address)),
            }
        }
        !state.absent.contains(&address)
    }
}

impl State {
    fn eject(&mut self, selector: usize, address: Address) {
        self.up[selector] &= !(1 << address.device());
        self.down[selector] &= !(1 << address.device());
        self.absent.insert(address);
    }
}

impl<A: ConfigAccess> Registers for AcpiSlots<A> {
    fn read32(&self, offset: u16) -> u32 {
        let mut state = lock(&self.state);
        state.accesses += 1;
        if state.dead {
            return u32::MAX;
        }
        let selected = state.selected as usize;
        if selected >= SELECTORS {
            return 0;
        }
        match offset {
            0x00 if state.root_only => state.up[selected],
            0x00 => core::mem::take(&mut state.up[selected]),
            0x04 => state.down[selected],
            0x0C if selected == 0 => !self.fixed,
            0x0C => u32::MAX,
            0x10 => state.selected,
            0x08 | 0x14 => 0,
            _ => panic!("read of register {offset:#x}"),
        }
    }

    fn write32(&self, offset: u16, value: u32) {
        let mut state = lock(&self.state);
        state.accesses += 1;
        match offset {
            _ if state.dead => {}
            0x10 if state.root_only => state.selected = 0,
            0x10 => state.selected = value,
            0x08 => {
                // acpi_pcihp_eject_slot takes the lowest of them.
                let selected = state.selected;
                state.ejected.push((selected, value));
                let slot = value.trailing_zeros() as u8;
                let bus = self.buses.get(selected as usize).expect("a selector with a bus");
                let address = Address::new(0, *bus, slot, 0).expect("a slot");
                assert!(selected != 0 || self.fixed >> slot & 1 == 0, "{address} cannot be ejected");
                state.eject(selected as usize, address);
            }
            _ => panic!("write of register {offset:#x}"),
        }
    }
}

impl<A: ConfigAccess> ConfigAccess for AcpiSlots<A> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        if self.is_there(address) { self.space.read32(address, offset) } else { u32::MAX }
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        if self.is_there(address) {
            self.space.write32(address, offset, value);
        }
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        if self.is_there(address) {
            self.space.write16(address, offset, value);
        }
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        self.space.buses(index)
    }
}
