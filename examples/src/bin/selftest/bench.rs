//! What the checks work on: the machine, its configuration space, every device opened.

use crate::report::{OrFailed, Unfinished};
use crate::same;
use ivshmem::device::{self, Device, Kind, Selector};
use ivshmem::interrupt::{HltWait, event};
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::msix::{Interrupts, Message};
use ivshmem::notify::Wait;
use ivshmem::pci::{self, Access, Address};
use ivshmem_examples::clock::Clock;
use ivshmem_examples::configuration::Configuration;
use ivshmem_examples::failure::Named;
use ivshmem_examples::interrupts::{DOORBELLS, FIRST_DOORBELL};
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::paging::DeviceMapper;
use ivshmem_examples::say;
use ivshmem_examples::timer::Timer;

/// Devices that are tested; further ones are left alone.
const DEVICES: usize = 8;
/// How often the timer ticks meanwhile, in microseconds: it ends bounded waits.
pub const TICK_US: u32 = 1000;
/// How long an interrupt is waited for before it counts as lost, in microseconds. Long: a busy host delays QEMU.
pub const PATIENCE_US: u32 = 10_000_000;

/// A device and its memory.
#[derive(Debug)]
pub struct Slot {
    pub device: Device,
    pub memory: SharedMemory,
}

/// Everything there is.
#[derive(Debug)]
pub struct Bench<'a> {
    pub mapper: &'a mut DeviceMapper,
    pub rsdp: Option<u64>,
    pub clock: Clock,
    pub timer: Timer,
    pub access: Access,
    pub slots: heapless::Vec<Slot, DEVICES>,
}

impl<'a> Bench<'a> {
    /// Opens every device and starts the tick.
    pub fn open(machine: &'a mut Machine, configuration: Configuration) -> Result<Self, Failed> {
        let clock = Clock::calibrate().map_err(|error| machine.failed(&error))?;
        let mut timer = Timer::start(&mut machine.mapper, clock).map_err(|error| machine.failed(&error))?;
        timer.every(TICK_US).map_err(|error| machine.failed(&error))?;
        // SAFETY: ring 0, the RSDP is from the start info; the checks that open configuration space once more do not
        // use it at the same time.
        let access = unsafe { configuration.open(machine.rsdp, &mut machine.mapper) };
        let access = access.map_err(|error| machine.failed(&error))?;
        configuration.place(&access, |error| say!("selftest: error {}", Named(&error)));
        let mut slots = heapless::Vec::new();
        for function in pci::functions(&access).filter(device::is_ivshmem).take(DEVICES) {
            let mut device = open(&access, &mut machine.mapper, Selector::Address(function.address))
                .map_err(|error| machine.failed(&error))?;
            if let Some(memory) = device.memory() {
                // Never full: no more are taken than it holds.
                let _ = slots.push(Slot { device, memory });
            }
        }
        Ok(Self { mapper: &mut machine.mapper, rsdp: machine.rsdp, clock, timer, access, slots })
    }

    /// The first device's place among [`slots`](Self::slots).
    pub fn first(&self) -> Result<usize, Unfinished> {
        if self.slots.is_empty() { Err(Unfinished::Skipped("needs an ivshmem device")) } else { Ok(0) }
    }

    /// The places of the doorbell devices.
    pub fn doorbells(&self) -> Result<heapless::Vec<usize, DEVICES>, Unfinished> {
        let doorbells: heapless::Vec<usize, DEVICES> =
            (0..self.slots.len()).filter(|at| self.slots[*at].device.kind() != Kind::Plain).collect();
        if doorbells.is_empty() { Err(Unfinished::Skipped("needs an ivshmem-doorbell device")) } else { Ok(doorbells) }
    }

    /// Two doorbell devices on the same memory, hence on one server: their places.
    pub fn pair(&self) -> Result<(usize, usize), Unfinished> {
        let doorbells = self.doorbells()?;
        for (n, one) in doorbells.iter().enumerate() {
            for other in doorbells.iter().skip(n + 1) {
                if self.share_memory(*one, *other) {
                    return Ok((*one, *other));
                }
            }
        }
        Err(Unfinished::Skipped("needs two ivshmem-doorbell devices on one server"))
    }

    fn share_memory(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.slots[one].memory, &self.slots[other].memory);
        one.len() == other.len()
            && [0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210].into_iter().all(|token| {
                one.publish(0, token);
                other.load(0) == token
            })
    }

    /// Opens a device once more, by a selector.
    pub fn reopen(&mut self, selector: Selector) -> Result<Device, device::OpenError> {
        open(&self.access, self.mapper, selector)
    }

    /// Enables up to `most` interrupts of a device: vector n raises IDT vector [`idt_vector`] of n.
    pub fn enable(&mut self, at: usize, most: u16) -> Result<Interrupts, Unfinished> {
        let device = &mut self.slots[at].device;
        let Kind::Doorbell { vectors } = device.kind() else {
            return Err(Unfinished::Skipped("needs an ivshmem-doorbell device"));
        };
        let mut messages = heapless::Vec::<Message, 256>::new();
        for vector in 0..vectors.min(device.quirks().doorbell_vectors).min(most) {
            let message = Message::new(self.timer.apic_id(), idt_vector(vector)).or_failed("a message")?;
            messages.push(message).or_failed("room for a message")?;
        }
        device.enable_interrupts(&self.access, &messages).or_failed("enabling interrupts")
    }

    /// Disables a device's interrupts, and checks that the device says so.
    pub fn close(&self, at: usize, interrupts: Interrupts) -> Result<(), Unfinished> {
        interrupts.close(&self.access).or_failed("closing")?;
        same!(self.msix_enabled(self.slots[at].device.address())?, false, "MSI-X Enable after closing");
        Ok(())
    }

    /// Bit 15 of MSI-X Message Control (PCI 3.0, 6.8.2.3).
    pub fn msix_enabled(&self, address: Address) -> Result<bool, Unfinished> {
        let capability = pci::find_capability(&self.access, address, 0x11).or_failed("the capability list")?;
        let capability = capability.or_failed("the MSI-X capability")?;
        Ok(pci::ConfigAccess::read32(&self.access, address, capability) >> 31 != 0)
    }

    /// Waits, halted, until a device's vector fires. `seen` is its count before the ring.
    pub fn arrives(&self, vector: u16, seen: u32) -> bool {
        self.hlt_wait(vector, PATIENCE_US).wait(seen)
    }

    /// A halted wait for a device's vector, of at most `us` microseconds and a tick.
    pub fn hlt_wait(&self, vector: u16, us: u32) -> HltWait {
        // SAFETY: ring 0; the table has a handler for whatever may fire.
        unsafe { HltWait::new(event(idt_vector(vector)), self.clock.from_us(us.into())) }
    }
}

fn open(access: &Access, mapper: &mut DeviceMapper, selector: Selector) -> Result<Device, device::OpenError> {
    // SAFETY: this machine's configuration space. A check that opens a device a second time does not use both at once.
    unsafe { Device::open(access, mapper, selector, device::Options::default()) }
}

/// The IDT vector of a device's vector. Beyond 191 vectors they are shared, and only one is rung at a time.
pub const fn idt_vector(vector: u16) -> u8 {
    FIRST_DOORBELL + (vector % DOORBELLS as u16) as u8
}
