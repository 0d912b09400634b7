//! The ways from a Linux process to an ivshmem device, behind one trait.

mod file;
mod pci;
pub(crate) mod registers;
mod socket;
mod sysfs;
mod vfio;
mod window;

pub use window::window;

use crate::{DeviceName, Mapping, OpenError, Sysfs, Vector};
use core::fmt;
use ivshmem::notify::Doorbell;

/// What a device can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Shared memory only.
    Plain,
    /// Shared memory, and doorbells to and from peers.
    Doorbell,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Doorbell => "doorbell",
        })
    }
}

/// An opened ivshmem device: shared memory, and on some ways doorbells out and interrupts in.
///
/// | way    | memory | rings ([`Doorbell`]) | receives ([`vector`](Self::vector)) | needs |
/// |--------|--------|-------|----------|-------|
/// | vfio   | BAR2   | yes   | yes      | root, an IOMMU, the `vfio-pci` module |
/// | sysfs  | BAR2   | yes   | no       | root |
/// | socket | the server's | yes | yes  | access to the server's socket |
/// | file   | the file | no  | no       | access to the file |
pub trait Backend: Doorbell<Error = RingError> + fmt::Debug + Send + Sync {
    /// The way it was opened: `vfio`, `sysfs`, `socket` or `file`.
    fn way(&self) -> &'static str;

    /// Plain or doorbell.
    fn kind(&self) -> Kind;

    /// The own id (IVPosition), by which peers ring; 0 on a plain device, `None` where there is no device.
    fn id(&self) -> Option<u16>;

    /// The shared memory, all of it.
    fn memory(&self) -> &Mapping;

    /// An own vector to wait on; `None` where there is only polling, and for a vector that the device has not or the kernel had no
    /// interrupt for.
    ///
    /// A server announces vectors one by one and never says how many there are: on a socket this waits for the vector to be
    /// announced, at most 10 s from the opening.
    fn vector(&self, number: u16) -> Option<&Vector>;
}

/// Why a doorbell was refused on this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is no doorbell on this way, or the device has none.
    #[error("this device has no doorbell")]
    NoDoorbell,
    /// QEMU looks at eight bits of the vector only.
    #[error("vector {vector} is above 255, the highest that can be rung")]
    Vector {
        /// The vector asked for.
        vector: u16,
    },
    /// The system refused to write to the peer's eventfd.
    #[error("cannot ring peer {peer} vector {vector}: error number {errno}")]
    System {
        /// The peer asked for.
        peer: u16,
        /// The vector asked for.
        vector: u16,
        /// The system's answer.
        errno: i32,
    },
    /// The server has announced no such peer, or it has left.
    #[error("the server knows no peer {peer}")]
    NoPeer {
        /// The peer asked for.
        peer: u16,
    },
    /// The peer has fewer vectors.
    #[error("peer {peer} has {vectors} vectors, no vector {vector}")]
    NoVector {
        /// The peer asked for.
        peer: u16,
        /// The vector asked for.
        vector: u16,
        /// How many the peer has.
        vectors: usize,
    },
}

/// What a device is opened for; decides how a bare PCI address is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To wait for interrupts where the device has them: VFIO for a doorbell device, sysfs for a plain one.
    Exchange,
    /// To look at memory or ring once, beside whoever else uses the device: sysfs.
    Access,
}

/// Opens a device; with no name, the only ivshmem device there is.
///
/// Nothing in shared memory is changed by it. A function is bound to `vfio-pci` where that is needed and no other driver has it.
pub fn open(name: Option<&DeviceName>, purpose: Purpose, sysfs: &Sysfs) -> Result<Box<dyn Backend>, OpenError> {
    let only;
    let name = match name {
        Some(name) => name,
        None => {
            only = DeviceName::Function(sysfs.only_device()?);
            &only
        }
    };
    match name {
        DeviceName::Socket(path) => Ok(Box::new(socket::Socket::open(path)?)),
        DeviceName::File(path) => Ok(Box::new(file::File::open(path)?)),
        DeviceName::Vfio(address) => Ok(Box::new(vfio::open(sysfs, &sysfs.device(*address)?)?)),
        DeviceName::Sysfs(address) => Ok(Box::new(sysfs::open(sysfs, &sysfs.device(*address)?)?)),
        DeviceName::Function(address) => {
            let device = sysfs.device(*address)?;
            match (purpose, device.kind()) {
                (Purpose::Exchange, Some(Kind::Doorbell)) => Ok(Box::new(vfio::open(sysfs, &device)?)),
                _ => Ok(Box::new(sysfs::open(sysfs, &device)?)),
            }
        }
    }
}
