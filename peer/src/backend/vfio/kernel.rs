//! The kernel's VFIO interface: container, group, function (`linux/vfio.h`, `Documentation/driver-api/vfio.rst`).

use crate::{Mapping, OpenError, Vector};
use core::ffi::c_void;
use ivshmem::pci::{Address, Command};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use vfio_bindings::bindings::vfio;

/// What every VFIO call looks like: a number without a size, one argument, an integer back.
#[derive(Debug)]
struct Call {
    opcode: Opcode,
    argument: *mut c_void,
}

// SAFETY: opcode and argument are handed through unchanged, and the output is the kernel's integer; that the
// argument fits the opcode is the promise of whoever calls `call`.
unsafe impl Ioctl for Call {
    type Output = i32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> Result<i32, Errno> {
        Ok(output)
    }
}

/// VFIO's numbers, counted from its base.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Number {
    GetApiVersion = 0,
    CheckExtension = 1,
    SetIommu = 2,
    GroupGetStatus = 3,
    GroupSetContainer = 4,
    GroupGetDeviceFd = 6,
    DeviceGetRegionInfo = 8,
    DeviceGetIrqInfo = 9,
    DeviceSetIrqs = 10,
}

/// # Safety
/// `argument` is what `linux/vfio.h` asks for with this number: an integer, or a pointer to the structure, valid, initialised and
/// large enough for what its size field says.
unsafe fn call(fd: impl AsFd, number: Number, argument: *mut c_void) -> Result<i32, Errno> {
    let opcode = opcode::none(vfio::VFIO_TYPE, vfio::VFIO_BASE as u8 + number as u8);
    // SAFETY: forwarded to our caller.
    unsafe { rustix::ioctl::ioctl(fd, Call { opcode, argument }) }
}

fn with_integer(fd: impl AsFd, number: Number, value: u32) -> Result<i32, Errno> {
    // SAFETY: used below for the numbers that take an integer (or nothing) only.
    unsafe { call(fd, number, core::ptr::without_provenance_mut(value as usize)) }
}

/// The IOMMU address space; nothing is ever mapped into it, since the device does no DMA but its interrupts.
#[derive(Debug)]
pub(super) struct Container {
    fd: OwnedFd,
}

const CONTAINER: &str = "/dev/vfio/vfio";

impl Container {
    pub(super) fn open() -> Result<Self, OpenError> {
        let path = Path::new(CONTAINER);
        let fd = open(path).map_err(|errno| OpenError::system("open", path, errno))?;
        let failed = |errno| OpenError::system("query", path, errno);
        let version = with_integer(&fd, Number::GetApiVersion, 0).map_err(failed)?;
        let expected = vfio::VFIO_API_VERSION as i32;
        if version != expected {
            return Err(OpenError::VfioVersion { what: "API version", value: version, expected });
        }
        let has_type1 = with_integer(&fd, Number::CheckExtension, vfio::VFIO_TYPE1v2_IOMMU).map_err(failed)?;
        if has_type1 == 0 {
            return Err(OpenError::VfioVersion { what: "support of IOMMU type 1 v2:", value: 0, expected: 1 });
        }
        Ok(Self { fd })
    }
}

/// An IOMMU group, ours alone while open.
#[derive(Debug)]
pub(super) struct Group {
    fd: OwnedFd,
    path: PathBuf,
}

impl Group {
    /// Opens group `number` and attaches it to the container.
    pub(super) fn open(address: Address, number: &str, container: &Container) -> Result<Self, OpenError> {
        let path = Path::new("/dev/vfio").join(number);
        let fd = open(&path).map_err(|errno| match errno {
            Errno::BUSY => OpenError::GroupBusy { address, group: number.to_owned() },
            errno => OpenError::system("open", &path, errno),
        })?;
        let group = Self { fd, path };

        let mut status = vfio::vfio_group_status { argsz: size_of::<vfio::vfio_group_status>() as u32, flags: 0 };
        // SAFETY: the number takes this structure, which is initialised and says its own size.
        unsafe { call(&group.fd, Number::GroupGetStatus, (&raw mut status).cast()) }
            .map_err(|errno| group.failed("query", errno))?;
        if status.flags & vfio::VFIO_GROUP_FLAGS_VIABLE == 0 {
            return Err(OpenError::GroupNotViable { group: number.to_owned() });
        }

        let mut raw = container.fd.as_raw_fd();
        // SAFETY: the number takes a pointer to a descriptor; `raw` is one that stays open during the call.
        unsafe { call(&group.fd, Number::GroupSetContainer, (&raw mut raw).cast()) }
            .map_err(|errno| group.failed("attach to a container", errno))?;
        with_integer(&container.fd, Number::SetIommu, vfio::VFIO_TYPE1v2_IOMMU)
            .map_err(|errno| group.failed("set the IOMMU type of", errno))?;
        Ok(group)
    }

    /// The function itself.
    pub(super) fn function(&self, address: Address) -> Result<Function, OpenError> {
        let path = PathBuf::from(format!("{}/{address}", self.path.display()));
        let name = CString::new(address.to_string()).unwrap_or_default();
        // SAFETY: the number takes a C string, which outlives the call.
        let fd = unsafe { call(&self.fd, Number::GroupGetDeviceFd, name.as_ptr().cast_mut().cast()) }
            .map_err(|errno| OpenError::system("open", &path, errno))?;
        // SAFETY: the kernel made this descriptor for this call, so nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Function { fd, path })
    }

    fn failed(&self, action: &'static str, errno: Errno) -> OpenError {
        OpenError::system(action, &self.path, errno)
    }
}

/// A PCI function: its regions and interrupts.
#[derive(Debug)]
pub(super) struct Function {
    fd: OwnedFd,
    path: PathBuf,
}

/// Byte offset of Command in configuration space.
const COMMAND: u64 = 4;

impl Function {
    /// Sets Memory Space and Bus Master in Command, with a 16-bit access.
    pub(super) fn enable(&self) -> Result<(), OpenError> {
        let offset = self.region(vfio::VFIO_PCI_CONFIG_REGION_INDEX)?.offset + COMMAND;
        let failed = |errno| self.failed("access the configuration space of", errno);
        let mut bytes = [0; 2];
        rustix::io::pread(&self.fd, &mut bytes, offset).map_err(failed)?;
        let command = u16::from_le_bytes(bytes) | (Command::MEMORY | Command::BUS_MASTER).bits();
        rustix::io::pwrite(&self.fd, &command.to_le_bytes(), offset).map_err(failed)?;
        Ok(())
    }

    /// Maps BAR `bar`, whole or its first `length` bytes.
    pub(super) fn map(
        &self,
        address: Address,
        bar: usize,
        region: u32,
        length: Option<u64>,
    ) -> Result<Mapping, OpenError> {
        let info = self.region(region)?;
        if info.size == 0 {
            return Err(OpenError::UnassignedBar { address, index: bar });
        }
        if info.flags & vfio::VFIO_REGION_INFO_FLAG_MMAP == 0 {
            return Err(OpenError::NotMappable { address, index: bar, flags: info.flags });
        }
        let length = length.unwrap_or(info.size);
        if info.size < length {
            return Err(OpenError::ShortBar { index: bar, size: info.size });
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Mapping::new(&self.fd, info.offset, length).map_err(|errno| self.failed("map a BAR of", errno))
    }

    /// How many MSI-X vectors the function has, 0 to 2048.
    pub(super) fn msix_vectors(&self) -> Result<u16, OpenError> {
        let mut info = vfio::vfio_irq_info {
            argsz: size_of::<vfio::vfio_irq_info>() as u32,
            index: vfio::VFIO_PCI_MSIX_IRQ_INDEX,
            ..Default::default()
        };
        // SAFETY: the number takes this structure, which is initialised and says its own size.
        unsafe { call(&self.fd, Number::DeviceGetIrqInfo, (&raw mut info).cast()) }
            .map_err(|errno| self.failed("query the interrupts of", errno))?;
        Ok(u16::try_from(info.count).unwrap_or(u16::MAX))
    }

    /// Makes each MSI-X vector fire its eventfd. `Some(n)` if the kernel has no interrupts for so many: try `n`, which is fewer.
    pub(super) fn fire_into(&self, vectors: &[Vector]) -> Result<Option<usize>, OpenError> {
        let count = vectors.len() as u32;
        // The structure `vfio_irq_set`: five words, then one descriptor each.
        let mut set = vec![
            (size_of::<vfio::vfio_irq_set>() + vectors.len() * size_of::<u32>()) as u32,
            vfio::VFIO_IRQ_SET_DATA_EVENTFD | vfio::VFIO_IRQ_SET_ACTION_TRIGGER,
            vfio::VFIO_PCI_MSIX_IRQ_INDEX,
            0,
            count,
        ];
        set.extend(vectors.iter().map(|vector| vector.as_fd().as_raw_fd() as u32));
        // SAFETY: the number takes a vfio_irq_set, whose layout is that of `set` and whose size field is its length.
        match unsafe { call(&self.fd, Number::DeviceSetIrqs, set.as_mut_ptr().cast()) } {
            Ok(0) => Ok(None),
            // By the interface's text, how many there are ...
            Ok(available) => Ok(Some(usize::try_from(available).unwrap_or(0).min(vectors.len() - 1))),
            // ... but what the kernel (6.1, x86) says where its processors have too few vectors left is this.
            Err(Errno::NOSPC) => Ok(Some(vectors.len() / 2)),
            Err(errno) => Err(self.failed("enable the interrupts of", errno)),
        }
    }

    fn region(&self, index: u32) -> Result<vfio::vfio_region_info, OpenError> {
        let mut info =
            vfio::vfio_region_info { argsz: size_of::<vfio::vfio_region_info>() as u32, index, ..Default::default() };
        // SAFETY: the number takes this structure, which is initialised and says its own size.
        unsafe { call(&self.fd, Number::DeviceGetRegionInfo, (&raw mut info).cast()) }
            .map_err(|errno| self.failed("query the regions of", errno))?;
        Ok(info)
    }

    fn failed(&self, action: &'static str, errno: Errno) -> OpenError {
        OpenError::system(action, &self.path, errno)
    }
}

impl AsFd for Function {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

const _: () = assert!(size_of::<vfio::vfio_irq_set>() == 5 * size_of::<u32>());
