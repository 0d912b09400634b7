//! Where things are: the source tree and what is kept under `target/`.

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
