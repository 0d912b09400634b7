//! Finding, binding and mapping functions through the kernel's files.

use crate::tree::{Function, Tree};
use ivshmem::memory::Memory;
use ivshmem_peer::{Backend, Kind, OpenError, Purpose, RingError, Sysfs, open};

fn list(tree: &Tree) -> Vec<String> {
    Sysfs::at(tree.root()).devices().unwrap().iter().map(ToString::to_string).collect()
}

fn try_open(tree: &Tree, name: &str, purpose: Purpose) -> Result<Box<dyn Backend>, String> {
    open(Some(&name.parse().unwrap()), purpose, &Sysfs::at(tree.root())).map_err(|error| error.to_string())
}

#[test]
fn list_shows_every_ivshmem_function_in_address_order_and_nothing_else() {
    let tree = Tree::new();
    tree.add("0000:81:01.0", &Function { vectors: 0, size: 1 << 20, ..Function::default() });
    tree.add("0000:00:03.0", &Function { id: 7, ..Function::default() });
    tree.add("0000:00:02.0", &Function { vendor: 0x8086, ..Function::default() });
    tree.add("0000:00:04.1", &Function { command: 0, vectors: 2048, ..Function::default() });
    tree.bind("0000:00:03.0", "vfio-pci");
    tree.group("0000:00:03.0", "12");
    assert_eq!(
        list(&tree),
        [
            "ivshmem 0000:00:03.0 rev=1 kind=doorbell id=7 vectors=2 bar0=0xfebd0000 bar1=0xfebd1000 bar2=0xe000000000 \
             size=65536 subsystem=1af4:1100 driver=vfio-pci iommu_group=12",
            "ivshmem 0000:00:04.1 rev=1 kind=doorbell id=- vectors=2048 bar0=0xfebd0000 bar1=0xfebd1000 bar2=0xe000000000 \
             size=65536 subsystem=1af4:1100 driver=- iommu_group=-",
            "ivshmem 0000:81:01.0 rev=1 kind=plain id=0 vectors=0 bar0=0xfebd0000 bar1=- bar2=0xe000000000 \
             size=1048576 subsystem=1af4:1100 driver=- iommu_group=-",
        ]
    );
}

#[test]
fn list_has_no_limit_on_devices() {
    let tree = Tree::new();
    for bus in 0..=255u8 {
        tree.add(&format!("0000:{bus:02x}:1f.7"), &Function::default());
    }
    assert_eq!(list(&tree).len(), 256);
}

#[test]
fn list_in_a_machine_without_pci_is_empty() {
    assert_eq!(Sysfs::at("no/such/folder").devices(), Ok(vec![]));
}

#[test]
fn what_the_kernel_hides_from_users_is_a_dash_and_needs_root() {
    let tree = Tree::new();
    tree.add("0000:00:03.0", &Function { shown: 64, ..Function::default() });
    assert!(list(&tree)[0].contains(" kind=- "), "{:?}", list(&tree));
    assert!(try_open(&tree, "sysfs:0000:00:03.0", Purpose::Access).unwrap_err().contains("only root"));
}

#[test]
fn registers_in_the_midst_of_a_page_are_found_there_and_rung_there() {
    let tree = Tree::new();
    tree.add("0000:00:03.0", &Function { id: 5, bar0_in_page: 0xf00, ..Function::default() });
    let backend = try_open(&tree, "sysfs:0000:00:03.0", Purpose::Access).unwrap();
    assert_eq!(backend.id(), Some(5));
    backend.ring(2, 1).unwrap();
    let page = std::fs::read(tree.folder("0000:00:03.0").join("resource0")).unwrap();
    assert_eq!(page[0xf0c..][..4], [1, 0, 2, 0]);
    assert_eq!(page[0xc..][..4], [0; 4], "that is somebody else's register");
}

#[test]
fn without_a_name_the_only_device_is_taken_and_none_or_several_are_errors() {
    let tree = Tree::new();
    let sysfs = Sysfs::at(tree.root());
    let open_any = || open(None, Purpose::Access, &sysfs);
    assert_eq!(open_any().unwrap_err(), OpenError::NoDevice);
    tree.add("0000:00:03.0", &Function { id: 3, ..Function::default() });
    assert_eq!(open_any().unwrap().id(), Some(3));
    tree.add("0000:00:04.0", &Function::default());
    assert!(open_any().unwrap_err().to_string().ends_with("--device: 0000:00:03.0, 0000:00:04.0"));
}

#[test]
fn sysfs_maps_the_memory_and_rings_with_one_32_bit_write_but_cannot_wait() {
    let tree = Tree::new();
    tree.add("0000:00:03.0", &Function { id: 5, ..Function::default() });
    let backend = try_open(&tree, "sysfs:0000:00:03.0", Purpose::Exchange).unwrap();
    assert_eq!((backend.way(), backend.kind(), backend.id()), ("sysfs", Kind::Doorbell, Some(5)));
    assert_eq!(backend.memory().len(), 65536);
    assert!(backend.vector(0).is_none());

    backend.memory().publish(65528, 0x1122_3344_5566_7788);
    let file = std::fs::read(tree.folder("0000:00:03.0").join("resource2")).unwrap();
    assert_eq!(file[65528..], 0x1122_3344_5566_7788u64.to_le_bytes());

    backend.ring(0x0102, 0x03).unwrap();
    let registers = std::fs::read(tree.folder("0000:00:03.0").join("resource0")).unwrap();
    assert_eq!(registers[12..16], [3, 0, 2, 1]);
    assert_eq!(backend.ring(1, 256), Err(RingError::Vector { vector: 256 }));
}

#[test]
fn a_bare_address_is_sysfs_to_look_at_and_for_plain_devices_and_vfio_to_exchange_with_doorbells() {
    let tree = Tree::new();
    tree.add("0000:00:03.0", &Function::default());
    tree.add("0000:00:04.0", &Function { vectors: 0, ..Function::default() });
    assert_eq!(try_open(&tree, "0000:00:03.0", Purpose::Access).unwrap().way(), "sysfs");
    assert_eq!(try_open(&tree, "0000:00:04.0", Purpose::Exchange).unwrap().way(), "sysfs");
    assert!(try_open(&tree, "0000:00:03.0", Purpose::Exchange).unwrap_err().contains("IOMMU"));
}

#[test]
fn a_plain_device_cannot_ring() {
    let tree = Tree::new();
    tree.add("0000:00:03.0", &Function { vectors: 0, ..Function::default() });
    let backend = try_open(&tree, "sysfs:0000:00:03.0", Purpose::Access).unwrap();
    assert_eq!((backend.kind(), backend.ring(0, 0)), (Kind::Plain, Err(RingError::NoDoorbell)));
}

#[test]
fn memory_decoding_is_switched_on_through_the_kernel_and_its_absence_afterwards_is_an_error() {
    let tree = Tree::new();
    tree.add("0000:00:03.0", &Function { command: 0x0400, ..Function::default() });
    let error = try_open(&tree, "sysfs:0000:00:03.0", Purpose::Access).unwrap_err();
    assert_eq!(tree.read("bus/pci/devices/0000:00:03.0/enable"), "1");
    assert!(error.contains("memory decoding stays off") && error.contains("0x0400"), "{error}");
}

#[test]
fn errors_name_the_function_and_the_value_that_is_wrong() {
    let tree = Tree::new();
    tree.add("0000:00:02.0", &Function { vendor: 0x8086, ..Function::default() });
    tree.add("0000:00:03.0", &Function { id: 0x1_0000, ..Function::default() });
    let error = |address: &str| try_open(&tree, &format!("sysfs:{address}"), Purpose::Access).unwrap_err();
    assert_eq!(error("0000:00:02.0"), "0000:00:02.0 is 8086:1110, not an ivshmem device (1af4:1110)");
    assert_eq!(error("0000:00:09.0"), "there is no PCI function 0000:00:09.0");
    assert_eq!(error("0000:00:03.0"), "the device has no id: IVPosition reads 0x00010000");

    let resource = tree.folder("0000:00:03.0").join("resource");
    std::fs::write(&resource, "0x0 0xff 0x40200\n").unwrap();
    assert!(error("0000:00:03.0").contains("BAR0 has no address"));
    std::fs::write(&resource, "0x1000 0x10ff 0x40200\nnonsense\n").unwrap();
    assert!(error("0000:00:03.0").contains("resource: unexpected content \"nonsense\""));
    std::fs::write(&resource, "0x1000 0x107f 0x40200\n").unwrap();
    assert_eq!(error("0000:00:03.0"), "BAR0 has 128 bytes, too few for an ivshmem device");
    std::fs::write(tree.folder("0000:00:03.0").join("config"), [0; 63]).unwrap();
    assert!(error("0000:00:03.0").contains("config: unexpected content \"63 bytes\""));
}

#[test]
fn binding_to_vfio_takes_only_a_free_function_and_says_what_is_missing() {
    let tree = Tree::new();
    tree.add("0000:00:03.0", &Function::default());
    let error = || try_open(&tree, "vfio:0000:00:03.0", Purpose::Exchange).unwrap_err();
    assert!(error().contains("0000:00:03.0 has no IOMMU group"), "{}", error());

    tree.group("0000:00:03.0", "12");
    assert!(error().contains("modprobe vfio-pci"), "{}", error());
    assert_eq!(tree.read("bus/pci/drivers_probe"), "", "nothing was touched yet");

    // The files of this tree bind nothing, as a kernel does whose vfio-pci refuses.
    tree.driver("vfio-pci");
    assert!(error().contains("vfio-pci did not take the device"), "{}", error());
    assert_eq!(tree.read("bus/pci/devices/0000:00:03.0/driver_override"), "vfio-pci");
    assert_eq!(tree.read("bus/pci/drivers_probe"), "0000:00:03.0");

    tree.bind("0000:00:03.0", "uio_pci_generic");
    assert!(
        error().contains("is bound to the driver uio_pci_generic; free it first: echo 0000:00:03.0 >"),
        "{}",
        error()
    );
}

#[test]
fn a_bound_function_without_vfio_in_the_kernel_is_the_systems_error() {
    let tree = Tree::new();
    tree.add("0000:00:03.0", &Function::default());
    // No machine has that many groups.
    tree.group("0000:00:03.0", "4000000000");
    tree.bind("0000:00:03.0", "vfio-pci");
    let error = try_open(&tree, "vfio:0000:00:03.0", Purpose::Exchange).unwrap_err();
    assert!(error.contains("/dev/vfio/"), "{error}");
}
