//! Opening, ringing and interrupting, on modelled devices.

use super::*;
use crate::fake::config::{ConfigSpace, Cycle, Function, Garbage};
use crate::fake::machine::{Access, Hypervisor, Machine};
use crate::memory::Memory;
use crate::mmio::Caching;
use crate::mmio::memory_type::{MemoryType, Mtrrs, Pat};
use crate::msix::{Message, MsixError};
use crate::notify::Doorbell;
use crate::pci::BarError;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

mod interrupts;

const BAR0: u64 = 0xFEBF_1000;
const BAR1: u64 = 0xFEB0_0000;
const BAR2: u64 = 0xE0_0000_0000;

fn qemu(vectors: u16) -> Machine {
    Machine::new(Hypervisor::Qemu, 5, Function::ivshmem_doorbell(1 << 20, vectors)).unwrap()
}

fn acrn() -> Machine {
    let function = Function::ivshmem_doorbell(2 << 20, 8).subsystem(0x8086, 0x1000).multi_function().plain_storage();
    Machine::new(Hypervisor::Acrn, 3, function).unwrap()
}

fn plain() -> Machine {
    Machine::new(Hypervisor::Qemu, 0, Function::ivshmem_plain(4096)).unwrap()
}

fn open_with(machine: &Machine, options: Options) -> Result<Device, OpenError> {
    // SAFETY: configuration space and mapper are one model's.
    unsafe { Device::open(machine, &mut machine.mapper(), Selector::default(), options) }
}

fn open(machine: &Machine) -> Result<Device, OpenError> {
    open_with(machine, Options::default())
}

#[test]
fn a_doorbell_device_is_told_by_its_msix_capability() {
    let device = open(&qemu(4)).unwrap();
    assert_eq!(device.kind(), Kind::Doorbell { vectors: 4 });
    assert_eq!((device.kind().to_string(), Kind::Plain.to_string()), ("doorbell".to_string(), "plain".to_string()));
    assert_eq!((device.id(), device.revision(), device.size()), (5, 1, 1 << 20));
    assert_eq!((device.bar0(), device.bar2(), device.subsystem()), (BAR0, BAR2, (0x1AF4, 0x1100)));
    assert_eq!(device.address(), Machine::ADDRESS);
    assert_eq!(device.quirks().name, "QEMU ivshmem-doorbell");
}

#[test]
fn a_plain_device_has_memory_and_nothing_else() {
    let machine = plain();
    let mut device = open(&machine).unwrap();
    assert_eq!(device.kind(), Kind::Plain);
    assert_eq!(device.doorbell().unwrap_err(), RingError::NoDoorbell);
    let message = Message::new(0, 0x40).unwrap();
    assert_eq!(device.enable_interrupts(&machine, &[message]).unwrap_err(), MsixError::Absent);
    assert_eq!(device.memory().unwrap().len(), 4096);
}

#[test]
fn acrn_is_known_by_its_subsystem_and_header_type_0x80_is_no_obstacle() {
    let device = open(&acrn()).unwrap();
    assert_eq!(device.quirks().name, "ACRN hypervisor");
    assert_eq!((device.id(), device.size(), device.subsystem()), (3, 2 << 20, (0x8086, 0x1000)));
}

#[test]
fn memory_is_given_once_and_is_bar2() {
    let machine = qemu(1);
    let mut device = open(&machine).unwrap();
    let memory = device.memory().unwrap();
    memory.publish(0xF_FFF8, 0x1234);
    assert_eq!(machine.peer_memory().unwrap().load(0xF_FFF8), 0x1234);
    assert!(device.memory().is_none());
}

#[test]
fn registers_are_mapped_uncached_and_memory_write_back() {
    let machine = qemu(129);
    let mut mapper = machine.mapper();
    // SAFETY: configuration space and mapper are one model's.
    unsafe { Device::open(&machine, &mut mapper, Selector::default(), Options::default()) }.unwrap();
    let (uncached, write_back) = (Caching::Uncached, Caching::WriteBack);
    let expected = [
        (BAR0, 256, uncached),
        (BAR2, 1 << 20, write_back),
        (BAR1, 129 * 16, uncached),
        // Behind the table, not at 0x800.
        (BAR1 + 0x810, 24, uncached),
    ];
    assert_eq!(mapper.mapped, expected);
}

#[test]
fn opening_reads_ivposition_once_and_touches_no_other_register() {
    let machine = qemu(2048);
    open(&machine).unwrap();
    let registers: Vec<_> =
        machine.take_trace().into_iter().filter(|access| !matches!(access, Access::Config(_))).collect();
    assert_eq!(registers, [Access::Read { bar: 0, offset: 8, value: 5 }]);
}

#[test]
fn opening_sizes_only_bar2_and_changes_only_memory_decode() {
    for machine in [qemu(8), acrn(), plain()] {
        let mut before = machine.space().contents();
        open(&machine).unwrap();
        before.get_mut(&Machine::ADDRESS).unwrap()[4] |= 2;
        assert_eq!(machine.space().contents(), before);
        for access in machine.take_trace() {
            match access {
                Access::Config(Cycle::Write32 { offset, .. }) => assert!([0x18, 0x1C].contains(&offset), "{access}"),
                Access::Config(Cycle::Write16 { offset, .. }) => assert_eq!(offset, 4, "{access}"),
                Access::Write { .. } => panic!("{access}"),
                _ => {}
            }
        }
    }
}

#[test]
fn an_override_spares_ivposition() {
    let machine = acrn();
    let device = open_with(&machine, Options { id_override: Some(9) }).unwrap();
    assert_eq!(device.id(), 9);
    assert!(machine.take_trace().iter().all(|access| matches!(access, Access::Config(_))));
}

#[test]
fn an_id_that_comes_late_is_waited_for() {
    let machine = qemu(1);
    machine.script_id([u32::MAX; 1000]);
    assert_eq!(open(&machine).unwrap().id(), 5);
}

#[test]
fn an_id_that_never_comes_is_an_error_after_a_bounded_wait() {
    let machine = qemu(1);
    machine.script_id(core::iter::repeat_n(0x1_0000, 1_000_000));
    let before = machine.space().contents();
    assert_eq!(open(&machine).unwrap_err(), OpenError::Id { value: 0x1_0000, reads: 1_000_000 });
    assert_eq!(machine.space().contents(), before);
}

#[test]
fn every_id_of_16_bits_is_one() {
    for id in [0, 1, 0xFFFF] {
        let machine = Machine::new(Hypervisor::Qemu, id, Function::ivshmem_doorbell(4096, 1)).unwrap();
        assert_eq!(open(&machine).unwrap().id(), id);
    }
}

#[test]
fn a_known_layout_is_opened_without_any_access() {
    let machine = qemu(16);
    let layout = open(&machine).unwrap().layout();
    assert_eq!(layout.id, Some(5));
    machine.take_trace();
    // SAFETY: the layout is that of this machine's device.
    let mut device = unsafe { Device::with_layout(layout, &mut machine.mapper()) }.unwrap();
    assert_eq!(machine.take_trace(), []);
    assert_eq!((device.id(), device.kind()), (5, Kind::Doorbell { vectors: 16 }));
    assert_eq!(device.memory().unwrap().len(), 1 << 20);
    device.doorbell().unwrap().ring(1, 2).unwrap();
    assert_eq!(machine.rung(), [(1, 2)]);
}

#[test]
fn a_doorbell_is_one_32_bit_write_of_peer_and_vector() {
    let machine = qemu(1);
    let doorbell = open(&machine).unwrap().doorbell().unwrap();
    machine.take_trace();
    for (peer, vector) in [(0u16, 0u16), (0xFFFF, 255), (1, 2)] {
        doorbell.ring(peer, vector).unwrap();
        let value = u32::from(peer) * 0x1_0000 + u32::from(vector);
        assert_eq!(machine.take_trace(), [Access::Write { bar: 0, offset: 12, value }]);
    }
}

#[test]
fn a_vector_that_would_ring_another_one_is_refused() {
    let machine = qemu(1);
    let doorbell = open(&machine).unwrap().doorbell().unwrap();
    for vector in [256, 257, u16::MAX] {
        assert_eq!(doorbell.ring(1, vector), Err(RingError::Vector { vector, vectors: 256 }));
    }
    assert_eq!(machine.rung(), []);
    let doorbell = open(&acrn()).unwrap().doorbell().unwrap();
    assert_eq!(doorbell.ring(1, 8), Err(RingError::Vector { vector: 8, vectors: 8 }));
}

#[test]
fn what_is_no_ivshmem_device_is_refused() {
    let refused = |function: Function| {
        let space = ConfigSpace::new().with(Machine::ADDRESS, function);
        let machine = qemu(1);
        // SAFETY: nothing is mapped: the function is refused before.
        let opened = unsafe {
            Device::open(&space, &mut machine.mapper(), Selector::Address(Machine::ADDRESS), Options::default())
        };
        opened.unwrap_err()
    };
    let assigned = || Function::ivshmem_plain(4096).assigned(0, BAR0).assigned(2, BAR2);
    let virtio = Function::new(0x1AF4, 0x1041);
    assert_eq!(refused(virtio), OpenError::NotIvshmem { vendor: 0x1AF4, device: 0x1041 });
    assert_eq!(refused(assigned().class(0xFF_0000, 1)), OpenError::Class(0xFF_0000));
    assert_eq!(refused(assigned().header_type(1)), OpenError::HeaderType(1));
    let io = assigned().io(0, 0xC000, 256);
    assert!(matches!(refused(io), OpenError::Bar(BarError::Io { index: 0, .. })));
    let unassigned = Function::ivshmem_plain(4096).command(3);
    assert!(matches!(refused(unassigned), OpenError::Bar(BarError::Unassigned { index: 0, .. })));
    let other = Machine::ADDRESS;
    // SAFETY: nothing is mapped: nothing is there.
    let absent = unsafe {
        Device::open(&ConfigSpace::new(), &mut qemu(1).mapper(), Selector::Address(other), Options::default())
    };
    assert_eq!(absent.unwrap_err(), OpenError::Absent(other));
}

#[test]
fn bars_that_overlap_are_refused_and_configuration_space_is_as_it_was() {
    let overlapping = Function::ivshmem_plain(1 << 20).assigned(0, 0xFE00_0100).assigned(2, 0xFE00_0000);
    let space = ConfigSpace::new().with(Machine::ADDRESS, overlapping);
    let before = space.contents();
    // SAFETY: nothing is mapped: the BARs overlap.
    let opened = unsafe { Device::open(&space, &mut qemu(1).mapper(), Selector::default(), Options::default()) };
    assert!(matches!(opened.unwrap_err(), OpenError::Bar(BarError::Overlap { .. })));
    assert_eq!(space.contents(), before);
}

#[test]
fn memory_of_less_than_a_page_is_refused_and_configuration_space_is_as_it_was() {
    for size in [16, 256, 2048] {
        let function = Function::ivshmem_plain(size).assigned(0, 0xFE00_0000).assigned(2, 0xFE00_1000);
        let space = ConfigSpace::new().with(Machine::ADDRESS, function);
        let before = space.contents();
        // SAFETY: nothing is mapped: the memory is too small.
        let opened = unsafe { Device::open(&space, &mut qemu(1).mapper(), Selector::default(), Options::default()) };
        assert_eq!(opened.unwrap_err(), OpenError::SubPage { size });
        assert_eq!(space.contents(), before);
    }
}

#[test]
fn the_memory_type_is_that_of_bar2() {
    let device = open(&qemu(1)).unwrap();
    let mtrrs = |base: u64| Mtrrs { default_type: 0xC06, ranges: [(base, 0xFF_FFF0_0800)].into_iter().collect() };
    assert_eq!(device.memory_type(Pat::RESET, &mtrrs(BAR2)), Ok(MemoryType::Uncacheable));
    assert_eq!(device.memory_type(Pat::RESET, &mtrrs(BAR2 + (1 << 20))), Ok(MemoryType::WriteBack));
    let write_combining = Pat(Pat::RESET.0 & !0xFF | 1);
    assert_eq!(device.memory_type(write_combining, &mtrrs(0)), Ok(MemoryType::WriteCombining));
}

#[test]
fn memory_is_probed_until_it_is_given_away_and_nothing_else_is_accessed() {
    let machine = qemu(1);
    let mut device = open(&machine).unwrap();
    machine.take_trace();
    let mut now = 0;
    let clock = || {
        now += 640;
        now
    };
    assert_eq!(device.probe_memory(clock), Some(MemorySpeed::WriteBack { cycles: 10 }));
    assert_eq!(machine.take_trace(), []);
    device.memory();
    assert_eq!(device.probe_memory(|| 0), None);
}

#[test]
fn each_lie_of_a_bar_is_an_error_of_its_own_and_configuration_space_stays_bit_for_bit() {
    let honest = || Function::ivshmem_doorbell(1 << 20, 4).assigned(0, BAR0).assigned(1, BAR1).assigned(2, BAR2);
    let (low, high, writable) = (0x18, 0x1C, u32::MAX << 20);
    type Expected = fn(BarError) -> bool;
    let lies: [(Function, Expected); 9] = [
        (honest().io(0, 0xC000, 256), |e| matches!(e, BarError::Io { index: 0, value: 0xC001 })),
        (honest().io(2, 0xC000, 256), |e| matches!(e, BarError::Io { index: 2, .. })),
        (honest().register(0x10, 0xFEBF_1002, 0xFFFF_FF00), |e| matches!(e, BarError::ReservedType { index: 0, .. })),
        (honest().register(low, 0xE000_0006, writable), |e| matches!(e, BarError::ReservedType { index: 2, .. })),
        (honest().register(0x10, 0, 0xFFFF_FF00), |e| e == BarError::Unassigned { index: 0, value: 0 }),
        (honest().register(low, 0xC, writable).register(high, 0, u32::MAX), |e| {
            e == BarError::Unassigned { index: 2, value: 0xC }
        }),
        // An address of which no bit can be written.
        (honest().register(low, 0xC, 0).register(high, 0xE0, 0), |e| {
            e == BarError::NotContiguous { index: 2, mask: 0xE0_0000_0000 }
        }),
        // Bits 20 and 22 up, but not 21.
        (honest().register(low, 0xC, 0xFFD0_0000).register(high, 0xE0, u32::MAX), |e| {
            e == BarError::NotContiguous { index: 2, mask: 0xFFFF_FFFF_FFD0_0000 }
        }),
        (honest().register(low, 0xFEB0_000C, writable).register(high, 0, u32::MAX), |e| {
            matches!(e, BarError::Overlap { .. })
        }),
    ];
    for (n, (function, expected)) in lies.into_iter().enumerate() {
        for command in [0, 6] {
            let space = ConfigSpace::new().with(Machine::ADDRESS, function.clone().command(command));
            let before = space.contents();
            // SAFETY: nothing is mapped: the BAR is refused before.
            let opened =
                unsafe { Device::open(&space, &mut qemu(1).mapper(), Selector::default(), Options::default()) };
            let Err(OpenError::Bar(error)) = opened else { panic!("lie {n}: {opened:?}") };
            assert!(expected(error), "lie {n}: {error}");
            assert_eq!(space.contents(), before, "lie {n}: {error}");
        }
    }
}

#[test]
fn a_device_that_is_gone_is_not_opened_whatever_its_registers_read() {
    // Configuration cycles of an undisturbed opening; the device goes at each of them.
    let machine = qemu(8);
    open(&machine).unwrap();
    let cycles = machine.take_trace().iter().filter(|access| matches!(access, Access::Config(_))).count();
    for k in 0..cycles {
        for registers in [0, u32::MAX] {
            let machine = qemu(8);
            machine.script_id([registers]);
            machine.space().vanish_after(k);
            let error = open(&machine).unwrap_err();
            assert!(matches!(error, OpenError::DeviceGone | OpenError::NotFound { seen: 0 }), "at cycle {k}: {error}");
        }
    }
}

#[test]
fn presence_is_asked_of_configuration_space() {
    for registers in [0, u32::MAX] {
        let machine = qemu(1);
        let device = open(&machine).unwrap();
        assert_eq!(device.check_present(&machine), Ok(()));
        machine.unplug(registers);
        assert_eq!(device.check_present(&machine), Err(DeviceGone));
    }
}

#[test]
fn a_bar_that_cannot_be_mapped_is_an_error_and_configuration_space_is_as_it_was() {
    for command in [0, 0x0102] {
        for physical in [BAR0, BAR2 + 0xF_FFFF] {
            let mut machine =
                Machine::new(Hypervisor::Qemu, 5, Function::ivshmem_doorbell(1 << 20, 1).command(command)).unwrap();
            let before = machine.space().contents();
            machine.fail_to_map(physical);
            assert_eq!(open(&machine).unwrap_err(), OpenError::Map(crate::mmio::MapError::OutOfFrames));
            assert_eq!(machine.space().contents(), before);
        }
    }
}

#[test]
fn msix_that_cannot_be_mapped_leaves_the_memory() {
    for physical in [BAR1, BAR1 + 0x800] {
        let mut machine = qemu(1);
        machine.fail_to_map(physical);
        let mut device = open(&machine).unwrap();
        let message = Message::new(0, 0x40).unwrap();
        let unmapped = MsixError::Map(crate::mmio::MapError::OutOfFrames);
        assert_eq!(device.enable_interrupts(&machine, &[message]).unwrap_err(), unmapped);
        assert_eq!((device.kind(), device.memory().unwrap().len()), (Kind::Doorbell { vectors: 1 }, 1 << 20));
    }
}

proptest! {
    #[test]
    fn garbage_is_never_opened(answers in proptest::collection::vec(any::<u32>(), 1..64)) {
        let machine = qemu(1);
        let selector = Selector::Address(Machine::ADDRESS);
        // SAFETY: the mapper reaches the model's BARs only.
        let opened =
            unsafe { Device::open(&Garbage::new(answers), &mut machine.mapper(), selector, Options::default()) };
        prop_assert!(opened.is_err());
    }

    #[test]
    fn a_device_with_any_registers_changed_never_panics_and_is_left_as_it_was_found(
        changes in proptest::collection::vec((0u16..24, any::<u32>(), any::<u32>()), 1..4),
    ) {
        let mut function = Function::ivshmem_doorbell(1 << 20, 8).assigned(0, BAR0).assigned(1, BAR1).assigned(2, BAR2);
        for (register, value, writable) in changes {
            function = function.register(4 * register, value, writable);
        }
        let machine = qemu(8);
        let space = ConfigSpace::new().with(Machine::ADDRESS, function);
        let mut before = space.contents();
        let selector = Selector::Address(Machine::ADDRESS);
        // SAFETY: the mapper reaches the model's BARs only.
        let opened = unsafe { Device::open(&space, &mut machine.mapper(), selector, Options::default()) };
        let command = space.contents()[&Machine::ADDRESS][4];
        before.get_mut(&Machine::ADDRESS).unwrap()[4] = command;
        prop_assert_eq!(space.contents(), before);
        if let Ok(device) = opened {
            prop_assert!(device.size().is_power_of_two());
        }
    }
}

mod selecting {
    use super::*;

    fn at(device: u8) -> crate::pci::Address {
        crate::pci::Address::new(0, 0, device, 0).unwrap()
    }

    fn space() -> ConfigSpace {
        let device = |size| Function::ivshmem_plain(size).assigned(0, BAR0).assigned(2, BAR2);
        ConfigSpace::new()
            .with(at(1), Function::new(0x1AF4, 0x1000))
            .with(at(2), device(4096))
            .with(at(4), device(1 << 20).subsystem(0x8086, 0x1001))
            .with(at(6), device(1 << 20).subsystem(0x8086, 0x1002))
    }

    #[test]
    fn each_selector_finds_its_device() {
        let space = space();
        let before = space.contents();
        for (selector, device) in [
            (Selector::Nth(0), 2),
            (Selector::Nth(2), 6),
            (Selector::Address(at(4)), 4),
            (Selector::Size(1 << 20), 4),
            (Selector::Subsystem(0x1002), 6),
            (Selector::default(), 2),
        ] {
            assert_eq!(find(&space, &selector).unwrap().address, at(device), "{selector}");
        }
        assert_eq!(space.contents(), before);
    }

    #[test]
    fn what_does_not_exist_is_not_found() {
        let space = space();
        for selector in [Selector::Nth(3), Selector::Size(8192), Selector::Subsystem(1)] {
            assert_eq!(find(&space, &selector), Err(OpenError::NotFound { seen: 3 }), "{selector}");
        }
        assert_eq!(find(&space, &Selector::Address(at(9))), Err(OpenError::Absent(at(9))));
        assert_eq!(find(&ConfigSpace::new(), &Selector::Nth(0)), Err(OpenError::NotFound { seen: 0 }));
    }
}
