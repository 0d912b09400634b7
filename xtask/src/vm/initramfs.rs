//! The Linux VM's root file system: a newc archive of busybox, the modules, the peer and our `/init`.

use crate::setup::Linux;
use crate::workspace;
use anyhow::{Context, Result};
use cpio::newc::{self, Builder, ModeFileType};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const INIT: &str = include_str!("../../assets/init");

/// Makes the archive and gives its place.
pub fn make(linux: &Linux) -> Result<PathBuf> {
    let mut archive = Archive { bytes: Vec::new(), inode: 1 };
    for dir in ["bin", "dev", "lib", "lib/modules", "proc", "sys", "tmp"] {
        archive.add(dir, ModeFileType::Directory, 0o755, &[])?;
    }
    archive.add("init", ModeFileType::Regular, 0o755, INIT.as_bytes())?;
    archive.add("bin/busybox", ModeFileType::Regular, 0o755, &read(&linux.busybox)?)?;
    archive.add("bin/ivshmem-peer", ModeFileType::Regular, 0o755, &read(&workspace::peer())?)?;
    for (place, module) in linux.modules.iter().enumerate() {
        let name = module.file_name().context("a module without a file name")?.to_string_lossy();
        // The number keeps the order in which they load.
        archive.add(&format!("lib/modules/{place:02}-{name}"), ModeFileType::Regular, 0o644, &read(module)?)?;
    }
    let path = workspace::target().join("images").join("linux.cpio");
    workspace::install(&newc::trailer(archive.bytes)?, &path)?;
    Ok(path)
}

struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, kind: ModeFileType, mode: u32, content: &[u8]) -> Result<()> {
        let length = u32::try_from(content.len()).with_context(|| format!("{name} is too large for an initramfs"))?;
        let entry = Builder::new(name).ino(self.inode).nlink(1).mode(mode).set_mode_file_type(kind);
        let mut file = entry.write(&mut self.bytes, length);
        file.write_all(content)?;
        file.finish()?;
        self.inode += 1;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
