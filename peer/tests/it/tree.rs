//! A sysfs tree made of plain files, as far as this package reads one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

pub struct Tree {
    root: tempfile::TempDir,
}

/// What one function looks like.
pub struct Function {
    pub vendor: u16,
    pub command: u16,
    /// MSI-X vectors; 0 leaves the capability out.
    pub vectors: u16,
    /// What IVPosition reads.
    pub id: u32,
    pub size: u64,
    /// Where in its page BAR0 lies.
    pub bar0_in_page: usize,
    /// Bytes of configuration space that the kernel shows.
    pub shown: usize,
}

impl Default for Function {
    fn default() -> Self {
        Self { vendor: 0x1af4, command: 0x0003, vectors: 2, id: 0, size: 65536, bar0_in_page: 0, shown: 256 }
    }
}

impl Tree {
    pub fn new() -> Self {
        let tree = Self { root: tempfile::tempdir().unwrap() };
        fs::create_dir_all(tree.path("bus/pci/devices")).unwrap();
        fs::create_dir_all(tree.path("bus/pci/drivers")).unwrap();
        fs::write(tree.path("bus/pci/drivers_probe"), "").unwrap();
        tree
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn folder(&self, address: &str) -> PathBuf {
        self.path("bus/pci/devices").join(address)
    }

    pub fn read(&self, path: impl AsRef<Path>) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap()
    }

    pub fn add(&self, address: &str, function: &Function) {
        let folder = self.folder(address);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config"), &config(function)[..function.shown]).unwrap();
        let size = function.size;
        let bar1 =
            if function.vectors > 0 { "0x00000000febd1000 0x00000000febd1fff 0x0000000000040200" } else { ABSENT };
        let resources = format!(
            "{:#018x} {:#018x} 0x0000000000040200\n{bar1}\n{:#018x} {:#018x} 0x000000000014220c\n{ABSENT}\n",
            0xfebd_0000 + function.bar0_in_page,
            0xfebd_00ff + function.bar0_in_page,
            0x0e0_0000_0000u64,
            0x0e0_0000_0000u64 + size - 1,
        );
        fs::write(folder.join("resource"), resources).unwrap();
        let mut registers = [0u8; 4096];
        registers[function.bar0_in_page + 8..][..4].copy_from_slice(&function.id.to_le_bytes());
        fs::write(folder.join("resource0"), registers).unwrap();
        fs::File::create(folder.join("resource2")).unwrap().set_len(size).unwrap();
        fs::write(folder.join("enable"), "0\n").unwrap();
        fs::write(folder.join("driver_override"), "(null)\n").unwrap();
    }

    pub fn driver(&self, name: &str) {
        fs::create_dir_all(self.path("bus/pci/drivers").join(name)).unwrap();
    }

    pub fn bind(&self, address: &str, driver: &str) {
        self.driver(driver);
        symlink(format!("../../drivers/{driver}"), self.folder(address).join("driver")).unwrap();
    }

    pub fn group(&self, address: &str, group: &str) {
        symlink(format!("../../../../kernel/iommu_groups/{group}"), self.folder(address).join("iommu_group")).unwrap();
    }
}

const ABSENT: &str = "0x0000000000000000 0x0000000000000000 0x0000000000000000";

/// Configuration space as QEMU 7.2 has it.
fn config(function: &Function) -> [u8; 256] {
    let mut config = [0; 256];
    let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x00, &function.vendor.to_le_bytes());
    put(0x02, &0x1110u16.to_le_bytes());
    put(0x04, &function.command.to_le_bytes());
    put(0x08, &[1, 0, 0, 5]);
    put(0x2c, &[0xf4, 0x1a, 0x00, 0x11]);
    if function.vectors > 0 {
        put(0x06, &[0x10, 0]);
        put(0x34, &[0x40]);
        put(0x40, &[0x11, 0]);
        put(0x42, &(function.vectors - 1).to_le_bytes());
    }
    config
}
