//! QEMU's own slots and registers under the driver's hot-plug: devices that a host adds and wants back.

use crate::monitor::{self, Monitor};
use crate::qtest::{Ports, Qemu};
use ivshmem::hotplug::{Event, Hotplug, acpi};
use ivshmem::pci::{self, Address, Buses, Command, ConfigAccess, Header, Window, Windows};
use std::cell::{Cell, RefCell};

const NATIVE: &str = "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off";
const PORTS: &str =
    "-device pcie-root-port,id=a,addr=0x4,chassis=1,slot=1 -device pcie-root-port,id=b,addr=0x5,chassis=2,slot=2";
const WINDOWS: Windows = Windows {
    mem32: Some(Window { base: 0xC000_0000, limit: 0xDFFF_FFFF }),
    mem64: Some(Window { base: 0x80_0000_0000, limit: 0xFF_FFFF_FFFF }),
};

/// The ACPI registers of a machine.
struct Registers<'a> {
    qemu: &'a Qemu,
    base: u16,
}

impl acpi::Registers for Registers<'_> {
    fn read32(&self, offset: u16) -> u32 {
        self.qemu.in32(self.base + offset)
    }

    fn write32(&self, offset: u16, value: u32) {
        self.qemu.out32(self.base + offset, value);
    }
}

/// A machine and the driver's view of its slots.
struct Site<'a> {
    qemu: &'a Qemu,
    monitor: &'a RefCell<Monitor>,
    hotplug: Hotplug<Registers<'a>>,
    now: u64,
    /// Memory backends so far: QEMU 7.2 ends with an assertion when one is given to a second device.
    backends: Cell<u32>,
}

impl<'a> Site<'a> {
    fn new(qemu: &'a Qemu, monitor: &'a RefCell<Monitor>) -> Self {
        let ports = qemu.ports();
        pci::number_buses(&ports, Buses { segment: 0, first: 0, last: 255 }).unwrap();
        let registers = acpi::base(&ports).map(|base| Registers { qemu, base });
        assert!(registers.is_some(), "a chipset of QEMU's");
        let hotplug = Hotplug::find(&ports, registers);
        let mut site = Self { qemu, monitor, hotplug, now: 0, backends: Cell::default() };
        while site.poll().is_some() {}
        site
    }

    fn ports(&self) -> Ports<'a> {
        self.qemu.ports()
    }

    /// 10 ms later.
    fn poll(&mut self) -> Option<Event> {
        self.now += 10_000;
        self.hotplug.poll(&self.qemu.ports(), self.now)
    }

    /// The next event within 1.5 s of the driver's time.
    fn event(&mut self) -> Option<Event> {
        (0..150).find_map(|_| self.poll())
    }

    fn add(&self, id: &str, place: &str) {
        let number = self.backends.get();
        self.backends.set(number + 1);
        let mut monitor = self.monitor.borrow_mut();
        let memory =
            format!("\"qom-type\": \"memory-backend-ram\", \"id\": \"m{number}\", \"size\": 1048576, \"share\": true");
        monitor.ask("object-add", &memory).unwrap();
        let device = format!("\"driver\": \"ivshmem-plain\", \"memdev\": \"m{number}\", \"id\": \"{id}\", {place}");
        monitor.ask("device_add", &device).unwrap();
    }

    fn ask_back(&self, id: &str) -> Result<String, String> {
        self.monitor.borrow_mut().ask("device_del", &format!("\"id\": \"{id}\""))
    }

    /// The device's BARs are placed, and its memory is memory.
    fn use_it(&self, address: Address) {
        let ports = self.ports();
        let assigned = pci::assign(&ports, address, &WINDOWS).unwrap();
        assert_eq!(assigned.bars().len(), 2);
        Header::new(&ports, address).set_command(Command::MEMORY);
        let memory = pci::bar(&ports, address, 2).unwrap().address;
        self.qemu.write32(memory + 0xF_FFFC, 0x1234_5678);
        assert_eq!(self.qemu.read32(memory + 0xF_FFFC), 0x1234_5678);
    }

    /// Lets it go, and QEMU deletes it.
    #[track_caller]
    fn let_go(&mut self, id: &str, address: Address) {
        assert!(self.hotplug.finish_removal(address));
        assert_eq!(self.event(), Some(Event::Removed(address)));
        self.monitor.borrow_mut().deleted(id);
        assert_eq!(self.event(), None);
    }
}

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

const IN_A: &str = "\"bus\": \"a\", \"addr\": \"0\"";
const IN_B: &str = "\"bus\": \"b\", \"addr\": \"0\"";

#[test]
fn a_native_slot_takes_and_gives_back_one_device_after_another() {
    let Some((qemu, monitor)) = monitor::start("q35", &format!("{NATIVE} {PORTS}")) else { return };
    let mut site = Site::new(&qemu, &monitor);
    assert!(matches!(site.hotplug, Hotplug::Native(_)) && site.hotplug.len() == 2);
    let (a, b) = (at("01:00.0"), at("02:00.0"));
    site.add("other", IN_B);
    assert_eq!(site.event(), Some(Event::Added(b)));
    for _ in 0..3 {
        site.add("one", IN_A);
        assert_eq!(site.event(), Some(Event::Added(a)));
        site.use_it(a);
        site.ask_back("one").unwrap();
        assert_eq!(site.event(), Some(Event::RemovalRequested(a)));
        // QEMU presses no second time within five seconds, nor while the power indicator blinks.
        site.ask_back("one").unwrap_err();
        assert_eq!(site.event(), None);
        site.let_go("one", a);
    }
    assert_eq!(pci::size_bar(&site.ports(), b, 2), Ok(1 << 20), "the other one is there");
}

#[test]
fn a_native_slot_that_somebody_else_switches_off_has_lost_its_device() {
    let Some((qemu, monitor)) = monitor::start("q35", &format!("{NATIVE} {PORTS}")) else { return };
    let mut site = Site::new(&qemu, &monitor);
    let (device, port) = (at("01:00.0"), at("00:04.0"));
    let slot_control = pci::find_capability(&site.ports(), port, 0x10).unwrap().unwrap() + 0x18;
    for _ in 0..2 {
        site.add("one", IN_A);
        assert_eq!(site.event(), Some(Event::Added(device)));
        site.use_it(device);
        site.ports().write16(port, slot_control, 0x07C0);
        assert_eq!(site.event(), Some(Event::Lost(device)));
        monitor.borrow_mut().deleted("one");
        assert!(!site.hotplug.finish_removal(device));
        assert_eq!(site.event(), None);
    }
}

#[test]
fn a_native_slots_device_that_is_wanted_back_before_it_has_power_is_never_announced() {
    let Some((qemu, monitor)) = monitor::start("q35", &format!("{NATIVE} {PORTS}")) else { return };
    let mut site = Site::new(&qemu, &monitor);
    site.add("one", IN_A);
    site.ask_back("one").unwrap();
    monitor.borrow_mut().deleted("one");
    assert_eq!(site.event(), None);
    // With power on, and no answer yet.
    site.add("one", IN_A);
    assert_eq!(site.poll(), None);
    let busy = site.ask_back("one").unwrap_err();
    assert!(busy.contains("busy"), "{busy}");
    assert_eq!(site.event(), Some(Event::Added(at("01:00.0"))));
}

#[test]
fn acpi_registers_of_q35_eject_from_the_right_one_of_two_ports() {
    let Some((qemu, monitor)) = monitor::start("q35", PORTS) else { return };
    let mut site = Site::new(&qemu, &monitor);
    assert!(matches!(site.hotplug, Hotplug::Acpi(_)) && site.hotplug.len() == 2);
    let places = [("one", IN_A, at("01:00.0")), ("two", IN_B, at("02:00.0"))];
    for order in [[0, 1], [1, 0]] {
        for (id, place, address) in order.map(|n| places[n]) {
            site.add(id, place);
            assert_eq!(site.event(), Some(Event::Added(address)));
            site.use_it(address);
        }
        for (id, _, address) in places {
            site.ask_back(id).unwrap();
            assert_eq!(site.event(), Some(Event::RemovalRequested(address)));
            assert_eq!(site.event(), None);
            site.let_go(id, address);
        }
    }
}

#[test]
fn acpi_registers_of_pc_have_slots_on_the_root_bus_and_behind_a_bridge() {
    let bridge = "-device pci-bridge,id=a,addr=0x4,chassis_nr=1";
    let legacy = "-global PIIX4_PM.acpi-pci-hotplug-with-bridge-support=off";
    for (arguments, buses) in [(bridge.to_owned(), 2), (format!("{legacy} {bridge}"), 1)] {
        let Some((qemu, monitor)) = monitor::start("pc", &arguments) else { return };
        let mut site = Site::new(&qemu, &monitor);
        assert!(matches!(site.hotplug, Hotplug::Acpi(_)));
        assert_eq!(site.hotplug.len(), buses);
        let places = [
            ("root", "\"bus\": \"pci.0\", \"addr\": \"6\"", at("00:06.0")),
            ("behind", "\"bus\": \"a\", \"addr\": \"1f\"", at("01:1f.0")),
        ];
        for _ in 0..2 {
            for (id, place, address) in &places[..buses] {
                site.add(id, place);
                assert_eq!(site.event(), Some(Event::Added(*address)));
                site.use_it(*address);
            }
            for (id, _, address) in &places[..buses] {
                site.ask_back(id).unwrap();
                assert_eq!(site.event(), Some(Event::RemovalRequested(*address)));
                site.let_go(id, *address);
            }
        }
    }
}

#[test]
fn what_somebody_else_ejects_by_acpi_is_lost() {
    let Some((qemu, monitor)) = monitor::start("pc", "") else { return };
    let mut site = Site::new(&qemu, &monitor);
    let device = at("00:06.0");
    for asked in [false, true] {
        site.add("one", "\"bus\": \"pci.0\", \"addr\": \"6\"");
        assert_eq!(site.event(), Some(Event::Added(device)));
        if asked {
            site.ask_back("one").unwrap();
            assert_eq!(site.event(), Some(Event::RemovalRequested(device)));
        }
        qemu.out32(0xAE10, 0);
        qemu.out32(0xAE08, 1 << 6);
        assert_eq!(site.event(), Some(Event::Lost(device)));
        monitor.borrow_mut().deleted("one");
        assert!(!site.hotplug.finish_removal(device));
    }
}

#[test]
fn a_device_from_the_beginning_is_announced_and_let_go() {
    let device = "-object memory-backend-ram,id=m,size=1M -device ivshmem-plain,id=one,memdev=m,bus=a";
    for mechanism in [NATIVE, ""] {
        let arguments = format!("{mechanism} {PORTS} {device}");
        let Some((qemu, monitor)) = monitor::start("q35", &arguments) else { return };
        let ports = qemu.ports();
        pci::number_buses(&ports, Buses { segment: 0, first: 0, last: 255 }).unwrap();
        let hotplug = Hotplug::find(&ports, acpi::base(&ports).map(|base| Registers { qemu: &qemu, base }));
        let mut site = Site { qemu: &qemu, monitor: &monitor, hotplug, now: 0, backends: Cell::default() };
        assert_eq!(site.event(), Some(Event::Added(at("01:00.0"))));
        site.use_it(at("01:00.0"));
        site.ask_back("one").unwrap();
        assert_eq!(site.event(), Some(Event::RemovalRequested(at("01:00.0"))));
        site.let_go("one", at("01:00.0"));
    }
}
