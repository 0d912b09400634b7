//! The Linux VM's root file system: a newc archive of busybox, the modules, the peer and our `/init`.

use crate::setup::Linux;
use crate::workspace;
use anyhow::{Context, Result};
use cpio::newc::{self, Builder, ModeFileType};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

const INIT: &str = include_str!("../../assets/init");

/// Writes the archive to `path`.
pub fn write(linux: &Linux, path: &Path) -> Result<()> {
    let mut archive = Archive { writer: BufWriter::new(File::create(path)?), inode: 1 };
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
    newc::trailer(archive.writer)?.flush()?;
    Ok(())
}

struct Archive {
    writer: BufWriter<File>,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, kind: ModeFileType, mode: u32, content: &[u8]) -> Result<()> {
        let length = u32::try_from(content.len()).with_context(|| format!("{name} is too large for an initramfs"))?;
        let entry = Builder::new(name).ino(self.inode).nlink(1).mode(mode).set_mode_file_type(kind);
        let mut file = entry.write(&mut self.writer, length);
        file.write_all(content)?;
        file.finish()?;
        self.inode += 1;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
