use super::*;
use crate::channel::{Attach, COMMAND_RESPONSE, End, Link, Mailbox, RecvError};
use crate::device::{Device, DeviceGone, Kind, OpenError, Options, Selector};
use crate::fake::config::{ConfigSpace, Function};
use crate::fake::hotplug::{AcpiSlots, Slot as Model};
use crate::fake::machine::{Hypervisor, Machine};
use crate::memory::Memory;
use crate::msix::{Message, MsixError};
use crate::notify::Doorbell;
use crate::pci::{self, Command, Header, Window, Windows};

const MIB: u64 = 1 << 20;

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

type Slotted = Model<Model<ConfigSpace>>;

/// Two ports of one machine, each with 2 MiB of windows of either kind, as SeaBIOS gives them.
fn two_ports() -> Slotted {
    let port = |bus: u8| {
        let at = u32::from(bus) * 0x20_0000;
        Model::port(bus)
            .memory_window(0xFE00_0000 + at, 0xFE1F_FFFF + at)
            .prefetchable_window(u64::from(0xE000_0000 + at), u64::from(0xE01F_FFFF + at))
    };
    let space = ConfigSpace::new()
        .with(at("00:04.0"), port(1))
        .with(at("00:05.0"), port(2))
        .with(at("01:00.0"), Function::ivshmem_doorbell(MIB, 2))
        .with(at("02:00.0"), Function::ivshmem_plain(MIB));
    Model::new(Model::new(space, at("00:04.0"), at("01:00.0")), at("00:05.0"), at("02:00.0"))
}

fn native(model: &Slotted) -> Hotplug<acpi::Ports> {
    Hotplug::find(model, None)
}

/// The next event within 4 s.
fn event<R: acpi::Registers>(hotplug: &mut Hotplug<R>, model: &Slotted, now: &mut u64) -> Option<Event> {
    (0..4000).find_map(|_| {
        *now += 1000;
        hotplug.poll(model, *now)
    })
}

#[test]
fn qemus_registers_go_before_the_slots_of_ports_and_only_where_they_answer() {
    let space = || ConfigSpace::new().with(at("00:01.0"), Model::port(1));
    let slots = AcpiSlots::new(space(), &[1], 0);
    assert!(matches!(Hotplug::find(&slots, Some(&slots)), Hotplug::Acpi(_)));
    slots.die();
    let hotplug = Hotplug::find(&slots, Some(&slots));
    assert!(matches!(hotplug, Hotplug::Native(_)) && hotplug.len() == 1);
    assert!(Hotplug::<acpi::Ports>::find(&ConfigSpace::new(), None).is_empty());
}

#[test]
fn what_comes_is_placed_in_the_windows_of_its_own_port() {
    let model = two_ports();
    let (mut hotplug, mut now) = (native(&model), 0);
    assert_eq!(hotplug.len(), 2);
    model.add();
    assert_eq!(event(&mut hotplug, &model, &mut now), Some(Event::Added(at("02:00.0"))));
    model.space().add();
    assert_eq!(event(&mut hotplug, &model, &mut now), Some(Event::Added(at("01:00.0"))));
    for (device, bars) in [
        ("01:00.0", [0xFE20_1000, 0xFE20_0000, 0xE020_0000].as_slice()),
        ("02:00.0", [0xFE40_0000, 0xE040_0000].as_slice()),
    ] {
        let assigned = pci::assign(&model, at(device), &Windows::default()).unwrap();
        assert_eq!(assigned.windows(), 0, "the ports have theirs");
        let mut placed: std::vec::Vec<_> = assigned.bars().iter().map(|bar| (bar.index, bar.address)).collect();
        placed.sort_unstable();
        assert!(placed.iter().map(|(_, address)| address).eq(bars), "{placed:x?}");
    }
    assert!(!hotplug.finish_removal(at("03:00.0")));
    assert!(hotplug.finish_removal(at("01:00.0")));
    assert_eq!(event(&mut hotplug, &model, &mut now), Some(Event::Removed(at("01:00.0"))));
    assert!(model.is_filled() && !model.space().is_filled());
}

#[test]
fn a_slot_with_something_to_say_at_every_look_keeps_no_other_from_being_heard() {
    let model = two_ports();
    let (mut hotplug, mut now) = (native(&model), 0);
    model.add();
    model.space().add();
    for _ in 0..2 {
        assert!(matches!(event(&mut hotplug, &model, &mut now), Some(Event::Added(_))));
    }
    let mut heard = [0; 2];
    for _ in 0..20 {
        // The first one's button never rests.
        model.space().press();
        if heard == [5, 0] {
            model.press();
        }
        match event(&mut hotplug, &model, &mut now) {
            Some(Event::RemovalRequested(address) | Event::RemovalCancelled(address)) => {
                heard[usize::from(address.bus()) - 1] += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, [19, 1]);
}

fn machine(function: Function) -> Machine {
    let machine = Machine::new(Hypervisor::Qemu, 5, function).unwrap();
    machine.space().plug(at("00:00.0"), Function::new(0x8086, 0x1237).class(0x06_0000, 2));
    machine
}

/// A machine whose device is not there yet, on a root bus with QEMU's registers.
fn absent(machine: &Machine) -> AcpiSlots<&Machine> {
    AcpiSlots::new(machine, &[0], 0b11).without(Machine::ADDRESS)
}

/// With the host bridge announced.
fn watching<'a>(slots: &'a AcpiSlots<&'a Machine>) -> Hotplug<&'a AcpiSlots<&'a Machine>> {
    let mut hotplug = Hotplug::find(slots, Some(slots));
    assert_eq!(hotplug.poll(slots, 0), Some(Event::Added(at("00:00.0"))));
    assert_eq!(hotplug.poll(slots, 0), None);
    hotplug
}

fn open(slots: &AcpiSlots<&Machine>, machine: &Machine) -> Result<Device, OpenError> {
    // SAFETY: configuration space and mapper are of one model, and nothing else drives its device.
    unsafe { Device::open(slots, &mut machine.mapper(), Selector::Address(Machine::ADDRESS), Options::default()) }
}

fn connect<A: Memory, B: Memory>(first: &mut Link<'_, A>, second: &mut Link<'_, B>) {
    for _ in 0..3 {
        first.poll(0);
        second.poll(0);
    }
    assert!(first.poll(0).is_up() && second.poll(0).is_up());
}

fn attach(id: u16, seed: u64) -> Attach {
    Attach { id: Some(id), seed, ..Attach::polled() }
}

#[test]
fn a_mailbox_goes_on_under_a_new_id_and_the_peer_knows_what_was_lost() {
    let machine = machine(Function::ivshmem_doorbell(MIB, 2));
    let slots = absent(&machine);
    let mut hotplug = watching(&slots);
    let mut peer = Mailbox::new(machine.peer_memory().unwrap(), End::Second, &COMMAND_RESPONSE).unwrap();
    let (mut peer_link, mut channels) = peer.attach(attach(1, 1));
    let (mut commands, mut answers) = (channels.sender(0).unwrap(), channels.receiver(1).unwrap());
    let mut buffer = [0; 248];
    let (mut lost, mut received) = (0, 0);
    for (life, id, surprise) in [(0, 5, false), (1, 6, true), (2, 9, true), (3, 12, false)] {
        machine.script_id([id.into()]);
        slots.add(Machine::ADDRESS);
        assert_eq!(hotplug.poll(&slots, 0), Some(Event::Added(Machine::ADDRESS)));
        let mut device = open(&slots, &machine).unwrap();
        assert_eq!(device.id(), id);
        let message = Message::new(0, 0x40).unwrap();
        let interrupts = device.enable_interrupts(&slots, &[message]).unwrap();
        let mut mailbox = Mailbox::new(device.memory().unwrap(), End::First, &COMMAND_RESPONSE).unwrap();
        let (mut link, mut channels) = mailbox.attach(attach(id, 100 + life));
        let (mut receiver, mut sender) = (channels.receiver(0).unwrap(), channels.sender(1).unwrap());
        connect(&mut link, &mut peer_link);
        assert_eq!(peer_link.peer_id(), Some(id));
        if life > 0 {
            assert!(commands.try_send(b"stale").is_err(), "it is told once of the restart");
            let told = answers.try_recv(&mut buffer);
            assert!(matches!(told, Err(RecvError::PeerRestarted { .. })), "{told:?}");
        }
        commands.try_send(b"ping").unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"ping"[..])));
        sender.try_send(b"pong").unwrap().ignore();
        assert_eq!(answers.try_recv(&mut buffer), Ok(Some(&b"pong"[..])));

        if surprise {
            // Two that nobody takes.
            commands.try_send(b"one").unwrap().ignore();
            commands.try_send(b"two").unwrap().ignore();
            lost += 2;
            slots.take(Machine::ADDRESS);
            assert_eq!(hotplug.poll(&slots, 0), Some(Event::Lost(Machine::ADDRESS)));
            assert_eq!(device.check_present(&slots), Err(DeviceGone));
            assert_eq!(interrupts.close(&slots), Err(MsixError::DeviceGone));
        } else {
            slots.request(Machine::ADDRESS);
            assert_eq!(hotplug.poll(&slots, 0), Some(Event::RemovalRequested(Machine::ADDRESS)));
            link.close();
            assert_eq!(interrupts.close(&slots), Ok(()));
            Header::new(&slots, Machine::ADDRESS).set_command(Command::empty());
            assert!(hotplug.finish_removal(Machine::ADDRESS));
            assert_eq!(hotplug.poll(&slots, 0), Some(Event::Removed(Machine::ADDRESS)));
        }
        received += receiver.stats().received;
        assert_eq!(hotplug.poll(&slots, 0), None);
    }
    let stats = commands.stats();
    assert_eq!((stats.restarts, stats.sent, received, lost), (3, 8, 4, 4));
    assert_eq!(stats.lost_at_most, 7, "of the sessions that ended nothing had been acknowledged");
    assert_eq!(answers.stats().received, 4);
}

#[test]
fn a_device_that_goes_at_any_access_while_it_is_opened_is_an_error_and_lost() {
    let doorbell = Function::ivshmem_doorbell(MIB, 2);
    let mut opened = 0;
    for accesses in 0.. {
        let machine = machine(doorbell.clone());
        let slots = absent(&machine);
        let mut hotplug = watching(&slots);
        slots.add(Machine::ADDRESS);
        assert_eq!(hotplug.poll(&slots, 0), Some(Event::Added(Machine::ADDRESS)));
        slots.take_after(Machine::ADDRESS, accesses);
        machine.take_trace();
        // Whatever the calls answer: they come back.
        let _ = pci::assign(&slots, Machine::ADDRESS, &Windows::default());
        let device = open(&slots, &machine);
        if let Ok(mut device) = device {
            assert_eq!(device.kind(), Kind::Doorbell { vectors: 2 });
            let interrupts = device.enable_interrupts(&slots, &[Message::new(0, 0x40).unwrap()]);
            let here = device.check_present(&slots).is_ok();
            if let (Ok(interrupts), true) = (interrupts, here) {
                assert_eq!(interrupts.close(&slots).is_ok(), device.check_present(&slots).is_ok());
                opened += 1;
            }
            let _ = device.doorbell().unwrap().ring(7, 0);
        }
        assert!(machine.take_trace().len() < 400, "gone after {accesses} accesses");
        if opened > 3 {
            break;
        }
        slots.take_after(Machine::ADDRESS, 0);
        assert_eq!(hotplug.poll(&slots, 0), Some(Event::Lost(Machine::ADDRESS)), "gone after {accesses} accesses");
        assert!(!hotplug.finish_removal(Machine::ADDRESS));
        assert_eq!(open(&slots, &machine).unwrap_err(), OpenError::Absent(Machine::ADDRESS));
    }
    assert_eq!(opened, 4);
}

#[test]
fn what_needs_more_than_its_port_has_is_an_error_and_is_let_go() {
    let space = ConfigSpace::new()
        .with(at("00:04.0"), Model::port(1).memory_window(0xFE20_0000, 0xFE3F_FFFF))
        .with(at("01:00.0"), Function::ivshmem_plain(16 * MIB));
    let model = Model::new(space, at("00:04.0"), at("01:00.0"));
    let mut slot = Slot::at(&model, at("00:04.0")).unwrap();
    model.add();
    let added = (0..1000).find_map(|ms| slot.poll(&model, ms * 1000));
    assert_eq!(added, Some(Event::Added(at("01:00.0"))));
    assert!(pci::assign(&model, at("01:00.0"), &Windows::default()).is_err());
    let given = Windows { mem32: None, mem64: Some(Window { base: 1 << 36, limit: (1 << 37) - 1 }) };
    assert_eq!(pci::assign(&model, at("01:00.0"), &given).unwrap().bars()[0].address, 1 << 36);
    assert!(slot.finish_removal());
    assert_eq!(slot.poll(&model, 2_000_000), None);
    assert_eq!(slot.poll(&model, 2_001_000), Some(Event::Removed(at("01:00.0"))));
}
