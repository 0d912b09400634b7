//! Why a device could not be opened.

use ivshmem::pci::Address;
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Why a device could not be opened. Every case says what to do about it where that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system refused something.
    #[error("cannot {action} {}: {}", path.display(), std::io::Error::from(*errno))]
    System {
        /// What was tried: `open`, `map`, ...
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        errno: Errno,
    },
    /// No device was named and there is none.
    #[error(
        "there is no ivshmem device (PCI 1af4:1110) in this machine; name one with --device file:<path> or socket:<path>"
    )]
    NoDevice,
    /// No device was named and there are several.
    #[error("there are several ivshmem devices, choose one with --device: {}", join(.0))]
    SeveralDevices(Vec<Address>),
    /// No function there.
    #[error("there is no PCI function {address}")]
    NoFunction {
        /// The address asked for.
        address: Address,
    },
    /// Another device.
    #[error("{address} is {vendor:04x}:{device:04x}, not an ivshmem device (1af4:1110)")]
    NotIvshmem {
        /// The address asked for.
        address: Address,
        /// Its vendor.
        vendor: u16,
        /// Its device id.
        device: u16,
    },
    /// The kernel shows only part of configuration space to other users.
    #[error("{address}: only root may read the device's capabilities and map its memory")]
    NotRoot {
        /// The function.
        address: Address,
    },
    /// A text of the kernel's that is not as expected.
    #[error("{}: unexpected content {content:?}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it says.
        content: String,
    },
    /// Firmware gave the BAR no address.
    #[error("{address}: BAR{index} has no address; the firmware assigned none")]
    UnassignedBar {
        /// The function.
        address: Address,
        /// 0 or 2.
        index: usize,
    },
    /// The BAR is smaller than its registers.
    #[error("BAR{index} has {size} bytes, too few for an ivshmem device")]
    ShortBar {
        /// 0 or 2.
        index: usize,
        /// Its bytes.
        size: u64,
    },
    /// The device has no id (yet).
    #[error("the device has no id: IVPosition reads {value:#010x}")]
    NoId {
        /// What IVPosition reads.
        value: u32,
    },
    /// The file to map has no byte.
    #[error("{}: the file is empty; give it the size of the shared memory first", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// What is to be mapped is a device, a pipe or the like.
    #[error("{}: not a regular file, so not the file of a memory backend", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Memory decoding stays off.
    #[error("{address}: memory decoding stays off after enabling the device (Command reads {command:#06x})")]
    StaysDisabled {
        /// The function.
        address: Address,
        /// What Command reads.
        command: u16,
    },
    /// Another driver has the function.
    #[error(
        "{address} is bound to the driver {driver}; free it first: echo {address} > /sys/bus/pci/drivers/{driver}/unbind"
    )]
    OtherDriver {
        /// The function.
        address: Address,
        /// Whose it is.
        driver: String,
    },
    /// The module is missing.
    #[error("the kernel has no vfio-pci driver; load it first: modprobe vfio-pci (or poll: --device sysfs:{address})")]
    NoVfioDriver {
        /// The function.
        address: Address,
    },
    /// Binding had no effect.
    #[error(
        "{address}: vfio-pci did not take the device; the kernel's log says why (or poll: --device sysfs:{address})"
    )]
    NotTaken {
        /// The function.
        address: Address,
    },
    /// The kernel lets nobody map the BARs meanwhile.
    #[error("{address}: the kernel maps no BAR of the device while a driver or a process (by VFIO) holds it")]
    Held {
        /// The function.
        address: Address,
    },
    /// No IOMMU.
    #[error(
        "{address} has no IOMMU group, so VFIO cannot open it: give the machine an IOMMU (QEMU: -device intel-iommu,intremap=on \
         with -M q35,kernel-irqchip=split; kernel: intel_iommu=on), or poll: --device sysfs:{address}"
    )]
    NoIommuGroup {
        /// The function.
        address: Address,
    },
    /// Another process has the group.
    #[error("{address}: another process has VFIO group {group} open")]
    GroupBusy {
        /// The function.
        address: Address,
        /// Its group.
        group: String,
    },
    /// Neighbours in the group belong to other drivers.
    #[error("VFIO group {group} is not viable: other devices in it are bound to drivers of the host")]
    GroupNotViable {
        /// The group.
        group: String,
    },
    /// The kernel's VFIO is not what we know.
    #[error("the kernel's VFIO has {what} {value}, {expected} is needed")]
    VfioVersion {
        /// API version or IOMMU type.
        what: &'static str,
        /// What there is.
        value: i32,
        /// What is needed.
        expected: i32,
    },
    /// The region cannot be mapped.
    #[error("{address}: VFIO does not let BAR{index} be mapped (flags {flags:#x})")]
    NotMappable {
        /// The function.
        address: Address,
        /// 0 or 2.
        index: usize,
        /// The region's flags.
        flags: u32,
    },
    /// A server's socket.
    #[error("{}: {message}", path.display())]
    Server {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
}

impl OpenError {
    pub(crate) fn system(action: &'static str, path: &Path, errno: Errno) -> Self {
        Self::System { action, path: path.to_owned(), errno }
    }

    /// The same from the standard library's error.
    pub(crate) fn io(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::system(action, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }
}

fn join(addresses: &[Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
