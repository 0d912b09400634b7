//! BARs that no firmware placed, behind QEMU's own bridges: placed by the driver, and read through.
//!
//! The memory of each device is filled by the test, which then reads it at the physical address that the BAR was given.

use crate::qtest::Qemu;
use ivshmem::pci::{
    self, Address, AssignError, BarError, Bridge, Buses, Command, ConfigAccess, Header, Window, Windows,
};
use std::os::unix::fs::FileExt;

const GIB: u64 = 1 << 30;
const ALL: Buses = Buses { segment: 0, first: 0, last: 255 };

/// What both machines forward to PCI: below the interrupt controllers, and where OVMF puts BARs.
const WINDOWS: Windows = Windows {
    mem32: Some(Window { base: 0xC000_0000, limit: 0xFEBF_FFFF }),
    mem64: Some(Window { base: 896 * GIB, limit: 960 * GIB - 1 }),
};

/// A machine with one `ivshmem-plain` of `size` bytes on `bus`, and its memory.
fn start(machine: &str, bridges: &str, bus: &str, size: u64) -> Option<(Qemu, std::fs::File)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Sparse: as many gigabytes as there are, and hardly any of them used.
    file.as_file().set_len(size).unwrap();
    let path = file.path().display();
    let backend = format!("memory-backend-file,id=m,share=on,reserve=off,size={size},mem-path={path}");
    let device = format!("ivshmem-plain,memdev=m,{bus}");
    let mut arguments: Vec<&str> = bridges.split_whitespace().collect();
    arguments.extend(["-object", &backend, "-device", &device]);
    let qemu = Qemu::start(machine, &arguments)?;
    // An answer means that it has opened the file.
    qemu.ports().read32(Address::new(0, 0, 0, 0).unwrap(), 0);
    Some((qemu, file.reopen().unwrap()))
}

fn ivshmem(access: &impl ConfigAccess) -> Address {
    pci::functions(access).find(|function| function.device == 0x1110).expect("no ivshmem device is reached").address
}

/// Everything of every function's conventional configuration space.
fn contents(access: &impl ConfigAccess) -> Vec<(Address, Vec<u32>)> {
    let registers = |address| (0..0x100).step_by(4).map(|offset| access.read32(address, offset)).collect();
    pci::functions(access).map(|function| (function.address, registers(function.address))).collect()
}

/// Reads through the BAR what is in the memory, at both ends.
fn assert_read_through(qemu: &Qemu, memory: &std::fs::File, bar2: u64, size: u64) {
    for (offset, value) in [(0, 0x1234_5678_u32), (size / 2, 0x0BAD_CAFE), (size - 4, 0x9ABC_DEF0)] {
        memory.write_all_at(&value.to_le_bytes(), offset).unwrap();
        assert_eq!(qemu.read32(bar2 + offset), value, "at {:#x}", bar2 + offset);
        qemu.write32(bar2 + offset, !value);
        let mut bytes = [0; 4];
        memory.read_exact_at(&mut bytes, offset).unwrap();
        assert_eq!(u32::from_le_bytes(bytes), !value, "at {:#x}", bar2 + offset);
    }
}

/// Numbers, places, opens the way, and reads.
fn assigned(machine: &str, bridges: &str, bus: &str, size: u64) -> Option<u64> {
    let (qemu, memory) = start(machine, bridges, bus, size)?;
    let ports = qemu.ports();
    pci::number_buses(&ports, ALL).unwrap();
    let device = ivshmem(&ports);
    assert_eq!(pci::bar(&ports, device, 2), Err(BarError::Unassigned { index: 2, value: 0xC }));
    let before = contents(&ports);
    let assigned = pci::assign(&ports, device, &WINDOWS).unwrap();
    assert_eq!(assigned.bars().iter().map(|bar| (bar.index, bar.size)).collect::<Vec<_>>(), [(2, size), (0, 256)]);
    for ((address, before), (_, after)) in before.iter().zip(contents(&ports)) {
        let on_the_way = Bridge::at(&ports, *address).is_some_and(|bridge| {
            let numbers = bridge.numbers();
            (numbers.secondary..=numbers.subordinate).contains(&device.bus())
        });
        for (register, (old, new)) in before.iter().zip(after).enumerate() {
            let may = match register * 4 {
                0x04 | 0x20..0x30 => on_the_way,
                0x10..0x18 => on_the_way || *address == device,
                0x18..0x28 => *address == device,
                _ => false,
            };
            assert!(*old == new || may, "{address}: {:#x}: {old:#x} became {new:#x}", register * 4);
        }
    }
    Header::new(&ports, device).set_command(Command::MEMORY);
    let bar2 = pci::bar(&ports, device, 2).unwrap().address;
    assert!(bar2.is_multiple_of(size));
    assert_read_through(&qemu, &memory, bar2, size);
    // IVPosition of a plain device, and what a mask register keeps.
    let bar0 = pci::bar(&ports, device, 0).unwrap().address;
    qemu.write32(bar0, 0x5A5A);
    assert_eq!((qemu.read32(bar0), qemu.read32(bar0 + 8)), (0x5A5A, 0));
    Some(bar2)
}

#[test]
fn every_size_from_4_kib_to_16_gib_is_placed_at_896_gib_and_read_through() {
    for machine in ["pc", "q35"] {
        for size in [4096, 1 << 20, GIB, 16 * GIB] {
            let Some(bar2) = assigned(machine, "", "addr=0x4", size) else { return };
            assert_eq!(bar2, 896 * GIB);
        }
    }
}

#[test]
fn behind_root_ports_switches_and_conventional_bridges_the_way_is_opened() {
    let q35 = [
        ("-device pcie-root-port,id=a,addr=0x4,chassis=1,slot=1", "bus=a"),
        ("-device pcie-root-port,id=p,addr=0x4,chassis=1,slot=1 -device pcie-pci-bridge,id=a,bus=p", "bus=a,addr=0x1f"),
        (
            "-device pcie-root-port,id=p,addr=0x4,chassis=1,slot=1 -device x3130-upstream,id=u,bus=p \
             -device xio3130-downstream,id=d,bus=u,chassis=2,slot=2 -device pcie-pci-bridge,id=b,bus=d \
             -device pci-bridge,id=a,bus=b,chassis_nr=3,addr=0x2",
            "bus=a,addr=0x3",
        ),
        (
            "-device i82801b11-bridge,id=p,addr=0x1e -device pci-bridge,id=a,bus=p,chassis_nr=1,addr=0x1",
            "bus=a,addr=0x2",
        ),
    ];
    let pc = [
        ("-device pci-bridge,id=a,chassis_nr=1,addr=0x4", "bus=a,addr=0x1"),
        (
            "-device pci-bridge,id=p,chassis_nr=1,addr=0x4 -device pci-bridge,id=q,bus=p,chassis_nr=2,addr=0x1 \
             -device pci-bridge,id=a,bus=q,chassis_nr=3,addr=0x2",
            "bus=a,addr=0x3",
        ),
    ];
    let cases = q35.map(|case| ("q35", case)).into_iter().chain(pc.map(|case| ("pc", case)));
    for (machine, (bridges, bus)) in cases {
        for size in [4096, 16 * GIB] {
            if assigned(machine, bridges, bus, size).is_none() {
                return;
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_configuration_space_is_as_it_was() {
    let bridges = "-device pcie-root-port,id=a,addr=0x4,chassis=1,slot=1";
    let Some((qemu, _memory)) = start("q35", bridges, "bus=a", GIB) else { return };
    let ports = qemu.ports();
    pci::number_buses(&ports, ALL).unwrap();
    let (device, before) = (ivshmem(&ports), contents(&ports));
    let error = AssignError::NoWindow { address: "00:04.0".parse().unwrap(), prefetchable: true, size: GIB };
    assert_eq!(pci::assign(&ports, device, &Windows::default()), Err(error));
    let small = Windows { mem64: Some(Window { base: 896 * GIB, limit: 897 * GIB - 2 }), mem32: None };
    assert_eq!(pci::assign(&ports, device, &small), Err(error));
    assert_eq!(contents(&ports), before);
}

#[test]
fn three_devices_behind_one_bridge_and_one_beside_it_do_not_meet() {
    let bridges = "-object memory-backend-ram,id=m1,size=1M -object memory-backend-ram,id=m2,size=8M \
        -object memory-backend-ram,id=m3,size=2M -device pci-bridge,id=a,chassis_nr=1,addr=0x4 \
        -device ivshmem-plain,memdev=m1,bus=a,addr=0x1 -device ivshmem-plain,memdev=m2,bus=a,addr=0x2 \
        -device ivshmem-plain,memdev=m3,addr=0x5";
    let Some((qemu, memory)) = start("pc", bridges, "bus=a,addr=0x3", 4 << 20) else { return };
    let ports = qemu.ports();
    pci::number_buses(&ports, ALL).unwrap();
    let devices: Vec<_> =
        pci::functions(&ports).filter(|function| function.device == 0x1110).map(|found| found.address).collect();
    let mut places = Vec::new();
    for device in &devices {
        let assigned = pci::assign(&ports, *device, &WINDOWS).unwrap();
        places.extend(assigned.bars().iter().map(|bar| (bar.address, bar.size)));
        Header::new(&ports, *device).set_command(Command::MEMORY);
    }
    places.sort_unstable();
    assert_eq!(places.len(), 8);
    assert!(places.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{places:x?}");
    let last = "01:03.0".parse().unwrap();
    assert_read_through(&qemu, &memory, pci::bar(&ports, last, 2).unwrap().address, 4 << 20);
}
