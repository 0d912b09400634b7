//! The active toolchain's cargo, on this workspace and its target directory.

use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result};
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

fn into(verb: &str, target: PathBuf) -> Tool {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Tool::new(cargo).arg(verb).arg("--target-dir").arg(target).dir(workspace::root())
}

/// Builds a program of this workspace and replaces this process by it, so that signals and the terminal are its own.
pub fn become_program(name: &str, arguments: Vec<OsString>) -> Result<()> {
    active("build").args(["--release", "--package", name]).run()?;
    let tool = Tool::new(workspace::target().join("release").join(name)).args(arguments);
    Err(tool.command().exec()).with_context(|| format!("cannot run {tool}"))
}
