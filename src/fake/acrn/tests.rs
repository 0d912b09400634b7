//! The models against what is known of ACRN, fact by fact.

use super::*;
use crate::fake::vm::{Device, Vm};
use crate::mmio::{Caching, Mapper, Region as Registers};
use crate::pci::{Address, ConfigAccess};

const AT: Address = match Address::new(0, 0, 8, 0) {
    Ok(address) => address,
    Err(_) => unreachable!(),
};
const BARS: [u64; 3] = HypervisorLand::BARS;
const REGION: u16 = 0x1000;

struct Rig {
    vm: Vm,
    device: Arc<HypervisorLand>,
    registers: Registers,
    table: Registers,
}

fn region() -> Arc<Region> {
    Region::new(REGION, 2 << 20).unwrap()
}

fn rig(version: Version, vm: u16, region: &Arc<Region>) -> Rig {
    let device = HypervisorLand::new(version, vm, region, BARS);
    let vm = Vm::new().with(AT, device.clone());
    let [registers, table] =
        [(BARS[0], 256), (BARS[1], 4096)].map(|(physical, length)| registers(&vm, physical, length));
    Rig { vm, device, registers, table }
}

fn registers(vm: &Vm, physical: u64, length: u64) -> Registers {
    // SAFETY: what is mapped is the model's.
    let base = unsafe { vm.mapper().map(physical, length, Caching::Uncached) }.unwrap();
    // SAFETY: a window of the model, which lives as long as the machine.
    unsafe { Registers::new(base, length as usize) }
}

impl Rig {
    fn config(&self, offset: u16) -> u32 {
        self.vm.read32(AT, offset)
    }

    fn id(&self) -> u32 {
        self.registers.read32(8).unwrap()
    }

    fn ring(&self, peer: u32, vector: u32) {
        self.registers.write32(12, peer << 16 | vector).unwrap();
    }

    /// Vector `n` sends data 0x40 + n; enabled.
    fn enable(&self, vector: u32) {
        for (register, value) in [(0, 0xFEE0_0000), (4, 0), (8, 0x40 + vector), (12, 0)] {
            self.table.write32(16 * vector as usize + register, value).unwrap();
        }
        self.vm.write16(AT, 0x42, 0x8000);
    }
}

#[test]
fn configuration_space_shows_what_each_version_shows() {
    for version in VERSIONS {
        let rig = rig(version, 3, &region());
        let read = [0x00, 0x04, 0x08, 0x34, 0x40, 0x44, 0x48].map(|offset| rig.config(offset));
        assert_eq!(
            read,
            [0x1110_1AF4, 0x0010_0000, 0x0500_0001, 0x40, 0x0007_0011, 0x1, 0x801],
            "Command 0, 8 vectors"
        );
        assert_eq!([0x10, 0x14, 0x18, 0x1C].map(|offset| rig.config(offset)), [0x8000_0000, 0x8000_1000, 0xC, 0x40]);
        let since_3_3 = version == V3_3;
        assert_eq!(rig.config(0x0C) >> 16, if since_3_3 { 0x80 } else { 0 }, "{}", version.name);
        assert_eq!(rig.config(0x2C), if since_3_3 { 0x1000_8086 } else { 0 }, "{}", version.name);
        rig.vm.write32(AT, 0x10, u32::MAX);
        assert_eq!(rig.config(0x10).wrapping_neg(), if version == V2_3 { 4096 } else { 256 }, "{}", version.name);
    }
}

#[test]
fn configuration_space_keeps_whatever_is_written_but_bars_and_the_capability() {
    let rig = rig(V3_3, 3, &region());
    for offset in [0x00, 0x04, 0x08, 0x0C, 0x2C, 0x34, 0x3C, 0xFC] {
        rig.vm.write32(AT, offset, 0x1234_5678);
        assert_eq!(rig.config(offset), 0x1234_5678, "{offset:#x}");
    }
    rig.vm.write32(AT, 0x04, 0x0000_0006);
    assert_eq!(rig.config(0x04), 0x0000_0006, "a 32-bit write of Command clears Status");
    for offset in [0x40, 0x44, 0x48] {
        rig.vm.write32(AT, offset, u32::MAX);
    }
    assert_eq!([0x40, 0x44, 0x48].map(|offset| rig.config(offset)), [0xC007_0011, 0x1, 0x801]);
    assert_eq!(rig.config(0x100), 0);
}

#[test]
fn a_bar_is_sized_by_exactly_all_ones_and_moved_by_anything_else() {
    let rig = rig(V3_3, 3, &region());
    rig.vm.write32(AT, 0x18, u32::MAX);
    assert_eq!((rig.config(0x18), rig.device.decoded(2)), (0xFFE0_000C, None), "nowhere meanwhile");
    rig.vm.write32(AT, 0x18, 0xC);
    assert_eq!(rig.device.placed(), [(2, BARS[2])]);
    rig.vm.write32(AT, 0x10, 0xFFFF_FFF0);
    assert_eq!(rig.device.placed()[1..], [(0, 0xFFFF_FF00)], "taken for an address");
    assert_eq!(rig.id(), u32::MAX, "and no longer where it was");
}

#[test]
fn mapping_bar0_forgets_ivposition_up_to_v3_2() {
    for version in VERSIONS {
        let rig = rig(version, 3, &region());
        assert_eq!(rig.id(), 3);
        for size_another in [0x14, 0x18] {
            let value = rig.config(size_another);
            rig.vm.write32(AT, size_another, u32::MAX);
            rig.vm.write32(AT, size_another, value);
        }
        assert_eq!(rig.id(), 3);
        rig.registers.write32(0, 7).unwrap();
        rig.vm.write32(AT, 0x10, u32::MAX);
        rig.vm.write32(AT, 0x10, 0x8000_0000);
        let kept = (rig.id(), rig.registers.read32(0));
        assert_eq!(kept, if version == V3_3 { (3, Ok(7)) } else { (0, Ok(0)) }, "{}", version.name);
    }
}

#[test]
fn registers_are_storage_but_ivposition_and_doorbell() {
    let rig = rig(V3_3, 15, &region());
    for offset in (0..16).step_by(4) {
        rig.registers.write32(offset, 0x000F_0100).unwrap();
    }
    let read = [0, 4, 4, 8, 12].map(|offset| rig.registers.read32(offset).unwrap());
    assert_eq!(read, [0x000F_0100, 0x000F_0100, 0x000F_0100, 15, 0], "reading IntrStatus clears nothing");
    assert_eq!(rig.registers.read32(16), Ok(0xA5A5_A5A5), "what the request held before");
}

#[test]
#[should_panic(expected = "reads the hypervisor's memory")]
fn registers_had_no_bound_up_to_v3_2() {
    let _ = rig(V3_2, 1, &region()).registers.read32(16);
}

#[test]
fn what_cannot_be_delivered_is_dropped_and_never_pending() {
    let region = region();
    let (from, to) = (rig(V3_3, 0, &region), rig(V3_3, 5, &region));
    from.ring(5, 0);
    assert_eq!(to.device.dropped(), 1, "MSI-X is off");
    to.enable(0);
    to.table.write32(12, 1).unwrap();
    from.ring(5, 0);
    to.table.write32(12, 0).unwrap();
    to.vm.write16(AT, 0x42, 0xC000);
    from.ring(5, 0);
    to.vm.write16(AT, 0x42, 0x8000);
    to.device.set_transition(true);
    from.ring(5, 0);
    to.device.set_transition(false);
    for vector in [1, 8, 0x100, 0xFFFF] {
        from.ring(5, vector);
    }
    assert_eq!(
        (to.device.dropped(), to.device.count(0x40)),
        (8, 0),
        "masked, function mask, transition, not entered, beyond"
    );
    assert_eq!((to.table.read32(0x800), to.table.read32(0x804)), (Ok(0), Ok(0)));
    from.ring(5, 0);
    from.ring(6, 0);
    to.ring(5, 0);
    assert_eq!(to.device.take_messages(), [(0xFEE0_0000, 0x40); 2], "from another VM, and from itself");
    assert_eq!((to.device.dropped(), from.device.dropped()), (8, 0));
    to.table.write32(0, 0x1000).unwrap();
    from.ring(5, 0);
    assert_eq!(to.device.dropped(), 9, "no local APIC's address");
}

#[test]
fn a_doorbell_reaches_the_regions_peers_only() {
    let (one, other) = (region(), region());
    let (from, to, elsewhere) = (rig(V3_3, 0, &one), rig(V3_3, 5, &one), rig(V3_3, 5, &other));
    to.enable(0);
    elsewhere.enable(0);
    from.ring(5, 0);
    assert_eq!((to.device.count(0x40), elsewhere.device.count(0x40), elsewhere.device.dropped()), (1, 0, 0));
}

#[test]
fn a_vm_that_starts_again_finds_all_as_at_first_but_the_memory() {
    let region = region();
    let rig = rig(V3_2, 3, &region);
    region.view().store(0x2000, 7);
    rig.enable(0);
    rig.vm.write32(AT, 0x04, u32::MAX);
    rig.vm.write32(AT, 0x10, 0x9000_0000);
    rig.device.restart();
    assert_eq!((rig.config(0x04), rig.config(0x10), rig.config(0x40)), (0x0010_0000, 0x8000_0000, 0x0007_0011));
    assert_eq!((rig.id(), rig.table.read32(12), region.view().load(0x2000)), (3, Ok(1), 7));
    rig.ring(3, 0);
    assert_eq!((rig.device.count(0x40), rig.device.dropped()), (0, 1), "MSI-X is off again");
}

#[test]
fn memory_is_never_zeroed() {
    let view = region().view();
    assert!((8..4096).step_by(8).all(|offset| view.load(offset) != 0));
}

#[test]
fn the_device_models_registers_keep_nothing_and_answer_all_ones_beyond_ivposition() {
    let vm = Vm::new().with(AT, DeviceModelLand::new(V3_3, &region(), false));
    let (bar0, bar1) = (registers(&vm, 0x8000_0000, 256), registers(&vm, 0x8000_1000, 4096));
    for offset in [0, 4, 8, 12, 16] {
        bar0.write32(offset, 7).unwrap();
    }
    let read = [0, 4, 8, 12, 16].map(|offset| bar0.read32(offset).unwrap());
    assert_eq!(read, [0, 0, 0, u32::MAX, u32::MAX]);
    assert_eq!(
        (bar1.read32(0), bar1.read32(0x800)),
        (Ok(u32::MAX), Ok(u32::MAX)),
        "a BAR1 that no capability speaks of"
    );
    assert_eq!((vm.read32(AT, 0x04), vm.read32(AT, 0x34)), (7, 0), "Command at the start; no capability");
}

#[test]
fn the_device_models_bar2_depends_on_size_and_firmware() {
    let small = region();
    let large = Region::new(2, 64 << 20).unwrap();
    for (region, ovmf, expected) in [(&small, false, 0xC000_0004), (&small, true, 0xC), (&large, false, 0xC)] {
        let vm = Vm::new().with(AT, DeviceModelLand::new(V3_3, region, ovmf));
        assert_eq!(vm.read32(AT, 0x18), expected);
        assert_eq!(vm.read32(AT, 0x1C), if expected == 0xC { 0x40 } else { 0 });
    }
}

#[test]
fn the_device_models_memory_stays_where_it_was_mapped() {
    let device = DeviceModelLand::new(V3_3, &region(), false);
    let vm = Vm::new().with(AT, device.clone());
    vm.write16(AT, 0x18, 0xFFFF);
    assert_eq!(vm.read32(AT, 0x18), 0xC000_0004, "half a register is ignored");
    vm.write32(AT, 0x18, u32::MAX);
    assert_eq!(vm.read32(AT, 0x18), 0xFFE0_0004);
    vm.write32(AT, 0x18, 0xD000_0000);
    assert_eq!((vm.read32(AT, 0x18), device.decoded(2).unwrap().start), (0xD000_0004, 0xC000_0000));
}
