//! The slots, looked at once a tick.

use heapless::Deque;
use ivshmem::device;
use ivshmem::hotplug::{Event, Hotplug, acpi::Ports};
use ivshmem::interrupt::event;
use ivshmem::pci::{Access, Address, Function};
use ivshmem_examples::clock::Clock;
use ivshmem_examples::interrupts::FIRST_DOORBELL;
use ivshmem_examples::timer::{self, Sleep};

/// Events that wait for a device to be served first.
const WAITING: usize = 64;

pub struct Watch {
    access: Access,
    hotplug: Hotplug<Ports>,
    pub clock: Clock,
    /// When the slots were looked at last.
    tick: u32,
    /// What happened to other devices than the one that is being served.
    waiting: Deque<Event, WAITING>,
}

impl Watch {
    pub fn new(access: Access, hotplug: Hotplug<Ports>, clock: Clock) -> Self {
        Self { access, hotplug, clock, tick: timer::ticks(), waiting: Deque::new() }
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Sleeps until something happens to an ivshmem device.
    pub fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            let sleep = Sleep::until_tick(event(FIRST_DOORBELL));
            if let Some(event) = self.poll() {
                return event;
            }
            sleep.to_tick();
        }
    }

    /// What happened to the device at `address`, if the tick came since the last call. What happens to others waits.
    pub fn happened_to(&mut self, address: Address) -> Option<Event> {
        if timer::ticks() == self.tick || self.waiting.is_full() {
            return None;
        }
        self.tick = timer::ticks();
        let event = self.poll()?;
        if concerns(event) == Some(address) {
            return Some(event);
        }
        // There is room.
        let _ = self.waiting.push_back(event);
        None
    }

    /// Nothing uses the function any more.
    pub fn finish_removal(&mut self, address: Address) {
        // One that is not there any more is told to be gone anyway.
        self.hotplug.finish_removal(address);
    }

    /// One look. Other functions than ivshmem devices are no news; once one is gone, nobody knows what it was.
    fn poll(&mut self) -> Option<Event> {
        let event = self.hotplug.poll(&self.access, self.clock.to_us(self.clock.ticks()))?;
        match event {
            Event::Added(address) => {
                let function = Function::read(&self.access, address);
                function.filter(device::is_ivshmem).map(|_| event)
            }
            event => Some(event),
        }
    }
}

fn concerns(event: Event) -> Option<Address> {
    match event {
        Event::RemovalRequested(address) | Event::RemovalCancelled(address) | Event::Lost(address) => Some(address),
        _ => None,
    }
}
