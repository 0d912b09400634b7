//! Cloud Hypervisor's device and StratoVirt's: memory that is polled.

use crate::{at, enable, exchange_polled, open_first, vm_with_others};
use embedded_hal::delay::DelayNs;
use ivshmem::device::{Device, Kind, RingError};
use ivshmem::fake::machine::Access;
use ivshmem::fake::vm::{Memory, Vm};
use ivshmem::fake::{cloud_hypervisor, stratovirt};
use ivshmem::mmio::{Caching, Mapper};
use ivshmem::msix::{Message, MsixError};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;

fn memory() -> Arc<Memory> {
    Arc::new(Memory::new(1 << 20).unwrap())
}

fn cloud_hypervisor(memory: &Arc<Memory>) -> Vm {
    vm_with_others().with(at("00:04.0"), cloud_hypervisor::device(memory))
}

fn stratovirt(memory: &Arc<Memory>, vectors: u16) -> Vm {
    vm_with_others().with(at("00:04.0"), stratovirt::device(memory, vectors))
}

/// Opens two VMs' devices, which have memory only, asks everything of them and exchanges messages. The whole trace of the first is the
/// answer.
fn comes_up_plain(vms: [Vm; 2]) -> Vec<Access> {
    let mut devices = vms.each_ref().map(|vm| open_first(vm).unwrap());
    for (device, vm) in devices.iter_mut().zip(&vms) {
        assert_eq!((device.kind(), device.id(), device.size()), (Kind::Plain, 0, 1 << 20));
        assert_eq!(device.doorbell().unwrap_err(), RingError::NoDoorbell);
        let message = Message::new(0, 0x40).unwrap();
        assert_eq!(device.enable_interrupts(vm, &[message]).unwrap_err(), MsixError::Absent);
        assert_eq!(device.check_present(vm), Ok(()));
        assert!(device.probe_memory(|| 0).is_some());
        // SAFETY: the layout is that of this model's device.
        *device = unsafe { Device::with_layout(device.layout(), &mut vm.mapper()) }.unwrap();
    }
    let [a, b] = devices.each_mut().map(|device| device.memory().unwrap());
    exchange_polled(a, b);
    vms[0].take_trace()
}

#[test]
fn a_mailbox_exchanges_messages_by_polling_on_cloud_hypervisor_with_one_register_read_of_32_bits() {
    let memory = memory();
    let trace = comes_up_plain([cloud_hypervisor(&memory), cloud_hypervisor(&memory)]);
    let registers: Vec<_> = trace.into_iter().filter(|access| !matches!(access, Access::Config(_))).collect();
    // Had there been a narrower one, this program would have ended: see the next test.
    assert_eq!(registers, [Access::Read { bar: 0, offset: 8, value: 0 }]);
}

#[test]
fn a_register_read_of_8_or_16_bits_ends_this_program_as_it_ends_cloud_hypervisor() {
    const WIDTH: &str = "IVSHMEM_READ_WIDTH";
    const NAME: &str = "plain::a_register_read_of_8_or_16_bits_ends_this_program_as_it_ends_cloud_hypervisor";
    if let Ok(width) = std::env::var(WIDTH) {
        let memory = memory();
        let vm = cloud_hypervisor(&memory);
        let device = open_first(&vm).unwrap();
        // SAFETY: what is mapped is the model's.
        let registers = unsafe { vm.mapper().map(device.bar0(), 256, Caching::Uncached) }.unwrap();
        match width.as_str() {
            // SAFETY: it is not: the window has no memory, and the fault is what is shown.
            "8" => drop(unsafe { registers.read_volatile() }),
            // SAFETY: as above.
            "16" => drop(unsafe { registers.cast::<u16>().read_volatile() }),
            _ => {}
        }
        return;
    }
    let ended = |width| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", NAME]).env(WIDTH, width).output().unwrap().status
    };
    const SIGSEGV: i32 = 11;
    assert_eq!((ended("8").signal(), ended("16").signal()), (Some(SIGSEGV), Some(SIGSEGV)));
    assert!(ended("none").success(), "and nothing else of it does");
}

#[test]
fn a_mailbox_exchanges_messages_by_polling_on_stratovirt() {
    let memory = memory();
    comes_up_plain([stratovirt(&memory, 0), stratovirt(&memory, 0)]);
}

struct NoTime;

impl DelayNs for NoTime {
    fn delay_ns(&mut self, _: u32) {}
}

#[test]
fn stratovirts_vectors_are_set_up_the_self_test_shows_that_nobody_can_ring_them_and_polling_works() {
    let memory = memory();
    let vms = [stratovirt(&memory, 4), stratovirt(&memory, 4)];
    let mut devices = vms.each_ref().map(|vm| open_first(vm).unwrap());
    for (device, vm) in devices.iter_mut().zip(&vms) {
        assert_eq!((device.kind(), device.id()), (Kind::Doorbell { vectors: 4 }, 0));
        assert!(device.id_may_be_lost(), "as far as the driver can tell, this is ACRN up to v3.2");
        let interrupts = enable(device, vm);
        let arrived = interrupts.self_test(&device.doorbell().unwrap(), 0, |_| 0, &mut NoTime, 0);
        assert_eq!(arrived.count(), 0);
        interrupts.close(vm).unwrap();
    }
    let [a, b] = devices.each_mut().map(|device| device.memory().unwrap());
    exchange_polled(a, b);
}
