//! MSI-X on modelled devices: what is accessed in which order, and what arrives.

use super::*;
use core::cell::Cell;
use embedded_hal::delay::DelayNs;
use std::string::{String, ToString};

fn messages(count: u8) -> Vec<Message> {
    (0..count).map(|n| Message::new(1, 0x40 + n).unwrap()).collect()
}

fn lines(machine: &Machine) -> Vec<String> {
    machine.take_trace().iter().map(ToString::to_string).collect()
}

/// The clock of a self-test; counts what was waited.
struct Clock(Cell<u32>);

impl DelayNs for &Clock {
    fn delay_ns(&mut self, ns: u32) {
        self.0.set(self.0.get() + ns);
    }
}

#[test]
fn enabling_has_the_order_that_loses_nothing() {
    let machine = qemu(2);
    let mut device = open(&machine).unwrap();
    machine.take_trace();
    let interrupts = device.enable_interrupts(&machine, &messages(1)).unwrap();
    assert_eq!(interrupts.used(), 1);
    let expected = [
        // Command: Memory and Bus Master, in 16 bits.
        "config read32 0x4 0x100002",
        "config write16 0x4 0x6",
        // Both entries are masked already.
        "bar1 read 0xc 0x1",
        "bar1 read 0x1c 0x1",
        // The message, while masked, and whether it was stored.
        "bar1 write 0x0 0xfee01000",
        "bar1 write 0x4 0x0",
        "bar1 write 0x8 0x40",
        "bar1 read 0x0 0xfee01000",
        "bar1 read 0x8 0x40",
        // Enable, with Function Mask clear.
        "config read32 0x40 0x10011",
        "config write32 0x40 0x80010011",
        "config read32 0x40 0x80010011",
        // Only the vector in use is unmasked.
        "bar1 read 0xc 0x1",
        "bar1 write 0xc 0x0",
    ];
    assert_eq!(lines(&machine), expected);
}

#[test]
fn closing_has_the_reverse_order() {
    let machine = qemu(2);
    let mut device = open(&machine).unwrap();
    let interrupts = device.enable_interrupts(&machine, &messages(1)).unwrap();
    machine.take_trace();
    interrupts.close(&machine).unwrap();
    let expected = [
        "bar1 read 0xc 0x0",
        "bar1 write 0xc 0x1",
        "config read32 0x40 0x80010011",
        "config write32 0x40 0x10011",
        "config read32 0x40 0x10011",
        "config read32 0x4 0x100006",
        "config write16 0x4 0x2",
    ];
    assert_eq!(lines(&machine), expected);
    machine.ring(0);
    assert_eq!(machine.take_messages(), []);
}

#[test]
fn bus_master_is_left_on_if_it_was() {
    let function = Function::ivshmem_doorbell(4096, 1).command(4);
    let machine = Machine::new(Hypervisor::Qemu, 0, function).unwrap();
    let mut device = open(&machine).unwrap();
    device.enable_interrupts(&machine, &messages(1)).unwrap().close(&machine).unwrap();
    assert_eq!(machine.space().contents()[&Machine::ADDRESS][4], 6);
}

#[test]
fn each_vector_sends_its_own_message() {
    let machine = qemu(8);
    let mut device = open(&machine).unwrap();
    let interrupts = device.enable_interrupts(&machine, &messages(8)).unwrap();
    for vector in [7, 0, 3] {
        machine.ring(vector);
        assert_eq!(machine.take_messages(), [(0xFEE0_1000, 0x40 + u32::from(vector))]);
    }
    interrupts.close(&machine).unwrap();
}

#[test]
fn vectors_not_in_use_stay_masked_even_if_an_earlier_image_left_them_open() {
    let machine = qemu(4);
    let mut device = open(&machine).unwrap();
    let _left_open = device.enable_interrupts(&machine, &messages(4)).unwrap();
    let mut interrupts = open(&machine).unwrap().enable_interrupts(&machine, &messages(1)).unwrap();
    for vector in 1..4 {
        machine.ring(vector);
        assert_eq!(interrupts.unmask(vector), Err(MsixError::NotInUse { vector, used: 1 }));
        assert_eq!(interrupts.mask(vector), Err(MsixError::NotInUse { vector, used: 1 }));
        assert_eq!(interrupts.pending(vector), Err(MsixError::NotInUse { vector, used: 1 }));
    }
    assert_eq!(machine.take_messages(), []);
    interrupts.close(&machine).unwrap();
}

#[test]
fn on_qemu_a_masked_doorbell_is_pending_and_comes_on_unmasking() {
    let machine = qemu(64);
    let mut device = open(&machine).unwrap();
    let mut interrupts = device.enable_interrupts(&machine, &messages(40)).unwrap();
    for vector in [0, 31, 32, 39] {
        assert_eq!(interrupts.pending(vector), Ok(false));
        interrupts.mask(vector).unwrap();
        machine.ring(vector);
        assert_eq!(machine.take_messages(), []);
        assert_eq!(interrupts.pending(vector), Ok(true));
        interrupts.unmask(vector).unwrap();
        assert_eq!(machine.take_messages(), [(0xFEE0_1000, 0x40 + u32::from(vector))]);
        assert_eq!(interrupts.pending(vector), Ok(false));
    }
    interrupts.close(&machine).unwrap();
}

#[test]
fn on_acrn_a_masked_doorbell_is_lost_and_nothing_is_known_of_it() {
    let machine = acrn();
    let mut device = open(&machine).unwrap();
    assert!(!device.quirks().keeps_masked_doorbells);
    let mut interrupts = device.enable_interrupts(&machine, &messages(8)).unwrap();
    interrupts.mask(3).unwrap();
    machine.ring(3);
    assert_eq!(interrupts.pending(3), Err(MsixError::NoPendingBits));
    interrupts.unmask(3).unwrap();
    assert_eq!(machine.take_messages(), []);
    machine.ring(3);
    assert_eq!(machine.take_messages(), [(0xFEE0_1000, 0x43)]);
    interrupts.close(&machine).unwrap();
}

#[test]
fn all_2048_vectors_can_be_used() {
    let machine = qemu(2048);
    let mut device = open(&machine).unwrap();
    let messages: Vec<_> = (0..2048).map(|n| Message::new(n / 224, (32 + n % 224) as u8).unwrap()).collect();
    let interrupts = device.enable_interrupts(&machine, &messages).unwrap();
    machine.take_messages();
    machine.ring(2047);
    let last = messages[2047];
    assert_eq!(machine.take_messages(), [(last.address(), last.data())]);
    assert_eq!(interrupts.pending(2047), Ok(false));
    interrupts.close(&machine).unwrap();
}

#[test]
fn none_or_too_many_messages_are_refused_before_anything_is_written() {
    let machine = qemu(4);
    let mut device = open(&machine).unwrap();
    machine.take_trace();
    assert_eq!(device.enable_interrupts(&machine, &[]).unwrap_err(), MsixError::NoMessages);
    let too_many = MsixError::TooManyMessages { messages: 5, vectors: 4 };
    assert_eq!(device.enable_interrupts(&machine, &messages(5)).unwrap_err(), too_many);
    assert_eq!(machine.take_trace(), []);
}

#[test]
fn a_table_that_keeps_nothing_is_an_error_and_msix_stays_off() {
    let machine = qemu(4);
    let mut device = open(&machine).unwrap();
    machine.break_table();
    let error = device.enable_interrupts(&machine, &messages(2)).unwrap_err();
    assert_eq!(error, MsixError::NotStored { vector: 0 });
    let config = &machine.space().contents()[&Machine::ADDRESS];
    assert_eq!((config[0x43] & 0x80, config[4] & 4), (0, 0));
}

#[test]
fn a_message_control_that_keeps_nothing_is_an_error() {
    let function = Function::ivshmem_doorbell(4096, 2).register(0x40, 0x0001_0011, 0);
    let machine = Machine::new(Hypervisor::Qemu, 0, function).unwrap();
    let mut device = open(&machine).unwrap();
    let error = device.enable_interrupts(&machine, &messages(2)).unwrap_err();
    assert_eq!(error, MsixError::ControlNotStored { control: 1 });
    machine.ring(0);
    assert_eq!(machine.take_messages(), []);
}

#[test]
fn a_device_that_went_is_an_error_wherever_it_goes() {
    for registers in [0, u32::MAX] {
        let machine = qemu(4);
        let mut device = open(&machine).unwrap();
        let interrupts = device.enable_interrupts(&machine, &messages(2)).unwrap();
        machine.unplug(registers);
        assert_eq!(interrupts.close(&machine), Err(MsixError::DeviceGone));
        assert_eq!(device.enable_interrupts(&machine, &messages(2)).unwrap_err(), MsixError::DeviceGone);
    }
}

#[test]
fn broken_msix_leaves_the_memory_and_the_doorbell() {
    let function =
        |table, pending| Function::ivshmem_plain(4096).memory32(1, BAR1 as u32, 4096).msix(0x40, 4, table, pending);
    for (function, expected) in [
        (function((6, 0), (1, 0x800)), MsixError::ReservedBar { bar: 6 }),
        (function((1, 0), (7, 0x800)), MsixError::ReservedBar { bar: 7 }),
        (function((3, 0), (1, 0x800)), MsixError::NoBar { bar: 3 }),
        (function((5, 0), (1, 0x800)), MsixError::NoBar { bar: 5 }),
        (function((1, 0), (1, 0x38)), MsixError::Overlap { bar: 1, table: 0, pending: 0x38 }),
        (function((0, 0), (1, 0x800)), MsixError::OverlapsBar { bar: 0, other: 0 }),
        (function((2, 0), (1, 0x800)), MsixError::OverlapsBar { bar: 2, other: 2 }),
        (function((1, 0), (1, 0x10_0000)), MsixError::BeyondBar { bar: 1, end: 0x10_0008, limit: 0x10_0000 }),
    ] {
        let machine = Machine::new(Hypervisor::Qemu, 1, function).unwrap();
        let mut device = open(&machine).unwrap();
        assert_eq!(device.kind(), Kind::Doorbell { vectors: 4 });
        assert_eq!(device.enable_interrupts(&machine, &messages(1)).unwrap_err(), expected);
        assert!(device.memory().is_some());
        device.doorbell().unwrap().ring(2, 1).unwrap();
        assert_eq!(machine.rung(), [(2, 1)]);
    }
}

#[test]
fn an_unassigned_bar1_leaves_the_memory() {
    let function = Function::ivshmem_plain(4096).msix(0x40, 4, (1, 0), (1, 0x800));
    let machine = Machine::new(Hypervisor::Qemu, 1, function).unwrap();
    let mut device = open(&machine).unwrap();
    let error = device.enable_interrupts(&machine, &messages(1)).unwrap_err();
    assert_eq!(error, MsixError::NoBar { bar: 1 });
    assert!(device.memory().is_some());
}

proptest! {
    #[test]
    fn any_msix_capability_leaves_the_memory_and_is_refused_or_used_inside_bar1(
        vectors in 1u16..=2048, table: u32, pending: u32, near in any::<bool>(),
    ) {
        let place = |word: u32| ((word % 8) as u8, if near { word & 0xFFF8 } else { word & !7 });
        let function = Function::ivshmem_plain(4096)
            .memory32(1, BAR1 as u32, 0x1_0000)
            .msix(0x40, vectors, place(table), place(pending));
        let machine = Machine::new(Hypervisor::Qemu, 1, function).unwrap();
        // The model has no page behind its windows: an access outside them ends the test.
        let mut device = open(&machine).unwrap();
        prop_assert!(device.memory().is_some());
        match device.enable_interrupts(&machine, &messages(1)) {
            Ok(interrupts) => {
                machine.ring(0);
                prop_assert_eq!(machine.count(0x40), 1);
                prop_assert_eq!(interrupts.pending(0), Ok(false));
                interrupts.close(&machine).unwrap();
            }
            Err(error) => {
                machine.ring(0);
                prop_assert_eq!(machine.count(0x40), 0, "{}", error);
            }
        }
    }
}

#[test]
fn a_self_test_hears_every_vector() {
    for machine in [qemu(256), acrn()] {
        let mut device = open(&machine).unwrap();
        let Kind::Doorbell { vectors } = device.kind() else { unreachable!() };
        let messages: Vec<_> = (0..vectors).map(|n| Message::new(0, (32 + n % 224) as u8).unwrap()).collect();
        let interrupts = device.enable_interrupts(&machine, &messages).unwrap();
        let count = |vector: u16| machine.count(messages[usize::from(vector)].data());
        let (doorbell, clock) = (device.doorbell().unwrap(), Clock(0.into()));
        let arrived = interrupts.self_test(&doorbell, device.id(), count, &mut &clock, 1000);
        assert!(arrived.all(), "{arrived}");
        assert_eq!((arrived.tested(), arrived.count()), (vectors, vectors));
        assert_eq!(clock.0.get(), 0, "waited for what was there");
        interrupts.close(&machine).unwrap();
    }
}

#[test]
fn a_self_test_names_the_vectors_that_stay_away_after_a_bounded_wait() {
    let machine = qemu(8);
    let mut device = open(&machine).unwrap();
    let mut interrupts = device.enable_interrupts(&machine, &messages(8)).unwrap();
    for vector in [2, 7] {
        interrupts.mask(vector).unwrap();
    }
    let (doorbell, clock) = (device.doorbell().unwrap(), Clock(0.into()));
    let count = |vector| machine.count(0x40 + u32::from(vector));
    let arrived = interrupts.self_test(&doorbell, device.id(), count, &mut &clock, 1000);
    assert_eq!(arrived.missing().collect::<Vec<_>>(), [2, 7]);
    assert!(!arrived.all());
    assert_eq!(clock.0.get(), 2 * 1_000_000);
    interrupts.close(&machine).unwrap();
}

#[test]
fn a_self_test_ends_before_the_vectors_that_no_doorbell_can_name() {
    let machine = qemu(300);
    let mut device = open(&machine).unwrap();
    let messages: Vec<_> = (0..300).map(|n| Message::new(0, (32 + n % 224) as u8).unwrap()).collect();
    let interrupts = device.enable_interrupts(&machine, &messages).unwrap();
    let count = |vector: u16| machine.count(messages[usize::from(vector)].data());
    let clock = Clock(0.into());
    let arrived = interrupts.self_test(&device.doorbell().unwrap(), device.id(), count, &mut &clock, 10);
    assert_eq!((arrived.tested(), arrived.count(), arrived.all()), (256, 256, true));
    interrupts.close(&machine).unwrap();
}

#[test]
fn without_the_own_id_a_self_test_hears_nothing() {
    let machine = qemu(2);
    let mut device = open(&machine).unwrap();
    let interrupts = device.enable_interrupts(&machine, &messages(2)).unwrap();
    let count = |vector| machine.count(0x40 + u32::from(vector));
    let arrived = interrupts.self_test(&device.doorbell().unwrap(), 6, count, &mut &Clock(0.into()), 10);
    assert_eq!(arrived.count(), 0);
    interrupts.close(&machine).unwrap();
}
