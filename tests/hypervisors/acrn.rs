//! ACRN's hypervisor-land device, at every version.

use crate::{DATA, Party, VECTORS, at, enable, exchange_by_doorbell, exchange_polled, open, vm_with_others};
use embedded_hal::delay::DelayNs;
use ivshmem::channel::{Attach, Channel, End, Mailbox};
use ivshmem::device::{Device, Kind, Options, RingError, Selector};
use ivshmem::fake::acrn::{HypervisorLand, Region, V3_3, VERSIONS, Version};
use ivshmem::fake::config::Cycle;
use ivshmem::fake::machine::Access;
use ivshmem::fake::ports::PortLatch;
use ivshmem::fake::vm::Vm;
use ivshmem::msix::MsixError;
use ivshmem::notify::Doorbell;
use ivshmem::pci::{Address, Command, ConfigAccess, Header, Status, functions, size_bar};
use std::sync::Arc;

const REGION: u16 = 0x1000;

fn place() -> Address {
    at("00:08.0")
}

fn region() -> Arc<Region> {
    Region::new(REGION, 2 << 20).unwrap()
}

/// A VM with a device on the region.
fn vm(version: Version, id: u16, region: &Arc<Region>) -> (Vm, Arc<HypervisorLand>) {
    let device = HypervisorLand::new(version, id, region, HypervisorLand::BARS);
    (vm_with_others().with(place(), device.clone()), device)
}

fn open_one(vm: &Vm) -> Device {
    open(vm, vm, Selector::Nth(0), Options::default()).unwrap()
}

struct NoTime;

impl DelayNs for NoTime {
    fn delay_ns(&mut self, _: u32) {}
}

fn comes_up(access: &impl ConfigAccess, vm: &Vm, land: &HypervisorLand, version: Version) {
    let name = version.name;
    let ivshmem = functions(access).find(|function| function.address == place()).unwrap();
    assert_eq!((functions(access).count(), ivshmem.multi_function), (3, version.multi_function), "{name}");
    let registers =
        |from: core::ops::Range<u16>| from.step_by(4).map(|at| access.read32(place(), at)).collect::<Vec<_>>();
    let before = registers(8..0x100);
    let mut device = open(access, vm, Selector::default(), Options::default()).unwrap();
    assert_eq!((device.id(), device.kind(), device.size()), (1, Kind::Doorbell { vectors: 8 }, 2 << 20), "{name}");
    assert_eq!((device.bar0(), device.bar2()), (HypervisorLand::BARS[0], HypervisorLand::BARS[2]));
    assert!(!device.id_may_be_lost() && device.quirks().id_survives_restart);
    assert_eq!(device.quirks().subsystem_is_region, version.shows_region, "{name}");
    assert_eq!(registers(8..0x100), before, "{name}: all but Command is as it was");
    assert!(
        land.placed().iter().all(|placed| *placed == (2, HypervisorLand::BARS[2])),
        "{name}: only BAR2, to where it was"
    );

    let interrupts = enable(&mut device, access);
    let header = Header::new(access, place());
    assert_eq!(header.command(), Command::MEMORY | Command::BUS_MASTER);
    assert_eq!(header.status(), Status::CAPABILITIES, "{name}: Status is storage, and was not written");
    let doorbell = device.doorbell().unwrap();
    let count = |vector| land.count(DATA + u32::from(vector));
    let arrived = interrupts.self_test(&doorbell, device.id(), count, &mut NoTime, 0);
    assert_eq!((arrived.count(), arrived.tested()), (VECTORS, VECTORS), "{name}");
    assert_eq!(interrupts.pending(0), Err(MsixError::NoPendingBits));
    assert_eq!(doorbell.ring(0, 8), Err(RingError::Vector { vector: 8, vectors: 8 }));
    interrupts.close(access).unwrap();
    assert_eq!(device.check_present(access), Ok(()));
}

#[test]
fn the_driver_comes_up_on_every_version_by_ecam() {
    for version in VERSIONS {
        let (vm, land) = vm(version, 1, &region());
        comes_up(&vm, &vm, &land, version);
    }
}

#[test]
fn the_driver_comes_up_on_every_version_by_ports_whose_latch_each_access_consumes() {
    for version in VERSIONS {
        let (vm, land) = vm(version, 1, &region());
        let ports = PortLatch::new(&vm);
        comes_up(&ports, &vm, &land, version);
        let accesses = ports.take_accesses();
        assert!(
            accesses.chunks(2).all(|pair| pair[0].0 == 0xCF8 && pair[1].0 != 0xCF8),
            "an address before each access"
        );
    }
}

#[test]
fn configuration_space_is_written_only_where_it_means_something() {
    let (vm, _) = vm(V3_3, 1, &region());
    let mut device = open_one(&vm);
    enable(&mut device, &vm).close(&vm).unwrap();
    let trace = vm.take_trace();
    for access in &trace {
        match *access {
            Access::Config(Cycle::Write32 { offset, .. }) => assert!([0x18, 0x1C, 0x40].contains(&offset), "{access}"),
            Access::Config(Cycle::Write16 { offset, .. }) => assert_eq!(offset, 4, "{access}"),
            Access::Write { bar, offset, .. } => assert!(bar == 1 && offset < 0x80, "{access}"),
            Access::Read { bar, offset, .. } => {
                assert!((bar, offset) == (0, 8) || bar == 1 && offset < 0x80, "{access}")
            }
            Access::Config(Cycle::Read32 { .. }) => {}
        }
    }
    assert!(trace.iter().any(|access| matches!(access, Access::Config(Cycle::Write32 { value: u32::MAX, .. }))));
}

#[test]
fn a_mailbox_exchanges_messages_polled_and_by_doorbell_on_every_version() {
    for version in VERSIONS {
        let region = region();
        // VM 0 is one like others.
        let ((vm_a, land_a), (vm_b, land_b)) = (vm(version, 0, &region), vm(version, 15, &region));
        exchange_polled(open_one(&vm_a).memory().unwrap(), open_one(&vm_b).memory().unwrap());
        let (mut a, mut b) = (open_one(&vm_a), open_one(&vm_b));
        let _interrupts = (enable(&mut a, &vm_a), enable(&mut b, &vm_b));
        exchange_by_doorbell(
            Party { device: &mut a, count: &|data| land_a.count(data) },
            Party { device: &mut b, count: &|data| land_b.count(data) },
        );
        assert_eq!((land_a.dropped(), land_b.dropped()), (0, 0));
    }
}

#[test]
fn an_id_that_firmware_lost_is_doubted_up_to_v3_2_and_given_by_the_caller() {
    for version in VERSIONS {
        let region = region();
        let ((vm_a, land_a), (vm_b, land_b)) = (vm(version, 4, &region), vm(version, 5, &region));
        for vm in [&vm_a, &vm_b] {
            // What firmware does with every BAR.
            assert!(size_bar(vm, place(), 0).is_ok());
        }
        let device = open_one(&vm_a);
        let found = (device.id(), device.id_may_be_lost());
        assert_eq!(found, if version == V3_3 { (4, false) } else { (0, true) }, "{}", version.name);

        let given = |vm, id| open(vm, vm, Selector::Nth(0), Options { id_override: Some(id) }).unwrap();
        let (mut a, mut b) = (given(&vm_a, 4), given(&vm_b, 5));
        assert!(!a.id_may_be_lost() && !given(&vm_a, 0).id_may_be_lost(), "who gives an id, be it 0, is believed");
        let _interrupts = (enable(&mut a, &vm_a), enable(&mut b, &vm_b));
        exchange_by_doorbell(
            Party { device: &mut a, count: &|data| land_a.count(data) },
            Party { device: &mut b, count: &|data| land_b.count(data) },
        );
    }
}

#[test]
fn a_region_is_selected_by_its_id_wherever_the_scenario_put_its_device() {
    let [commands, logs] = [0x1000, 0x1001].map(|id| Region::new(id, 2 << 20).unwrap());
    let high = [0x8100_0000, 0x8100_1000, 0x41_0000_0000];
    // Functions of one slot, as scenarios with many regions have them, in one order and in the other.
    let build = |id, first: &Arc<Region>, third: &Arc<Region>| {
        let (first, third) =
            (HypervisorLand::new(V3_3, id, first, HypervisorLand::BARS), HypervisorLand::new(V3_3, id, third, high));
        vm_with_others().with(place(), first).with(at("00:08.3"), third)
    };
    let (vm_a, vm_b) = (build(1, &commands, &logs), build(2, &logs, &commands));
    let selector: Selector = "subsystem:0x1000".parse().unwrap();
    let mut devices = [&vm_a, &vm_b].map(|vm| open(vm, vm, selector, Options::default()).unwrap());
    assert_eq!(devices.each_ref().map(Device::address), [place(), at("00:08.3")]);
    let [a, b] = devices.each_mut().map(|device| device.memory().unwrap());
    exchange_polled(a, b);
    let none = open(&vm_a, &vm_a, Selector::Subsystem(0x1002), Options::default()).unwrap_err();
    assert_eq!(none.to_string(), "none of 2 ivshmem devices is the one selected");
}

#[test]
fn what_is_rung_while_masked_is_lost_and_its_message_is_found_after_unmasking() {
    VERSIONS.into_iter().for_each(is_lost_while_masked_and_found_after_unmasking);
}

fn is_lost_while_masked_and_found_after_unmasking(version: Version) {
    const COMMANDS: [Channel; 1] = [Channel::queuing(End::First, 8, 56).vector(1)];
    let region = region();
    let ((vm_a, _), (vm_b, land_b)) = (vm(version, 1, &region), vm(version, 2, &region));
    let (mut a, mut b) = (open_one(&vm_a), open_one(&vm_b));
    let mut interrupts = enable(&mut b, &vm_b);
    assert!(!b.quirks().keeps_masked_doorbells);
    let bell = a.doorbell().unwrap();
    let mut first = Mailbox::new(a.memory().unwrap(), End::First, &COMMANDS).unwrap();
    let mut second = Mailbox::new(b.memory().unwrap(), End::Second, &COMMANDS).unwrap();
    let (mut first_link, mut first) = first.attach(Attach::interrupt_driven(a.id()));
    let (mut second_link, mut second) = second.attach(Attach::interrupt_driven(b.id()));
    for _ in 0..3 {
        first_link.poll(0);
        second_link.poll(0);
    }
    let (mut sender, mut receiver) = (first.sender(0).unwrap(), second.receiver(0).unwrap());
    let mut buffer = [0; 56];
    assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    // Masked, then in the change to a local APIC that is passed through.
    for lost in 1..=2 {
        assert!(!receiver.arm());
        if lost == 1 {
            interrupts.mask(1).unwrap()
        } else {
            land_b.set_transition(true)
        }
        assert_eq!(sender.try_send(b"in between").unwrap().ring(&bell), Ok(true));
        if lost == 1 {
            interrupts.unmask(1).unwrap()
        } else {
            land_b.set_transition(false)
        }
        assert_eq!((land_b.dropped(), land_b.count(DATA + 1)), (lost, 0));
        assert_eq!(receiver.try_recv(&mut buffer), Ok(Some(&b"in between"[..])), "look once after unmasking");
        assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
    }
    assert!(!receiver.arm());
    assert_eq!(sender.try_send(b"awake").unwrap().ring(&bell), Ok(true));
    assert_eq!(land_b.count(DATA + 1), 1);
}

#[test]
fn a_vm_that_is_started_again_has_its_id_and_its_peers_memory() {
    for version in VERSIONS {
        let region = region();
        let ((vm_a, land_a), (vm_b, land_b)) = (vm(version, 1, &region), vm(version, 2, &region));
        for _ in 0..2 {
            let (mut a, mut b) = (open_one(&vm_a), open_one(&vm_b));
            assert_eq!((a.id(), b.id()), (1, 2));
            let _interrupts = (enable(&mut a, &vm_a), enable(&mut b, &vm_b));
            exchange_by_doorbell(
                Party { device: &mut a, count: &|data| land_a.count(data) },
                Party { device: &mut b, count: &|data| land_b.count(data) },
            );
            land_a.restart();
            assert_eq!(Header::new(&vm_a, place()).command(), Command::empty());
        }
    }
}

#[test]
fn a_layout_from_the_scenario_opens_a_device_without_any_exit_but_its_doorbells() {
    let region = region();
    let ((vm_a, _), (_, land_b)) = (vm(V3_3, 1, &region), vm(V3_3, 2, &region));
    let layout = open_one(&vm_a).layout();
    vm_a.take_trace();
    // SAFETY: the layout is that of this model's device.
    let mut device = unsafe { Device::with_layout(layout, &mut vm_a.mapper()) }.unwrap();
    assert!(device.memory().is_some());
    assert_eq!(vm_a.take_trace(), []);
    device.doorbell().unwrap().ring(2, 1).unwrap();
    assert_eq!(vm_a.take_trace(), [Access::Write { bar: 0, offset: 12, value: 0x2_0001 }]);
    assert_eq!(land_b.dropped(), 1, "it arrived where nobody had enabled interrupts");
}
