//! Pages of 2 MiB of the host's: reserved, with a hugetlbfs to have them from, and given back.

use crate::tool::Tool;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// How many the kernel keeps for hugetlbfs.
const COUNT: &str = "/proc/sys/vm/nr_hugepages";
/// Bytes of each.
pub const PAGE: u64 = 2 << 20;

/// So many more than there were, and a mounted hugetlbfs. Dropped, both are as before.
#[derive(Debug)]
pub struct HugePages {
    mounted: PathBuf,
    /// Given back after the hugetlbfs has gone.
    _reserved: Reserved,
}

#[derive(Debug)]
struct Reserved(u64);

impl HugePages {
    /// Reserves pages for `bytes`, and mounts a hugetlbfs at `place`, which is made. Needs root, memory in one piece, and a kernel or container that lets it.
    pub fn reserve(bytes: u64, place: &Path) -> Result<Self> {
        let reserved = Reserved::more(bytes.div_ceil(PAGE))?;
        fs::create_dir(place).with_context(|| format!("cannot make {}", place.display()))?;
        let mount = Tool::new("mount").args(["-t", "hugetlbfs", "-o", "pagesize=2M", "none"]).arg(place);
        mount.output().context("cannot mount a hugetlbfs, which takes root and a container that allows it")?;
        Ok(Self { mounted: place.to_owned(), _reserved: reserved })
    }

    /// Where the hugetlbfs is.
    pub fn dir(&self) -> &Path {
        &self.mounted
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        // At once, whoever still has files there; there is nobody to tell if it fails, and the run's directory then says so.
        let _ = Tool::new("umount").arg("-l").arg(&self.mounted).output();
    }
}

impl Reserved {
    fn more(pages: u64) -> Result<Self> {
        let before = count()?;
        let wanted = before + pages;
        fs::write(COUNT, wanted.to_string()).with_context(|| {
            format!("cannot reserve {pages} huge pages: {COUNT} is root's, and read-only in many containers")
        })?;
        // From here on given back, however this ends.
        let reserved = Self(pages);
        let now = count()?;
        if now < wanted {
            bail!(
                "the kernel found {} of {pages} huge pages of 2 MiB: its memory is in too small pieces",
                now.saturating_sub(before)
            );
        }
        Ok(reserved)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Ok(now) = count() {
            // There is nobody to tell; pages that are in use go when they are free.
            let _ = fs::write(COUNT, now.saturating_sub(self.0).to_string());
        }
    }
}

fn count() -> Result<u64> {
    let text = fs::read_to_string(COUNT).with_context(|| format!("this kernel has no huge pages: {COUNT}"))?;
    text.trim().parse().with_context(|| format!("{COUNT} holds `{}`", text.trim()))
}

/// Bytes that a process has mapped by pages of 2 MiB, out of its `smaps`.
pub fn mapped(smaps: &str) -> u64 {
    let (mut size, mut sum) = (0, 0);
    for line in smaps.lines() {
        let kibibytes =
            || line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) << 10;
        if line.starts_with("Size:") {
            size = kibibytes();
        } else if line.starts_with("KernelPageSize:") && kibibytes() == PAGE {
            sum += size;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::mapped;

    #[test]
    fn what_is_mapped_by_huge_pages_is_added_up() {
        let smaps = "7f0-7f1 rw-s 0 00:0f 1 /huge/x\nSize:               4096 kB\nKernelPageSize:     2048 kB\n\
                     7f1-7f2 rw-p 0 00:00 0\nSize:                  8 kB\nKernelPageSize:        4 kB\n\
                     7f2-7f3 rw-s 0 00:0f 1 /huge/y\nSize:               2048 kB\nKernelPageSize:     2048 kB\n";
        assert_eq!(mapped(smaps), 6 << 20);
        assert_eq!(mapped(""), 0);
    }
}
