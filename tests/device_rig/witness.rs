//! A second device of the same QEMU: it tells when QEMU has taken every doorbell rung so far, delivered or dropped.

use crate::rig::Rig;
use crate::site::{HOST, Site};
use ivshmem::device::{Device, Options, Selector};
use ivshmem::msix::{Interrupts, Message};
use ivshmem::pci::Address;

const ADDRESS: Address = match Address::new(0, 0, 5, 0) {
    Ok(address) => address,
    Err(_) => unreachable!(),
};
const BARS: [u64; 3] = [0xFEBF_3000, 0xFEA0_0000, 0xD0_0000_0000];
const ID: u16 = HOST + 2;
/// The APIC id that the witness's messages name; no test uses it.
const APIC: u32 = 254;

/// What firmware does.
pub fn assign(rig: &Rig) {
    rig.assign(ADDRESS, BARS.map(Some));
}

/// The second device, with its interrupts on.
#[derive(Debug)]
pub struct Witness {
    message: Message,
    _device: Device,
    _interrupts: Interrupts,
}

impl Witness {
    pub fn new(rig: &Rig) -> Self {
        let message = Message::new(APIC, 0xF0).unwrap();
        let (ports, selector) = (rig.qemu.ports(), Selector::Address(ADDRESS));
        let mut mapper = rig.mapper_of(BARS);
        // SAFETY: configuration space and mapper are of one machine, and nothing else drives this device.
        let device = unsafe { Device::open(&ports, &mut mapper, selector, Options::default()) };
        let mut device = device.unwrap();
        assert_eq!(device.id(), ID);
        let interrupts = device.enable_interrupts(&ports, &[message]).unwrap();
        Self { message, _device: device, _interrupts: interrupts }
    }

    /// Returns when QEMU has taken every doorbell that was rung before, delivered or dropped.
    ///
    /// QEMU takes all doorbells that one poll of its main loop finds before it does anything else. The poll that finds the
    /// first of these two may have looked at another doorbell too early; the poll that finds the second began after that.
    #[track_caller]
    pub fn settle(&self, rig: &Rig, site: &Site) {
        for _ in 0..2 {
            site.ring(ID, 0);
            rig.expect(self.message);
        }
    }
}
