//! `cargo xtask build`: the boot images and the static Linux peer, ready to boot under `target/images/`.

use crate::progress::note;
use crate::setup::{self, Toolchain, Way};
use crate::tool::Tool;
use crate::workspace;
use crate::{arceos, cargo};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The file of the image that [`small`] builds.
pub const SMALL: &str = "echo-small";

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
            println!("{:>9} bytes, text {:>6}  {}", fs::metadata(&path)?.len(), text_size(&path)?, path.display());
        }
        arceos::build(&toolchain)?;
        let path = workspace::image(arceos::NAME);
        println!("{:>9} bytes, text {:>6}  {}", fs::metadata(&path)?.len(), text_size(&path)?, path.display());
        peer()?;
        let path = workspace::peer();
        println!("{:>9} bytes               {}", fs::metadata(&path)?.len(), path.display());
        Ok(())
    }
}

/// Builds every image and gives their names.
pub fn images(toolchain: &Toolchain) -> Result<Vec<String>> {
    note(format!("building the images with {toolchain}"));
    let mut names = Vec::new();
    for program in programs(&compiler(toolchain).arg("--bins"))? {
        let name = program.file_name().and_then(|name| name.to_str()).context("an image whose name is not UTF-8")?;
        install(&program, &workspace::image(name))?;
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds `echo` once more, as [`SMALL`]: for PCs with firmware, without what finds its way on any machine.
pub fn small(toolchain: &Toolchain) -> Result<()> {
    note(format!("building {SMALL} with {toolchain}"));
    let build = compiler(toolchain).args(["--bin", "echo", "--no-default-features"]);
    let program = programs(&build)?.into_iter().next().context("the build left no echo")?;
    install(&program, &workspace::image(SMALL))
}

/// What builds images; the caller adds which.
fn compiler(toolchain: &Toolchain) -> Tool {
    let build = toolchain.cargo("build").args(["--release", "--package", "ivshmem-examples"]);
    // Without it defmt compiles in nothing but errors.
    if std::env::var_os("DEFMT_LOG").is_none() { build.env("DEFMT_LOG", "info") } else { build }
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
pub fn programs(build: &Tool) -> Result<Vec<PathBuf>> {
    let build = build.clone().arg("--message-format=json-render-diagnostics");
    let mut programs = Vec::new();
    for line in build.lines()? {
        let message: Value = serde_json::from_str(&line).with_context(|| format!("cargo said `{line}`"))?;
        programs.extend(message["executable"].as_str().map(PathBuf::from));
    }
    Ok(programs)
}

pub fn install(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("the build left no {}", from.display()))?;
    workspace::install(&bytes, to)
}

/// Bytes of text in an ELF64 file: its executable PT_LOAD segments.
pub fn text_size(path: &Path) -> Result<u64> {
    let bytes = fs::read(path)?;
    text(&bytes).with_context(|| format!("{} is no ELF64 file", path.display()))
}

fn text(elf: &[u8]) -> Option<u64> {
    const PT_LOAD: u64 = 1;
    const PF_X: u64 = 1;
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
        if word(header, 4)? == PT_LOAD && word(header.checked_add(4)?, 4)? & PF_X != 0 {
            sum += word(header.checked_add(0x20)?, 8)?;
        }
    }
    Some(sum)
}

/// Refuses an image that has outgrown its promise.
pub fn check_size(name: &str, limit: u64) -> Result<()> {
    let size = text_size(&workspace::image(name))?;
    if size >= limit {
        bail!("{name} has {size} bytes of text, its limit is {limit}");
    }
    note(format!("{name} has {size} bytes of text, at most {limit} are allowed"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executable_loaded_segments_are_text() {
        const HEADERS: usize = 64;
        const SIZE: usize = 56;
        let mut elf = vec![0; HEADERS + 3 * SIZE];
        elf[..5].copy_from_slice(b"\x7fELF\x02");
        elf[0x20] = 64;
        elf[0x36] = 56;
        elf[0x38] = 3;
        // Type, flags, size in the file: text, data, a note.
        for (index, (kind, flags, size)) in [(1, 5, 0x34), (1, 6, 0x50), (4, 5, 0x60)].into_iter().enumerate() {
            let at = HEADERS + index * SIZE;
            (elf[at], elf[at + 4], elf[at + 0x20], elf[at + 0x21]) = (kind, flags, size, 0x12);
        }
        assert_eq!(text(&elf), Some(0x1234));
        assert_eq!(text(&elf[..70]), None);
        assert_eq!(text(b"MZ"), None);
    }
}
