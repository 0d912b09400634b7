//! Enumeration, BARs and capabilities on whatever QEMU has of them.

use crate::qtest::Qemu;
use ivshmem::pci::{self, Address, BarError, Command, ConfigAccess, Header, Width};

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

/// Every register of the conventional header and the capabilities behind it.
fn contents(access: &impl ConfigAccess, address: Address) -> Vec<u32> {
    (0..0x100).step_by(4).map(|offset| access.read32(address, offset)).collect()
}

/// What firmware does with a bridge: buses `secondary` to `subordinate` are behind it.
fn route(access: &impl ConfigAccess, bridge: &str, secondary: u8, subordinate: u8) {
    let primary = at(bridge).bus();
    access.write32(at(bridge), 0x18, u32::from_le_bytes([primary, secondary, subordinate, 0]));
}

/// Addresses of all functions but the machine's own: those of class 5 (ivshmem) and the bridges' of class 6, sub-class 4.
fn found(access: &impl ConfigAccess) -> Vec<String> {
    pci::functions(access)
        .filter(|function| matches!(function.class >> 8, 0x0500 | 0x0604))
        .map(|function| function.address.to_string())
        .collect()
}

#[test]
fn enumeration_reaches_root_ports_switches_bridges_functions_and_extra_root_buses() {
    let arguments: Vec<&str> = "-object memory-backend-ram,id=m0,size=1M -object memory-backend-ram,id=m1,size=1M \
        -object memory-backend-ram,id=m2,size=1M -object memory-backend-ram,id=m3,size=1M \
        -object memory-backend-ram,id=m4,size=1M -object memory-backend-ram,id=m5,size=1M \
        -device ivshmem-plain,memdev=m0,bus=pcie.0,addr=0x2.0,multifunction=on -device ivshmem-plain,memdev=m1,bus=pcie.0,addr=0x2.5 \
        -device pcie-root-port,id=rp,bus=pcie.0,addr=0x4,chassis=1,slot=1 -device x3130-upstream,id=up,bus=rp \
        -device xio3130-downstream,id=d0,bus=up,chassis=2,slot=2,addr=0x0 \
        -device xio3130-downstream,id=d1,bus=up,chassis=3,slot=3,addr=0x3 \
        -device ivshmem-plain,memdev=m2,bus=d0 -device pcie-pci-bridge,id=pb,bus=d1 \
        -device ivshmem-plain,memdev=m3,bus=pb,addr=0x1f \
        -device pxb-pcie,id=pxb,bus=pcie.0,bus_nr=128,addr=0x5 -device pcie-root-port,id=rp2,bus=pxb,chassis=4,slot=4 \
        -device ivshmem-plain,memdev=m4,bus=rp2 \
        -device pcie-root-port,id=rp3,bus=pcie.0,addr=0x6,chassis=5,slot=5 -device ivshmem-plain,memdev=m5,bus=rp3,addr=0x0 \
        -object memory-backend-ram,id=m6,size=1M -device ivshmem-plain,memdev=m6,bus=rp3,addr=0x1"
        .split_whitespace()
        .collect();
    let Some(qemu) = Qemu::start("q35", &arguments) else { return };
    let ecam = qemu.ecam(0xB000_0000);
    // Without firmware, only the root buses can be reached.
    let root = ["0000:00:02.0", "0000:00:02.5", "0000:00:04.0", "0000:00:06.0", "0000:80:00.0"];
    assert_eq!(found(&ecam), root);

    for (bridge, secondary, subordinate) in [
        ("00:04.0", 1, 5),
        ("01:00.0", 2, 5),
        ("02:00.0", 3, 3),
        ("02:03.0", 4, 5),
        ("04:00.0", 5, 5),
        ("00:06.0", 6, 6),
        ("80:00.0", 129, 129),
    ] {
        route(&ecam, bridge, secondary, subordinate);
    }
    let all = [
        "0000:00:02.0",
        "0000:00:02.5",
        "0000:00:04.0",
        "0000:00:06.0",
        "0000:01:00.0",
        "0000:02:00.0",
        "0000:02:03.0",
        "0000:03:00.0",
        "0000:04:00.0",
        "0000:05:1f.0",
        "0000:06:00.0",
        "0000:06:01.0",
        "0000:80:00.0",
        "0000:81:00.0",
    ];
    assert_eq!(found(&ecam), all);
    assert_eq!(found(&qemu.ports()), all, "the ports reach the same");
}

#[test]
fn bridges_that_firmware_left_in_circles_do_not_trap_enumeration() {
    let arguments = "-device pci-bridge,id=a,chassis_nr=1,addr=0x4 -device pci-bridge,id=b,bus=a,chassis_nr=2,addr=0x1";
    let Some(qemu) = Qemu::start("pc", &arguments.split_whitespace().collect::<Vec<_>>()) else { return };
    let ports = qemu.ports();
    route(&ports, "00:04.0", 1, 255);
    route(&ports, "01:01.0", 1, 255);
    let found = found(&ports);
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
    assert!(found.contains(&"0000:01:01.0".into()), "{found:?}");
}

#[test]
fn bar2_is_sized_from_16_bytes_to_1_tib_and_left_bit_for_bit() {
    for (size, bytes) in [("16", 16), ("2K", 2 << 10), ("1M", 1 << 20), ("4G", 4 << 30), ("1T", 1_u64 << 40)] {
        let memory = format!("memory-backend-ram,id=m,size={size},reserve=off");
        let arguments = ["-object", &memory, "-device", "ivshmem-plain,memdev=m,addr=0x4"];
        let Some(qemu) = Qemu::start("pc", &arguments) else { return };
        let (ports, device) = (qemu.ports(), at("00:04.0"));
        let header = Header::new(&ports, device);
        assert_eq!(header.subsystem(), (0x1AF4, 0x1100));

        let unassigned = contents(&ports, device);
        assert_eq!(pci::bar(&ports, device, 0), Err(BarError::Unassigned { index: 0, value: 0 }));
        assert_eq!(pci::bar(&ports, device, 2), Err(BarError::Unassigned { index: 2, value: 0xC }));
        assert_eq!(pci::size_bar(&ports, device, 2), Ok(bytes), "{size}, unassigned");
        assert_eq!(contents(&ports, device), unassigned);

        ports.write32(device, 0x10, 0xFEBF_0000);
        ports.write32(device, 0x1C, 0x200);
        header.set_command(Command::MEMORY | Command::BUS_MASTER);
        let assigned = contents(&ports, device);
        let bar = pci::bar(&ports, device, 2).unwrap();
        assert_eq!((bar.index, bar.address, bar.width, bar.prefetchable), (2, 0x200_0000_0000, Width::Bits64, true));
        assert_eq!(pci::size_bar(&ports, device, 2), Ok(bytes), "{size}, assigned");
        assert_eq!(contents(&ports, device), assigned);
    }
}

#[test]
fn absent_bars_and_overlapping_ones_are_errors_and_left_bit_for_bit() {
    let arguments = ["-object", "memory-backend-ram,id=m,size=1M", "-device", "ivshmem-plain,memdev=m,addr=0x4"];
    let Some(qemu) = Qemu::start("pc", &arguments) else { return };
    let (ports, device) = (qemu.ports(), at("00:04.0"));
    ports.write32(device, 0x10, 0xFE0F_0000);
    ports.write32(device, 0x18, 0xFE00_0000);
    Header::new(&ports, device).set_command(Command::MEMORY);
    let before = contents(&ports, device);
    let (address, other_address) = (0xFE00_0000, 0xFE0F_0000);
    let overlap = BarError::Overlap { index: 2, address, size: 1 << 20, other: 0, other_address };
    assert_eq!(pci::size_bar(&ports, device, 2), Err(overlap));
    assert_eq!(pci::size_bar(&ports, device, 1), Err(BarError::Absent { index: 1, value: 0 }));
    assert_eq!(pci::size_bar(&ports, device, 3), Err(BarError::UpperHalf { index: 3 }));
    assert_eq!(contents(&ports, device), before);
}

#[test]
fn command_keeps_what_qemu_lets_be_written_and_status_stays() {
    let Some(qemu) = Qemu::start("q35", &["-device", "qemu-xhci,addr=0x4"]) else { return };
    let ecam = qemu.ecam(0xE000_0000);
    let header = Header::new(&ecam, at("00:04.0"));
    let status = header.status();
    header.set_command(Command::all());
    assert!(header.command().contains(Command::MEMORY | Command::BUS_MASTER | Command::INTX_DISABLE));
    assert_eq!(header.status(), status);
}

#[test]
fn the_capability_list_is_the_one_qemu_made() {
    let arguments = ["-object", "memory-backend-ram,id=m,size=1M", "-device", "ivshmem-plain,memdev=m,addr=0x4"];
    let arguments = [&arguments[..], &["-device", "pcie-root-port,id=rp,addr=0x5,chassis=1,slot=1"]].concat();
    let Some(qemu) = Qemu::start("q35", &arguments) else { return };
    let ports = qemu.ports();
    assert_eq!(pci::capabilities(&ports, at("00:04.0")).next(), None, "ivshmem-plain has none");
    let list: Result<Vec<(u8, u16)>, _> =
        pci::capabilities(&ports, at("00:05.0")).map(|found| found.map(|found| (found.id, found.offset))).collect();
    // hw/pci-bridge/gen_pcie_root_port.c and ioh3420.h: subsystem, PCI Express, MSI-X or MSI, power management.
    let list = list.unwrap();
    assert!(list.iter().any(|(id, _)| *id == 0x10), "a root port has a PCI Express capability: {list:?}");
    let msix = pci::find_capability(&ports, at("00:05.0"), 0x11).unwrap();
    assert_eq!(msix, list.iter().find(|(id, _)| *id == 0x11).map(|(_, offset)| *offset));
    assert_eq!(pci::capabilities(&ports, at("00:1e.7")).next(), Some(Err(pci::CapabilityError::NoFunction)));
}
