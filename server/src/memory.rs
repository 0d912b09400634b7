//! The shared memory that the server hands out.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, fallocate, fchmod, fcntl_add_seals, fstat, fstatfs, ftruncate,
    memfd_create, open,
};
use rustix::io::Errno;

use crate::error::{Error, system};
use crate::made::Made;
use crate::options::{Memory, Options};

/// Where Linux shows POSIX shared memory as files; `shm_open` opens them there.
const POSIX_SHARED_MEMORY: &str = "/dev/shm";

/// `f_type` of a hugetlbfs (`HUGETLBFS_MAGIC` of linux/magic.h); `f_bsize` is its page size then.
const HUGETLBFS: u32 = 0x9584_58f6;

/// The shared memory, open, of the size asked for.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    descriptor: OwnedFd,
    /// Its name, if it has one and we made it.
    _made: Option<Made>,
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl SharedMemory {
    /// Opens or makes the memory. Memory that somebody else made is never resized, and not touched unless zeros are
    /// asked for.
    pub fn open(options: &Options) -> Result<Self, Error> {
        match &options.memory {
            Memory::Named(name) => Self::named(name, options),
            Memory::Directory(directory) => Self::in_directory(directory, options),
            Memory::Sealed => Self::sealed(options),
        }
    }

    fn named(name: &str, options: &Options) -> Result<Self, Error> {
        check_pages(options.size, page_size(), "POSIX shared memory")?;
        let path = posix_path(name)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        loop {
            match open(&path, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR) {
                Ok(descriptor) => {
                    let made = Made::new(&path)?;
                    let memory = Self { descriptor, _made: Some(made) };
                    memory.set_mode(options)?;
                    memory.set_size(options)?;
                    return Ok(memory);
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(system(format!("make shared memory {name}"))(error)),
            }
            match open(&path, flags, Mode::empty()) {
                Ok(descriptor) => {
                    let memory = Self { descriptor, _made: None };
                    memory.adopt(name, options)?;
                    return Ok(memory);
                }
                // Removed between the two calls: make it after all.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(system(format!("open shared memory {name}"))(error)),
            }
        }
    }

    /// Takes memory that exists, if it is as asked for.
    fn adopt(&self, name: &str, options: &Options) -> Result<(), Error> {
        let stat = fstat(self).map_err(system(format!("look at shared memory {name}")))?;
        let mode = stat.st_mode & 0o777;
        let ours = stat.st_uid == rustix::process::geteuid().as_raw() || stat.st_uid == 0;
        // What the owner may do is the owner's business; who else gets in is ours.
        if !ours || mode & 0o077 & !options.memory_mode != 0 {
            let (name, owner, asked) = (name.to_owned(), stat.st_uid, options.memory_mode);
            return Err(Error::SharedMemoryAccess { name, owner, mode, asked });
        }
        match u64::try_from(stat.st_size).unwrap_or(0) {
            // Made, but never given a size: nobody can have mapped it.
            0 => self.set_size(options),
            existing if existing == options.size => {
                if options.zero {
                    self.zero(options.size)?;
                }
                Ok(())
            }
            existing => Err(Error::SharedMemorySize { name: name.to_owned(), existing, asked: options.size }),
        }
    }

    fn in_directory(directory: &Path, options: &Options) -> Result<Self, Error> {
        let place = || directory.display().to_string();
        let file = tempfile::tempfile_in(directory)
            .map_err(|error| Error::System { action: format!("make shared memory in {}", place()), error })?;
        let memory = Self { descriptor: file.into(), _made: None };
        let statfs = fstatfs(&memory).map_err(system(format!("look at {}", place())))?;
        // The width and sign of the kernel's fields differ between architectures; the magic number has 32 bits.
        let huge = statfs.f_type as u32 == HUGETLBFS;
        let page = if huge { statfs.f_bsize as u64 } else { page_size() };
        check_pages(options.size, page, &place())?;
        memory.set_mode(options)?;
        memory.set_size(options)?;
        if huge {
            // A hugetlbfs takes any size and has the pages or not when they are touched: then QEMU could not map them, or a
            // guest's store would kill it.
            let action =
                || format!("have {} bytes of huge pages in {} (are there as many free?)", options.size, place());
            fallocate(&memory, FallocateFlags::empty(), 0, options.size).map_err(system(action()))?;
        }
        Ok(memory)
    }

    fn sealed(options: &Options) -> Result<Self, Error> {
        check_pages(options.size, page_size(), "sealed memory")?;
        let descriptor = memfd_create("ivshmem", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(system("make sealed memory"))?;
        let memory = Self { descriptor, _made: None };
        memory.set_mode(options)?;
        memory.set_size(options)?;
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(system("seal the memory"))?;
        Ok(memory)
    }

    fn set_mode(&self, options: &Options) -> Result<(), Error> {
        fchmod(self, Mode::from_raw_mode(options.memory_mode))
            .map_err(system(format!("give the shared memory mode {:o}", options.memory_mode)))
    }

    fn set_size(&self, options: &Options) -> Result<(), Error> {
        ftruncate(self, options.size).map_err(system(format!("give the shared memory {} bytes", options.size)))
    }

    /// Zeros everything without changing the size, not even for a moment: shrinking kills whoever has it mapped.
    fn zero(&self, size: u64) -> Result<(), Error> {
        let action = || format!("zero {size} bytes of shared memory");
        match fallocate(self, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, size) {
            Err(Errno::OPNOTSUPP) => {}
            outcome => return outcome.map_err(system(action())),
        }
        let file = File::from(self.descriptor.try_clone().map_err(|error| Error::System { action: action(), error })?);
        let zeros = vec![0; 1 << 20];
        let mut offset = 0;
        while offset < size {
            let length = usize::try_from(size - offset).map_or(zeros.len(), |left| left.min(zeros.len()));
            let part = zeros.get(..length).unwrap_or_default();
            file.write_all_at(part, offset).map_err(|error| Error::System { action: action(), error })?;
            offset += length as u64;
        }
        Ok(())
    }
}

/// Where the object of this name is.
fn posix_path(name: &str) -> Result<PathBuf, Error> {
    let plain = name.strip_prefix('/').unwrap_or(name);
    let is_name = (1..=255).contains(&plain.len()) && !plain.contains(['/', '\0']) && plain != "." && plain != "..";
    if !is_name {
        return Err(Error::SharedMemoryName(name.to_owned()));
    }
    Ok(Path::new(POSIX_SHARED_MEMORY).join(OsStr::new(plain)))
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

fn check_pages(size: u64, page: u64, memory: &str) -> Result<(), Error> {
    if page != 0 && size.is_multiple_of(page) {
        return Ok(());
    }
    Err(Error::SizeNotPages { size, page, memory: memory.to_owned() })
}
