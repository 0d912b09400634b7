//! The file of a host's memory backend: shared memory and nothing else.

use super::{Backend, Kind, RingError};
use crate::{Mapping, OpenError, Vector};
use ivshmem::notify::Doorbell;
use rustix::fs::{FileType, Mode, OFlags};
use std::path::Path;

/// A plain file, mapped whole.
#[derive(Debug)]
pub(super) struct File {
    memory: Mapping,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let error = |action| move |errno| OpenError::system(action, path, errno);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(error("open"))?;
        let stat = rustix::fs::fstat(&file).map_err(error("look at"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(OpenError::NotAFile { path: path.to_owned() });
        }
        let length = match usize::try_from(stat.st_size) {
            Ok(length) if length > 0 => length,
            _ => return Err(OpenError::EmptyFile { path: path.to_owned() }),
        };
        Ok(Self { memory: Mapping::new(&file, 0, length).map_err(error("map"))? })
    }
}

impl Doorbell for File {
    type Error = RingError;

    fn ring(&self, _peer: u16, _vector: u16) -> Result<(), RingError> {
        Err(RingError::NoDoorbell)
    }
}

impl Backend for File {
    fn way(&self) -> &'static str {
        "file"
    }

    fn kind(&self) -> Kind {
        Kind::Plain
    }

    fn id(&self) -> Option<u16> {
        None
    }

    fn memory(&self) -> &Mapping {
        &self.memory
    }

    fn vector(&self, _number: u16) -> Option<&Vector> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivshmem::memory::Memory;

    #[test]
    fn a_file_is_mapped_whole_and_has_neither_id_nor_doorbell() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(65536).unwrap();
        let backend = File::open(file.path()).unwrap();
        assert_eq!((backend.memory().len(), backend.kind(), backend.id()), (65536, Kind::Plain, None));
        assert_eq!(backend.ring(0, 0), Err(RingError::NoDoorbell));
    }

    #[test]
    fn an_empty_or_missing_file_or_what_is_no_file_is_an_error_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display().to_string();
        assert!(File::open(file.path()).unwrap_err().to_string().contains(&format!("{path}: the file is empty")));
        let null = File::open(Path::new("/dev/null")).unwrap_err().to_string();
        assert_eq!(null, "/dev/null: not a regular file, so not the file of a memory backend");
        let missing = File::open(Path::new("no/such/file")).unwrap_err().to_string();
        assert_eq!(missing, "cannot open no/such/file: No such file or directory (os error 2)");
    }
}
