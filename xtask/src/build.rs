//! `cargo xtask build`: the boot images and the static Linux peer, ready to boot under `target/images/`.

use crate::cargo;
use crate::progress::note;
use crate::setup::{self, Toolchain, Way};
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Build the boot images and the static Linux peer into target/images
#[derive(clap::Args, Debug)]
pub struct Build {
    /// Where the bare-metal target comes from
    #[arg(long, value_enum, default_value_t)]
    toolchain: Way,
}

impl Build {
    pub fn run(self) -> Result<()> {
        let toolchain = setup::toolchain(self.toolchain)?;
        for name in images(&toolchain)? {
            let path = workspace::image(&name);
            println!("{:>9} bytes, {:>7} loaded  {}", fs::metadata(&path)?.len(), loaded_size(&path)?, path.display());
        }
        peer()?;
        let path = workspace::peer();
        println!("{:>9} bytes                  {}", fs::metadata(&path)?.len(), path.display());
        Ok(())
    }
}

/// Builds every image and gives their names.
pub fn images(toolchain: &Toolchain) -> Result<Vec<String>> {
    note(format!("building the images with {toolchain}"));
    let mut names = Vec::new();
    for program in programs(&toolchain.cargo("build").args(["--release", "--package", "ivshmem-examples", "--bins"]))? {
        let name = program.file_name().and_then(|name| name.to_str()).context("an image whose name is not UTF-8")?;
        install(&program, &workspace::image(name))?;
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds `ivshmem-peer` without shared libraries, so that it also runs in an initramfs.
pub fn peer() -> Result<()> {
    note("building the static ivshmem-peer");
    // With --target the flags do not reach build scripts and procedural macros, which cannot be static.
    let build =
        cargo::active("build").args(["--release", "--package", "ivshmem-peer", "--bins", "--target", cargo::HOST]);
    let build = build.env("RUSTFLAGS", "-C target-feature=+crt-static").without("CARGO_ENCODED_RUSTFLAGS");
    let program = programs(&build)?.into_iter().next().context("ivshmem-peer has no program")?;
    install(&program, &workspace::peer())
}

/// Runs `cargo build` and gives the programs it made or found fresh.
fn programs(build: &Tool) -> Result<Vec<PathBuf>> {
    let build = build.clone().arg("--message-format=json-render-diagnostics");
    let output = build.command().stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {build}"))?;
    if !output.status.success() {
        bail!("{}: {build}", output.status);
    }
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line).with_context(|| format!("cargo said `{line}`"))?;
        programs.extend(message["executable"].as_str().map(PathBuf::from));
    }
    Ok(programs)
}

/// Puts a file in its place in one step: a run that goes on beside this one sees the old or the new file, whole.
fn install(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("the build left no {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let dir = to.parent().context("a file needs a folder")?;
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut file, &bytes)?;
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o755))?;
    file.persist(to)?;
    Ok(())
}

/// Bytes of text and data that an ELF64 file loads into memory: the file sizes of its PT_LOAD segments.
pub fn loaded_size(path: &Path) -> Result<u64> {
    let bytes = fs::read(path)?;
    loaded(&bytes).with_context(|| format!("{} is no ELF64 file", path.display()))
}

fn loaded(elf: &[u8]) -> Option<u64> {
    const PT_LOAD: u32 = 1;
    let word = |at: usize, bytes: usize| -> Option<u64> {
        let field = elf.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    };
    if elf.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let table = usize::try_from(word(0x20, 8)?).ok()?;
    let (size, count) = (usize::try_from(word(0x36, 2)?).ok()?, usize::try_from(word(0x38, 2)?).ok()?);
    let mut sum = 0;
    for index in 0..count {
        let header = table.checked_add(index.checked_mul(size)?)?;
        if word(header, 4)? == u64::from(PT_LOAD) {
            sum += word(header.checked_add(0x20)?, 8)?;
        }
    }
    Some(sum)
}

/// Refuses an image that has outgrown its promise.
pub fn check_size(name: &str, limit: u64) -> Result<()> {
    let size = loaded_size(&workspace::image(name))?;
    if size >= limit {
        bail!("{name} loads {size} bytes, its limit is {limit}");
    }
    note(format!("{name} loads {size} bytes of at most {limit}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loaded_segments_count() {
        let mut elf = vec![0; 64 + 2 * 56];
        elf[..5].copy_from_slice(b"\x7fELF\x02");
        elf[0x20] = 64;
        elf[0x36] = 56;
        elf[0x38] = 2;
        elf[64] = 1;
        elf[64 + 0x20..64 + 0x22].copy_from_slice(&[0x34, 0x12]);
        elf[64 + 56] = 4;
        elf[64 + 56 + 0x20] = 99;
        assert_eq!(loaded(&elf), Some(0x1234));
        assert_eq!(loaded(&elf[..70]), None);
        assert_eq!(loaded(b"MZ"), None);
    }
}
