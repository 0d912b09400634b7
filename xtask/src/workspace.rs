//! Where things are, the source tree and what is kept under `target/`, and how they get there.

use anyhow::{Context, Result};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The root of the source tree.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Cargo's target directory: everything that xtask gets or makes lies under it.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// What `setup` fetched.
pub fn cache() -> PathBuf {
    target().join("setup")
}

/// The boot image of that name.
pub fn image(name: &str) -> PathBuf {
    target().join("images").join(format!("{name}.elf"))
}

/// The statically linked `ivshmem-peer`, for the Linux VM and as a host process.
pub fn peer() -> PathBuf {
    target().join("images").join("ivshmem-peer")
}

/// Puts an executable in its place.
pub fn install(bytes: &[u8], to: &Path) -> Result<()> {
    put(bytes, to, 0o755)
}

/// Puts a text in its place.
pub fn write(text: &str, to: &Path) -> Result<()> {
    put(text.as_bytes(), to, 0o644)
}

/// In one step: a run that goes on beside this one sees the old or the new file, whole.
fn put(bytes: &[u8], to: &Path, mode: u32) -> Result<()> {
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let dir = to.parent().context("a file needs a folder")?;
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes).with_context(|| format!("cannot write {}", to.display()))?;
    fs::set_permissions(file.path(), Permissions::from_mode(mode))?;
    file.persist(to)?;
    Ok(())
}
