//! The modelled machine against the real one: what `ivshmem::fake` answers is what QEMU answers, access by access.

use crate::rig::{DEVICE, ID, Rig, messages};
use crate::site::{SIZE, Site};
use crate::witness::Witness;
use ivshmem::device::{Device, Options, Selector};
use ivshmem::fake::config::Function;
use ivshmem::fake::machine::{Access, Hypervisor, Machine};
use ivshmem::mmio::Mapper;
use ivshmem::msix::MsixError;
use ivshmem::notify::Doorbell;
use ivshmem::pci::ConfigAccess;

/// Everything that a driver does to a device. `settle` returns when every doorbell has been taken.
fn drive(access: &impl ConfigAccess, mut mapper: impl Mapper, settle: impl Fn()) {
    for _ in 0..2 {
        let (selector, options) = (Selector::Address(DEVICE), Options::default());
        // SAFETY: configuration space and mapper are of one machine, and nothing else drives its device.
        let mut device = unsafe { Device::open(access, &mut mapper, selector, options) }.unwrap();
        device.check_present(access).unwrap();
        let doorbell = device.doorbell().unwrap();
        assert_eq!(
            device.enable_interrupts(access, &messages(41)).unwrap_err(),
            MsixError::TooManyMessages { messages: 41, vectors: 40 }
        );
        let mut interrupts = device.enable_interrupts(access, &messages(33)).unwrap();
        for vector in [0, 31, 32] {
            interrupts.mask(vector).unwrap();
            doorbell.ring(ID, vector).unwrap();
            settle();
            assert_eq!(interrupts.pending(vector), Ok(true));
            interrupts.unmask(vector).unwrap();
            interrupts.unmask(vector).unwrap();
            assert_eq!(interrupts.pending(vector), Ok(false));
        }
        doorbell.ring(0x1234, 255).unwrap();
        interrupts.close(access).unwrap();
    }
}

#[test]
fn the_model_and_the_device_answer_every_access_of_the_driver_alike() {
    let mut site = Site::new(40);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    drive(&rig, rig.mapper(), || witness.settle(&rig, &site));

    let machine = Machine::new(Hypervisor::Qemu, ID, Function::ivshmem_doorbell(SIZE, 40)).unwrap();
    drive(&machine, machine.mapper(), || ());

    let (real, modelled) = (rig.take_trace(), machine.take_trace());
    for (n, (real, modelled)) in real.iter().zip(&modelled).enumerate() {
        assert_eq!(real.to_string(), modelled.to_string(), "access {n}: QEMU's, and the model's");
    }
    assert_eq!(real.len(), modelled.len());
    assert!(real.iter().any(|access| matches!(access, Access::Write { bar: 0, .. })), "the trace is of everything");
}
