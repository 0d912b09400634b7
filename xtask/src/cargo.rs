//! The active toolchain's cargo, on this workspace and its target directory.

use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

/// The triple of the host side: Linux, since ivshmem-doorbell needs its eventfds.
pub const HOST: &str = "x86_64-unknown-linux-gnu";

/// `cargo VERB` as this workspace's root would run it.
pub fn active(verb: &str) -> Tool {
    into(verb, workspace::target())
}

/// `cargo VERB` under loom, whose code and dependencies are built apart.
pub fn loom(verb: &str) -> Tool {
    into(verb, workspace::target().join("loom")).env("RUSTFLAGS", "--cfg loom").without("CARGO_ENCODED_RUSTFLAGS")
}

/// `cargo VERB` with another target directory.
pub fn into(verb: &str, target: PathBuf) -> Tool {
    plain(verb).arg("--target-dir").arg(target)
}

/// `cargo VERB` that builds nothing, and so has no target directory.
pub fn plain(verb: &str) -> Tool {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Tool::new(cargo).arg(verb).dir(workspace::root())
}

/// Checks that every file of a workspace is as rustfmt writes it.
pub fn format() -> Tool {
    plain("fmt").args(["--all", "--check"])
}

/// The driver's features, as its manifest names them, but for the default ones.
pub fn driver_features() -> Result<Vec<String>> {
    let metadata = plain("metadata").args(["--no-deps", "--format-version", "1"]).output()?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no package")?;
    let driver = packages.iter().find(|package| package["name"] == "ivshmem").context("no package ivshmem")?;
    let features = driver["features"].as_object().context("ivshmem has no features")?;
    let features: Vec<_> = features.keys().filter(|name| *name != "default").cloned().collect();
    ensure!(!features.is_empty(), "ivshmem has no feature");
    Ok(features)
}

/// Builds a program of this workspace and replaces this process by it, so that signals and the terminal are its own.
pub fn become_program(name: &str, arguments: Vec<OsString>) -> Result<()> {
    active("build").args(["--release", "--package", name]).run()?;
    let tool = Tool::new(workspace::target().join("release").join(name)).args(arguments);
    Err(tool.command().exec()).with_context(|| format!("cannot run {tool}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_features_are_those_of_the_manifest() {
        let features = driver_features().unwrap();
        for feature in [
            "defmt",
            "embedded-io",
            "embedded-io-async",
            "fake",
            "pci_types",
            "protection",
            "virtio-drivers",
            "zerocopy",
        ] {
            assert!(features.contains(&feature.to_owned()), "{features:?}");
        }
    }
}
