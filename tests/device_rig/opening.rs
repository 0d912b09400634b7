//! Opening: what is found out, and what is left as it was.

use crate::rig::{BARS, DEVICE, ID, Rig, messages};
use crate::site::{SIZE, Site};
use ivshmem::device::{Device, Kind, OpenError, Options, RingError, Selector};
use ivshmem::fake::machine::Access;
use ivshmem::memory::Memory;
use ivshmem::mmio::MapError;
use ivshmem::msix::MsixError;
use ivshmem::pci::{Address, BarError, Command, ConfigAccess};

/// What a difference of Command looks like in a device's configuration space.
fn with_command(mut config: Vec<u32>, command: Command) -> Vec<u32> {
    config[1] = config[1] & 0xFFFF_0000 | u32::from(command.bits());
    config
}

#[test]
fn a_doorbell_device_is_told_by_its_msix_capability() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let device = rig.open().unwrap();
    assert_eq!((device.kind(), device.id(), device.revision()), (Kind::Doorbell { vectors: 4 }, ID, 1));
    assert_eq!((device.bar0(), device.bar2(), device.size()), (BARS[0], BARS[2], SIZE));
    assert_eq!((device.subsystem(), device.quirks().name), ((0x1AF4, 0x1100), "QEMU ivshmem-doorbell"));
}

#[test]
fn a_plain_device_has_memory_and_nothing_else() {
    let Some(rig) = Rig::plain(4096) else { return };
    let mut device = rig.open().unwrap();
    assert_eq!((device.kind(), device.id(), device.size()), (Kind::Plain, 0, 4096));
    assert_eq!(device.doorbell().unwrap_err(), RingError::NoDoorbell);
    assert_eq!(device.enable_interrupts(&rig, &messages(1)).unwrap_err(), MsixError::Absent);
    device.memory().unwrap().publish(4088, 0x1122_3344_5566_7788);
    assert_eq!(rig.peer_memory().load(4088), 0x1122_3344_5566_7788);
    assert_eq!(rig.qemu.read32(BARS[2] + 4088), 0x5566_7788, "at the physical address that was mapped");
}

#[test]
fn every_id_of_16_bits_is_one() {
    // The host process has the id before, and gives 0 to the device after 65535.
    for host in [65533, 65534, 65535] {
        let mut site = Site::first(1, host, SIZE);
        let Some(rig) = Rig::doorbell(&mut site) else { return };
        assert_eq!(rig.open().unwrap().id(), host.wrapping_add(1));
    }
}

#[test]
fn memory_is_all_of_bar2_and_shared_with_the_peers() {
    for size in [4096, 64 << 20] {
        let mut site = Site::first(1, 0, size);
        let Some(rig) = Rig::doorbell(&mut site) else { return };
        let mut device = rig.open().unwrap();
        let memory = device.memory().unwrap();
        assert_eq!((device.size(), memory.len()), (size, size as usize));
        for (offset, value) in [(0, 0xA5), (size as usize - 8, 0x5A)] {
            memory.publish(offset, value);
            assert_eq!(rig.peer_memory().load(offset), value);
            let mut bytes = [0; 8];
            assert_eq!(rustix::io::pread(site.host.memory_fd(), &mut bytes, offset as u64), Ok(8));
            assert_eq!(u64::from_le_bytes(bytes), value, "in the host process");
            assert_eq!(u64::from(rig.qemu.read32(BARS[2] + offset as u64)), value, "in the guest");
        }
    }
}

#[test]
fn opening_changes_memory_decode_and_nothing_else_and_reads_one_register() {
    let mut site = Site::new(8);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let before = rig.config();
    rig.open().unwrap();
    assert_eq!(rig.config(), with_command(before, Command::MEMORY));
    let registers: Vec<_> =
        rig.take_trace().into_iter().filter(|access| !matches!(access, Access::Config(_))).collect();
    assert_eq!(registers, [Access::Read { bar: 0, offset: 8, value: ID.into() }]);
}

#[test]
fn a_known_layout_is_opened_without_any_access() {
    let mut site = Site::new(2);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let layout = rig.open().unwrap().layout();
    rig.take_trace();
    // SAFETY: the layout is that of this machine's device, which decodes it.
    let mut device = unsafe { Device::with_layout(layout, &mut rig.mapper()) }.unwrap();
    assert_eq!(rig.take_trace(), []);
    assert_eq!((device.id(), device.kind()), (ID, Kind::Doorbell { vectors: 2 }));
    device.memory().unwrap().publish(8, 3);
    assert_eq!(rig.peer_memory().load(8), 3);
}

#[test]
fn bars_that_cannot_be_are_one_error_each_and_leave_configuration_space_bit_for_bit() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let overlap =
        |index, address, size, other, other_address| BarError::Overlap { index, address, size, other, other_address };
    for (bars, error) in [
        ([0, BARS[1], BARS[2]], BarError::Unassigned { index: 0, value: 0 }),
        ([BARS[0], BARS[1], 0], BarError::Unassigned { index: 2, value: 0xC }),
        // BAR0 inside BAR2, and BAR2 at the end of what its address can be.
        ([0xFEC8_0000, BARS[1], 0xFEC0_0000], overlap(0, 0xFEC8_0000, 256, 2, 0xFEC0_0000)),
    ] {
        rig.assign(DEVICE, bars.map(Some));
        let before = rig.config();
        let refused = rig.open().unwrap_err();
        assert_eq!(rig.config(), before, "{refused}");
        match (refused, error) {
            // Which of the two is named first is of no matter.
            (OpenError::Bar(BarError::Overlap { .. }), BarError::Overlap { .. }) => {}
            (refused, error) => assert_eq!(refused, OpenError::Bar(error)),
        }
    }
}

#[test]
fn a_device_that_cannot_be_mapped_is_left_bit_for_bit() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    for command in [Command::empty(), Command::MEMORY | Command::SERR] {
        rig.set_command(command);
        let before = rig.config();
        for address in [BARS[0], BARS[2] + SIZE - 1] {
            rig.unmappable.set(Some(address));
            assert_eq!(rig.open().unwrap_err(), OpenError::Map(MapError::OutOfFrames));
            assert_eq!(rig.config(), before, "{address:#x} cannot be mapped");
        }
    }
    // Without its interrupts it is opened, to be polled.
    rig.unmappable.set(Some(BARS[1] + 0x800));
    let unmapped = MsixError::Map(MapError::OutOfFrames);
    assert_eq!(rig.open().unwrap().enable_interrupts(&rig, &messages(1)).unwrap_err(), unmapped);
}

#[test]
fn what_is_no_ivshmem_device_is_refused_and_left_bit_for_bit() {
    let arguments =
        "-device virtio-rng-pci,addr=0x4 -device qemu-xhci,addr=0x5 -device pci-bridge,chassis_nr=1,addr=0x6";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let Some(qemu) = crate::qtest::Qemu::start("pc", &arguments) else { return };
    let ports = qemu.ports();
    for (slot, vendor, id) in [(4, 0x1AF4, 0x1005), (5, 0x1B36, 0x000D), (6, 0x1B36, 0x0001)] {
        let address = Address::new(0, 0, slot, 0).unwrap();
        let config = || (0..0x100).step_by(4).map(|offset| ports.read32(address, offset)).collect::<Vec<_>>();
        let before = config();
        // SAFETY: nothing is mapped: the function is refused before.
        let opened = unsafe { Device::open(&ports, &mut NoMapper, Selector::Address(address), Options::default()) };
        assert_eq!(opened.unwrap_err(), OpenError::NotIvshmem { vendor, device: id });
        assert_eq!(config(), before);
    }
}

/// For what must not be mapped.
struct NoMapper;

// SAFETY: it gives no pointer.
unsafe impl ivshmem::mmio::Mapper for NoMapper {
    unsafe fn map(
        &mut self,
        physical: u64,
        length: u64,
        _: ivshmem::mmio::Caching,
    ) -> Result<std::ptr::NonNull<u8>, MapError> {
        panic!("{length} bytes at {physical:#x} were to be mapped");
    }
}
