//! A device that lies, opened, rung and interrupted.

use crate::device::{Device, Options, Selector};
use crate::fake::config::{Cycle, Function};
use crate::fake::input::Input;
use crate::fake::machine::{Access, Hypervisor, Machine};
use crate::memory::Memory;
use crate::msix::{Interrupts, Message};
use crate::notify::Doorbell;
use embedded_hal::delay::DelayNs;
use std::vec::Vec;

/// Where firmware put BARs 0 to 2.
const BARS: [u64; 3] = [0xFEBF_1000, 0xFEB0_0000, 0xE0_0000_0000];
/// What QEMU's MSI-X capability takes up in configuration space.
const CAPABILITY: core::ops::Range<u16> = 0x40..0x4C;
/// Calls of one run.
const CALLS: usize = 64;

/// MSI-X, and all else of a device, whatever its configuration space and its registers are and answer.
pub fn msix(bytes: &[u8]) {
    let input = Input::new(bytes);
    let lies = input.byte();
    let (machine, vectors) = machine(&input, lies);
    let before = machine.space().contents();
    // By its address: looking at 256 buses for it takes most of the time.
    let selector = Selector::Address(Machine::ADDRESS);
    // SAFETY: configuration space and mapper are one machine's, and nothing goes through the memory.
    let opened = unsafe { Device::open(&machine, &mut machine.mapper(), selector, Options::default()) };
    let honest = lies & (CHANGED | SCRIPTED | VANISHES) == 0;
    check_config(&machine.take_trace(), honest);
    let mut device = match opened {
        Ok(device) => device,
        Err(error) => {
            assert!(lies & (SCRIPTED | VANISHES) != 0 || machine.space().contents() == before, "after {error}");
            return;
        }
    };
    let size = device.size();
    assert!(size.is_power_of_two() && device.memory().is_some_and(|memory| memory.len() as u64 == size));
    let mut run = Run { machine, device, interrupts: None, messages: Vec::new(), vectors, honest };
    for _ in 0..CALLS {
        if input.is_empty() {
            break;
        }
        run.call(&input);
    }
}

/// Registers of configuration space are not what a device's are.
const CHANGED: u8 = 1 << 0;
/// The function vanishes.
const VANISHES: u8 = 1 << 1;
/// IVPosition is anything at first.
const ID: u8 = 1 << 2;
/// Registers answer anything.
const REGISTERS: u8 = 1 << 3;
/// The table keeps nothing.
const BROKEN: u8 = 1 << 4;
/// A BAR cannot be mapped.
const UNMAPPED: u8 = 1 << 5;
/// Reads of configuration space answer what is not there.
const SCRIPTED: u8 = 1 << 6;
/// ACRN's, not QEMU's.
const ACRN: u8 = 1 << 7;

fn machine(input: &Input<'_>, lies: u8) -> (Machine, u16) {
    let vectors = [1, 2, 8, 64, 129][usize::from(input.byte()) % 5];
    let mut function = Function::ivshmem_doorbell(4096, vectors);
    let mut hypervisor = Hypervisor::Qemu;
    if lies & ACRN != 0 {
        (function, hypervisor) = (function.subsystem(0x8086, 0x1000).plain_storage(), Hypervisor::Acrn);
    }
    for (index, address) in (0..).zip(BARS) {
        function = function.assigned(index, address);
    }
    let machine = Machine::new(hypervisor, input.u16(), function.clone());
    let mut machine = machine.expect("the pages of a machine can be mapped");
    if lies & CHANGED != 0 {
        for _ in 0..1 + input.byte() % 4 {
            let offset = match input.byte() {
                at @ 0..128 => CAPABILITY.start + u16::from(at) % 3 * 4,
                at => u16::from(at) % 24 * 4,
            };
            function = function.register(offset, input.u32(), input.u32());
        }
        machine.space().plug(Machine::ADDRESS, function);
    }
    if lies & SCRIPTED != 0 {
        let offset = u16::from(input.byte()) % 24 * 4;
        let answers = (0..1 + input.byte() % 8).map(|_| input.byte().is_multiple_of(2).then(|| input.u32()));
        machine.space().script(Machine::ADDRESS, offset, answers);
    }
    if lies & VANISHES != 0 {
        machine.space().vanish_after(input.u16().into());
    }
    if lies & ID != 0 {
        machine.script_id([input.u32(), input.u32()]);
    }
    script_registers(&machine, input, lies);
    if lies & BROKEN != 0 {
        machine.break_table();
    }
    if lies & UNMAPPED != 0 {
        machine.fail_to_map(BARS[usize::from(input.byte()) % 3] + u64::from(input.u16()));
    }
    (machine, vectors)
}

fn script_registers(machine: &Machine, input: &Input<'_>, lies: u8) {
    if lies & REGISTERS != 0 {
        machine.script_registers((0..input.byte() % 16).map(|_| input.byte().is_multiple_of(2).then(|| input.u32())));
    }
}

/// Configuration space is written only where the driver has to: BAR2, Command in 16 bits, and the capability.
fn check_config(trace: &[Access], honest: bool) {
    for access in trace {
        match access {
            Access::Config(Cycle::Write16 { offset, .. }) => assert_eq!(*offset, 4, "{access}"),
            Access::Config(Cycle::Write32 { offset, .. }) if honest => {
                assert!([0x18, 0x1C, CAPABILITY.start].contains(offset), "{access}");
            }
            _ => {}
        }
    }
}

/// A clock that nobody waits for.
struct Clock;

impl DelayNs for Clock {
    fn delay_ns(&mut self, _: u32) {}
}

struct Run {
    machine: Machine,
    device: Device,
    interrupts: Option<Interrupts>,
    /// All that were ever entered.
    messages: Vec<(u32, u32)>,
    /// Entries of the device's table, if it is honest about them.
    vectors: u16,
    /// Whether configuration space is.
    honest: bool,
}

impl Run {
    fn call(&mut self, input: &Input<'_>) {
        let (call, vector) = (input.byte(), u16::from(input.byte()));
        // Register accesses, reads and writes.
        let most = match (call % 12, &mut self.interrupts) {
            (0 | 1, _) => self.enable(input, vector),
            (2, Some(interrupts)) => {
                let _ = interrupts.mask(vector);
                (1, 1)
            }
            (3, Some(interrupts)) => {
                let _ = interrupts.unmask(vector);
                (1, 1)
            }
            (4, Some(interrupts)) => {
                let _ = interrupts.pending(vector);
                (1, 0)
            }
            (5, Some(interrupts)) => {
                let used = interrupts.used();
                let (id, machine) = (self.device.id(), &self.machine);
                if let Ok(doorbell) = self.device.doorbell() {
                    let count = |vector| machine.count(32 + u32::from(vector));
                    let arrived = interrupts.self_test(&doorbell, id, count, &mut Clock, 30);
                    assert!(arrived.tested() <= used && arrived.count() <= arrived.tested());
                    assert_eq!(arrived.missing().count(), usize::from(arrived.tested() - arrived.count()));
                }
                (0, usize::from(used))
            }
            (6, interrupts) => match interrupts.take() {
                Some(interrupts) => {
                    let used = interrupts.used().into();
                    let _ = interrupts.close(&self.machine);
                    (used, used)
                }
                None => (0, 0),
            },
            (7, _) => {
                let _ = self.device.check_present(&self.machine);
                (0, 0)
            }
            (8, _) if vector == 0 => {
                self.machine.unplug(input.u32());
                (0, 0)
            }
            (9, _) => {
                if let Ok(doorbell) = self.device.doorbell() {
                    let _ = doorbell.ring(input.u16(), vector * 4);
                }
                (0, 1)
            }
            (10, _) => {
                script_registers(&self.machine, input, call >> 4);
                (0, 0)
            }
            _ => {
                self.machine.ring(vector);
                (0, 0)
            }
        };
        let trace = self.machine.take_trace();
        let reads = trace.iter().filter(|access| matches!(access, Access::Read { .. })).count();
        let writes = trace.iter().filter(|access| matches!(access, Access::Write { .. })).count();
        assert!(reads <= most.0 && writes <= most.1, "{reads} reads and {writes} writes in call {call}, not {most:?}");
        check_config(&trace, self.honest);
        let sent = self.machine.take_messages();
        assert!(!self.honest || sent.iter().all(|message| self.messages.contains(message)), "{sent:x?}");
        if self.honest {
            self.check_registers(&trace);
        }
    }

    fn enable(&mut self, input: &Input<'_>, count: u16) -> (usize, usize) {
        let apic = input.byte().into();
        let messages: Vec<_> = (0..count % 12).filter_map(|n| Message::new(apic, 32 + n as u8).ok()).collect();
        self.messages.extend(messages.iter().map(|message| (message.address(), message.data())));
        self.interrupts = self.device.enable_interrupts(&self.machine, &messages).ok();
        let announced = match self.device.kind() {
            crate::device::Kind::Doorbell { vectors } => usize::from(vectors),
            crate::device::Kind::Plain => 0,
        };
        // Every entry is looked at and masked; each in use is entered, read back, unmasked, and masked again on failure.
        (announced + 4 * messages.len(), announced + 5 * messages.len())
    }

    /// Nothing is written to but the doorbell and entries of the table.
    fn check_registers(&self, trace: &[Access]) {
        for access in trace {
            if let Access::Write { bar, offset, .. } = *access {
                let table = bar == 1 && offset < usize::from(self.vectors) * 16;
                assert!(table || (bar, offset) == (0, 0xC), "{access}");
            }
        }
    }
}
