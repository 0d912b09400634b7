//! Shared memory without a name: a sealed memfd, which is gone with the last process that has it.

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

const PAGE: u64 = 4096;

/// A region for ivshmem-plain. Nobody can shrink it, so no hypervisor dies of a bus error.
#[derive(Debug)]
pub struct Region {
    fd: OwnedFd,
    size: u64,
}

impl Region {
    pub fn new(size: u64) -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("ivshmem", flags).context("cannot make shared memory")?;
        // QEMU takes less than a page of a file, but not a file of less than a page.
        ftruncate(&fd, size.next_multiple_of(PAGE))
            .with_context(|| format!("cannot make shared memory of {size} bytes"))?;
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW).context("cannot seal shared memory")?;
        Ok(Self { fd, size })
    }

    /// A file of that size on a hugetlbfs, without a name and with all its pages.
    pub fn huge(size: u64, dir: &Path) -> Result<Self> {
        let file =
            tempfile::tempfile_in(dir).with_context(|| format!("cannot make shared memory in {}", dir.display()))?;
        let fd = OwnedFd::from(file);
        let resized = ftruncate(&fd, size).and_then(|()| fallocate(&fd, FallocateFlags::empty(), 0, size));
        resized.with_context(|| format!("cannot have {size} bytes of huge pages"))?;
        Ok(Self { fd, size })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// For one child: the descriptor to inherit, how a shell would give it, and the path under which the child opens it.
    pub fn share(&self) -> Result<(OwnedFd, String, String)> {
        let fd = self.fd.try_clone().context("cannot share a descriptor")?;
        let number = fd.as_raw_fd();
        Ok((fd, format!("{number}<>ivshmem.memory"), format!("/proc/self/fd/{number}")))
    }
}
