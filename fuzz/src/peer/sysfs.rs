//! A sysfs that lies.

use crate::folder;
use ivshmem::fake::input::Input;
use ivshmem::memory::Memory;
use ivshmem_peer::{DeviceName, Purpose, Sysfs, open};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The function whose files lie.
const ADDRESS: &str = "0000:00:03.0";
/// Bytes of its memory's file. Another length is only claimed: to touch what is not there ends a process, and a kernel has it all.
const MEMORY: u64 = 65536;
/// Bytes of its registers' file: a BAR may begin anywhere in the first page, and the file goes on behind it.
const REGISTERS: u64 = 8192;

static ROOT: OnceLock<PathBuf> = OnceLock::new();

fn root() -> &'static Path {
    ROOT.get_or_init(|| {
        let root = folder::make("sysfs");
        let folder = function(&root);
        fs::create_dir_all(&folder).expect("a folder can be made");
        for (name, length) in [("resource0", REGISTERS), ("resource2", MEMORY)] {
            fs::File::create(folder.join(name)).and_then(|file| file.set_len(length)).expect("a file can be made");
        }
        root
    })
}

fn function(root: &Path) -> PathBuf {
    root.join("bus/pci/devices").join(ADDRESS)
}

/// Lists and opens a function whose configuration space, resources and registers are what the input says.
pub fn run(input: &Input<'_>) {
    let root = root();
    let folder = function(root);
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a file can be written");
    write("config", &config(input));
    write("resource", &resource(input));
    write("enable", b"0\n");
    let registers: Vec<u8> = std::iter::repeat_n(input.u32().to_le_bytes(), REGISTERS as usize / 4).flatten().collect();
    write("resource0", &registers);

    let sysfs = Sysfs::at(root);
    let devices = sysfs.devices();
    if let Ok(devices) = &devices {
        assert!(devices.len() <= 1);
        for device in devices {
            assert!(device.to_string().starts_with("ivshmem 0000:00:03.0 rev="), "{device}");
            assert!(device.vectors.is_none_or(|vectors| vectors <= 2048));
        }
    }
    let address = ADDRESS.parse().expect("an address");
    assert_eq!(sysfs.device(address).is_ok(), devices.is_ok_and(|devices| devices.len() == 1));
    let Ok(backend) = open(Some(&DeviceName::Sysfs(address)), Purpose::Access, &sysfs) else { return };
    assert!(backend.memory().len().is_multiple_of(8) && backend.vector(0).is_none() && backend.id().is_some());
    let _ = backend.ring(input.u16(), input.u16());
    if input.byte().is_multiple_of(4) {
        let text = String::from_utf8_lossy(input.bytes(40)).into_owned();
        if let Ok(name) = text.parse::<DeviceName>() {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        if let Ok(list) = text.parse::<ivshmem_peer::ChannelList>() {
            assert_eq!(list.to_string().parse(), Ok(list));
        }
    }
}

/// An ivshmem-doorbell function's configuration space with changes, or what there is of it.
fn config(input: &Input<'_>) -> Vec<u8> {
    let function = ivshmem::fake::config::Function::ivshmem_doorbell(MEMORY, 2).command(0x0003);
    let mut bytes = function.bytes()[..256].to_vec();
    for _ in 0..input.byte() % 8 {
        let at = usize::from(input.byte());
        bytes[at] = input.byte();
    }
    if input.byte().is_multiple_of(4) {
        bytes.truncate(input.u16().into());
    }
    bytes
}

/// The three lines of its BARs, or anything.
fn resource(input: &Input<'_>) -> Vec<u8> {
    if input.byte().is_multiple_of(8) {
        return input.bytes(usize::from(input.byte())).to_vec();
    }
    let mut text = String::new();
    for (start, length, flags) in
        [(0xfebd_0000_u64, 256, 0x40200_u64), (0xfebd_1000, 4096, 0x40200), (0xe0_0000_0000, MEMORY, 0x14_220c)]
    {
        let (start, last) = match input.byte() % 8 {
            0 => (0, 0),
            1 => (input.u64(), input.u64()),
            2 => (start + u64::from(input.u16() % 4096), start + u64::from(input.u16() % 4096) + length - 1),
            3 => (start, start.wrapping_add(input.u64() >> (input.byte() % 64))),
            _ => (start, start + length - 1),
        };
        let flags = if input.byte().is_multiple_of(16) { input.u32().into() } else { flags };
        let _ = writeln!(text, "{start:#018x} {last:#018x} {flags:#018x}");
    }
    text.into_bytes()
}
