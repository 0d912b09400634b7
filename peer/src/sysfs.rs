//! The kernel's view of PCI functions: which are ivshmem devices, where their BARs are, who drives them.

mod config;
mod device;

pub use device::{Bar, Device};

use crate::backend::registers;
use crate::{Mapping, OpenError};
use config::Config;
use ivshmem::pci::{Address, Command, Function, Header};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::path::{Path, PathBuf};

const VENDOR: u16 = 0x1af4;
const DEVICE: u16 = 0x1110;

/// The sysfs tree, at `/sys` or wherever a test built one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysfs {
    root: PathBuf,
}

impl Default for Sysfs {
    fn default() -> Self {
        Self::at("/sys")
    }
}

impl Sysfs {
    /// A tree at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Every ivshmem device, in ascending address order, however many there are.
    pub fn devices(&self) -> Result<Vec<Device>, OpenError> {
        let folder = self.bus().join("devices");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // A machine without PCI has no such folder.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(OpenError::io("list", &folder, &error)),
        };
        let mut devices = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| OpenError::io("list", &folder, &error))?;
            let Some(address) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match self.device(address) {
                Ok(device) => devices.push(device),
                // Another device, or one that was unplugged since the folder was read.
                Err(OpenError::NotIvshmem { .. } | OpenError::NoFunction { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        devices.sort_by_key(|device| device.address);
        Ok(devices)
    }

    /// The address of the one ivshmem device, an error if there are none or several.
    pub fn only_device(&self) -> Result<Address, OpenError> {
        match self.devices()?.as_slice() {
            [] => Err(OpenError::NoDevice),
            [device] => Ok(device.address),
            several => Err(OpenError::SeveralDevices(several.iter().map(|device| device.address).collect())),
        }
    }

    /// The ivshmem device at `address`.
    pub fn device(&self, address: Address) -> Result<Device, OpenError> {
        let folder = self.folder(address);
        if !folder.exists() {
            return Err(OpenError::NoFunction { address });
        }
        let config = self.config(address)?;
        let function = Function::read(&config, address).ok_or(OpenError::NoFunction { address })?;
        let Function { vendor, device, revision, .. } = function;
        if (vendor, device) != (VENDOR, DEVICE) {
            return Err(OpenError::NotIvshmem { address, vendor, device });
        }
        let header = Header::new(&config, address);
        let link = |name: &str| {
            let target = fs::read_link(folder.join(name)).ok()?;
            Some(target.file_name()?.to_string_lossy().into_owned())
        };
        let mut device = Device {
            address,
            revision,
            command: header.command(),
            subsystem: header.subsystem(),
            bars: Bar::read_all(&folder.join("resource"))?,
            vectors: config.msix_vectors(address),
            id: None,
            driver: link("driver"),
            iommu_group: link("iommu_group"),
        };
        // Only where the register answers, and never a change of the device for the sake of a look.
        if device.decodes_memory()
            && let Ok(bar) = self.map_bar(&device, 0, registers::LENGTH)
        {
            device.id = registers::Registers::new(bar).id().ok();
        }
        Ok(device)
    }

    /// Turns on memory decoding if it is off, as the kernel does it for a driver.
    pub(crate) fn enable(&self, device: &Device) -> Result<(), OpenError> {
        if device.decodes_memory() {
            return Ok(());
        }
        self.write(&self.folder(device.address).join("enable"), "1")?;
        let address = device.address;
        match Header::new(&self.config(address)?, address).command() {
            command if command.contains(Command::MEMORY) => Ok(()),
            command => Err(OpenError::StaysDisabled { address, command: command.bits() }),
        }
    }

    /// Maps the first `length` bytes of BAR `index` through its resource file.
    pub(crate) fn map_bar(&self, device: &Device, index: usize, length: u64) -> Result<Mapping, OpenError> {
        let bar = device.bar(index)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if bar.size < length as u64 {
            return Err(OpenError::ShortBar { index, size: bar.size });
        }
        let path = self.folder(device.address).join(format!("resource{index}"));
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::SYNC;
        let file = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| OpenError::system("open", &path, e))?;
        // Only whole pages can be mapped: the kernel maps the page in which the BAR lies, and a BAR that is smaller need not
        // lie at its start (hot-plugged devices, and firmware other than SeaBIOS and OVMF).
        let skip = (bar.address % rustix::param::page_size() as u64) as usize;
        let page = Mapping::new(file, 0, skip.saturating_add(length)).map_err(|errno| match errno {
            // Kernels with IO_STRICT_DEVMEM, such as Debian's: a region that a driver requested is nobody else's.
            Errno::INVAL => OpenError::Held { address: device.address },
            errno => OpenError::system("map", &path, errno),
        })?;
        // BARs are aligned to their size, so both fit; what does not is no BAR.
        page.window(skip, length & !7).map_err(|_| OpenError::ShortBar { index, size: bar.size })
    }

    /// `bus/pci` under the root.
    pub(crate) fn bus(&self) -> PathBuf {
        self.root.join("bus/pci")
    }

    /// The folder of one function.
    pub(crate) fn folder(&self, address: Address) -> PathBuf {
        self.bus().join("devices").join(address.to_string())
    }

    /// Writes one of the kernel's attributes.
    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<(), OpenError> {
        fs::write(path, text).map_err(|error| OpenError::io("write", path, &error))
    }

    fn config(&self, address: Address) -> Result<Config, OpenError> {
        Config::read(&self.folder(address).join("config"))
    }
}

impl Config {
    fn read(path: &Path) -> Result<Self, OpenError> {
        let bytes = fs::read(path).map_err(|error| OpenError::io("read", path, &error))?;
        let length = bytes.len();
        Self::new(bytes).ok_or_else(|| OpenError::Content { path: path.to_owned(), content: format!("{length} bytes") })
    }
}
