//! ACRN's device-model-land device, at every version, size and firmware.

use crate::{at, exchange_polled, open, open_first, vm_with_others};
use ivshmem::device::{Kind, Options, RingError, Selector};
use ivshmem::fake::acrn::{DeviceModelLand, Region, V3_3, VERSIONS};
use ivshmem::fake::machine::Access;
use ivshmem::fake::vm::{Device, Vm};
use ivshmem::msix::{Message, MsixError};
use ivshmem::pci::ConfigAccess;
use std::sync::Arc;

fn vm(device: &Arc<DeviceModelLand>) -> Vm {
    vm_with_others().with(at("00:03.0"), device.clone())
}

#[test]
fn the_driver_comes_up_without_doorbells_and_a_mailbox_exchanges_messages_by_polling() {
    for version in VERSIONS {
        for (length, ovmf) in [(2 << 20, false), (32 << 20, false), (64 << 20, false), (2 << 20, true)] {
            let region = Region::new(0x1000, length).unwrap();
            let [first, second] = [(); 2].map(|()| DeviceModelLand::new(version, &region, ovmf));
            let vms = [&first, &second].map(vm);
            let mut devices = vms.each_ref().map(|vm| open_first(vm).unwrap());
            for (device, vm) in devices.iter_mut().zip(&vms) {
                assert_eq!((device.kind(), device.id(), device.size()), (Kind::Plain, 0, length as u64));
                assert_eq!(device.bar2() < 1 << 32, length <= 32 << 20 && !ovmf, "{length} bytes, OVMF {ovmf}");
                assert!(!device.id_may_be_lost() && !device.quirks().memory_may_move);
                assert_eq!(device.doorbell().unwrap_err(), RingError::NoDoorbell);
                let message = Message::new(0, 0x40).unwrap();
                assert_eq!(device.enable_interrupts(vm, &[message]).unwrap_err(), MsixError::Absent);
                let registers = |access: &Access| !matches!(access, Access::Config(_));
                let touched: Vec<_> = vm.take_trace().into_iter().filter(registers).collect();
                assert_eq!(touched, [Access::Read { bar: 0, offset: 8, value: 0 }]);
            }
            let [a, b] = devices.each_mut().map(|device| device.memory().unwrap());
            exchange_polled(a, b);
        }
    }
}

#[test]
fn bar2_is_sized_and_never_moved() {
    let region = Region::new(0x1000, 2 << 20).unwrap();
    let device = DeviceModelLand::new(V3_3, &region, false);
    let vm = vm(&device);
    let before = [0x10, 0x14, 0x18, 0x1C].map(|offset| vm.read32(at("00:03.0"), offset));
    let opened = open_first(&vm).unwrap();
    assert_eq!([0x10, 0x14, 0x18, 0x1C].map(|offset| vm.read32(at("00:03.0"), offset)), before);
    assert_eq!(device.decoded(2).unwrap().start, opened.bar2());
}

#[test]
fn a_region_is_selected_by_its_id_from_v3_3_on_and_by_its_size_before() {
    for version in VERSIONS {
        let small = DeviceModelLand::new(version, &Region::new(0x1000, 2 << 20).unwrap(), false);
        let large = DeviceModelLand::new(version, &Region::new(0x1001, 4 << 20).unwrap(), true);
        let vm = vm(&small).with(at("00:04.0"), large);
        let size = |selector| open(&vm, &vm, selector, Options::default()).map(|device| device.size());
        assert_eq!(size(Selector::Size(4 << 20)), Ok(4 << 20));
        assert_eq!(size(Selector::Subsystem(0x1001)).is_ok(), version == V3_3);
    }
}
