//! VFIO: shared memory, doorbell and every MSI-X vector as an eventfd, on a stock kernel.
//!
//! The order is that of the interrupt rules for this device: memory decoding and bus mastering first (without bus mastering QEMU
//! loses interrupts), then the vectors; the mailbox is looked at once more by whoever attaches after it.

mod bind;
mod kernel;

use super::Kind;
use super::pci::Pci;
use super::registers::{self, Registers};
use crate::sysfs::Device;
use crate::{OpenError, Sysfs, Vector};
use kernel::{Container, Function, Group};
use rustix::io::Errno;
use std::path::Path;
use vfio_bindings::bindings::vfio;

/// What has to stay open as long as the function is used, and its vectors.
#[derive(Debug)]
pub(super) struct Held {
    vectors: Vec<Vector>,
    // Closed in this order: the kernel refuses to reopen a group whose device is still open.
    _function: Function,
    _group: Group,
    _container: Container,
}

impl Held {
    pub(super) fn vector(&self, number: u16) -> Option<&Vector> {
        self.vectors.get(usize::from(number))
    }
}

/// Takes a function for this process, maps it and enables its vectors.
pub(super) fn open(sysfs: &Sysfs, device: &Device) -> Result<Pci, OpenError> {
    let address = device.address;
    let number = bind::to_vfio(sysfs, device)?;
    let container = Container::open()?;
    let group = Group::open(address, &number, &container)?;
    let function = group.function(address)?;
    function.enable()?;

    let registers = function.map(address, 0, vfio::VFIO_PCI_BAR0_REGION_INDEX, Some(registers::LENGTH))?;
    let memory = function.map(address, 2, vfio::VFIO_PCI_BAR2_REGION_INDEX, None)?;

    let count = function.msix_vectors()?;
    let kind = if count == 0 { Kind::Plain } else { Kind::Doorbell };
    let vectors = vectors(&function, count)?;
    let held = Held { vectors, _function: function, _group: group, _container: container };
    Pci::new(memory, Registers::new(registers), kind, Some(held))
}

/// One eventfd per vector, as many as the kernel has interrupts for.
fn vectors(function: &Function, count: u16) -> Result<Vec<Vector>, OpenError> {
    raise_descriptor_limit();
    let path = Path::new("eventfd");
    let mut vectors = Vec::new();
    for _ in 0..count {
        vectors.push(Vector::new().map_err(|errno| OpenError::system("create", path, errno))?);
    }
    while !vectors.is_empty()
        && let Some(fewer) = function.fire_into(&vectors)?
    {
        vectors.truncate(fewer);
    }
    Ok(vectors)
}

/// 2048 vectors are more descriptors than most shells allow; the hard limit is the administrator's.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused: then creating an eventfd fails with the system's own error.
    let _: Result<(), Errno> = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
