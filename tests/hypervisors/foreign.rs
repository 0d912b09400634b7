//! Devices that look like ours, refused with an error that says what they are, and left as they were found.

use crate::{at, open, vm_with_others};
use ivshmem::device::{OpenError, Options, Selector};
use ivshmem::fake::config::{Cycle, Function};
use ivshmem::fake::machine::Access;
use ivshmem::fake::vm::{Memory, Standard, Vm};
use std::sync::Arc;

const PLACE: &str = "00:05.0";

fn vm(function: Function) -> Vm {
    let memory = Arc::new(Memory::new(1 << 20).unwrap());
    vm_with_others().with(at(PLACE), Standard::with_memory(function, memory))
}

/// By its address, and as the first there is.
fn refused(vm: &Vm) -> OpenError {
    let errors = [Selector::Address(at(PLACE)), Selector::default()]
        .map(|selector| open(vm, vm, selector, Options::default()).unwrap_err());
    assert_eq!(errors[0], errors[1]);
    let looked = |access: &Access| matches!(access, Access::Config(Cycle::Read32 { .. }));
    assert!(vm.take_trace().iter().all(looked), "nothing is written, and no register read");
    errors[0]
}

#[test]
fn revision_0_is_refused_as_qemus_of_before_2_6() {
    let function = Function::ivshmem_legacy(1 << 20, 1).assigned(0, 0xFEBF_1000).assigned(2, 0xFE00_0000);
    let error = refused(&vm(function));
    assert_eq!(error, OpenError::Revision(0));
    assert_eq!(error.to_string(), "revision 0 is QEMU's ivshmem of before 2.6; use ivshmem-plain or ivshmem-doorbell");
}

#[test]
fn kvmtools_registers_in_io_ports_are_refused_by_its_name() {
    let error = refused(&vm(Function::kvmtool_shmem(1 << 20)));
    assert_eq!(error, OpenError::Kvmtool { class: 0xFF_0000, bar0: 0x6201 });
    assert_eq!(error.to_string(), "kvmtool's shared memory device (class 0xff0000): BAR0 (0x00006201) is in I/O space");
}

#[test]
fn jailhouses_version_2_is_refused_by_its_name_with_any_protocol_and_with_any_selector() {
    for protocol in [0, 1, 0x4000, 0xFFFF] {
        let vm = vm(Function::jailhouse_ivshmem(protocol, 0x1_0000_0000));
        let error = refused(&vm);
        assert_eq!(error, OpenError::Version2(at(PLACE)));
        assert_eq!(
            error.to_string(),
            "0000:00:05.0 is an ivshmem device of version 2 (110a:4106, Jailhouse); this driver is for version 1"
        );
        let vm = vm.with(at("00:06.0"), Standard::new(Function::jailhouse_ivshmem(1, 0)));
        assert_eq!(refused(&vm), error, "the first of two is named");
        for selector in [Selector::Nth(3), Selector::Size(4096), Selector::Subsystem(0x4106)] {
            assert_eq!(open(&vm, &vm, selector, Options::default()).unwrap_err(), error);
        }
    }
}

#[test]
fn a_device_of_version_2_beside_one_of_version_1_hinders_nothing() {
    let ours = Function::ivshmem_plain(1 << 20).assigned(0, 0xFEBF_1000).assigned(2, 0xFE00_0000);
    let vm = vm(ours).with(at("00:04.0"), Standard::new(Function::jailhouse_ivshmem(1, 0)));
    assert_eq!(open(&vm, &vm, Selector::default(), Options::default()).unwrap().address(), at(PLACE));
    let error = open(&vm, &vm, Selector::Nth(1), Options::default()).unwrap_err();
    assert_eq!(error, OpenError::NotFound { seen: 1 });
}
