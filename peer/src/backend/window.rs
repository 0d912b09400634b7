//! A part of a backend's memory: one mailbox's window among several.

use super::{Backend, Kind, RingError};
use crate::{Mapping, Vector};
use ivshmem::memory::{Memory, WindowError};
use ivshmem::notify::Doorbell;

/// A backend whose memory begins further on.
#[derive(Debug)]
struct Window {
    backend: Box<dyn Backend>,
    memory: Mapping,
}

/// The same device with its memory from byte `offset`, a multiple of 8: for the second and further mailboxes of a region.
///
/// # Errors
/// The offset lies outside the memory, or not on a whole word.
pub fn window(backend: Box<dyn Backend>, offset: usize) -> Result<Box<dyn Backend>, WindowError> {
    let rest = backend.memory().len().saturating_sub(offset);
    let memory = backend.memory().window(offset, rest)?;
    Ok(Box::new(Window { backend, memory }))
}

impl Doorbell for Window {
    type Error = RingError;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        self.backend.ring(peer, vector)
    }
}

impl Backend for Window {
    fn way(&self) -> &'static str {
        self.backend.way()
    }

    fn kind(&self) -> Kind {
        self.backend.kind()
    }

    fn id(&self) -> Option<u16> {
        self.backend.id()
    }

    fn memory(&self) -> &Mapping {
        &self.memory
    }

    fn vector(&self, number: u16) -> Option<&Vector> {
        self.backend.vector(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceName, Purpose, Sysfs, open};

    #[test]
    fn a_windows_memory_is_the_rest_from_its_offset_and_an_offset_outside_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8192).unwrap();
        let name = DeviceName::File(file.path().to_owned());
        let backend = || open(Some(&name), Purpose::Access, &Sysfs::default()).unwrap();
        let whole = backend();
        let part = window(backend(), 4096).unwrap();
        part.memory().publish(8, 7);
        assert_eq!((part.memory().len(), whole.memory().load(4104)), (4096, 7));
        for offset in [8200, 4, usize::MAX - 7] {
            let error = window(backend(), offset).unwrap_err();
            assert_eq!((error.offset, error.available), (offset, 8192));
        }
    }
}
