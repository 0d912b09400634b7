//! `cargo xtask setup`: gets what this machine lacks, says so, and keeps it under `target/`.
//!
//! Nothing is fetched twice. What only root can install is named in one command for the user to run.

mod apt;
mod cargo_tool;
mod coverage;
mod fuzzer;
mod hypervisor;
mod linux;
mod spin;
mod target;

pub use coverage::Coverage;
pub use fuzzer::Fuzzer;
pub use hypervisor::{Hypervisor, Release};
pub use linux::Linux;
pub use spin::Spin;
pub use target::{TRIPLE, Toolchain, Way};

use crate::progress::note;
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result};
use std::fs::File;
use std::path::PathBuf;

/// Get what is missing to build and run everything
#[derive(clap::Args, Debug)]
pub struct Setup {
    /// Where the bare-metal target comes from
    #[arg(long, value_enum, default_value_t)]
    toolchain: Way,
    /// Also this release of QEMU's, unpacked under target/ and installed nowhere
    #[arg(long, value_enum)]
    qemu: Option<Release>,
}

impl Setup {
    pub fn run(self) -> Result<()> {
        let toolchain = toolchain(self.toolchain)?;
        let hypervisor = hypervisor()?;
        let newer = self.qemu.map(release).transpose()?;
        let linux = linux()?;
        let spin = spin()?;
        note(format!("bare-metal target: {toolchain}"));
        note(format!("hypervisor: {hypervisor}"));
        newer.iter().for_each(|newer| note(format!("beside it: {newer}")));
        note(format!("Linux VM: {linux}"));
        note(format!("model checker: {spin}"));
        Ok(())
    }
}

/// What builds the images.
pub fn toolchain(way: Way) -> Result<Toolchain> {
    let _alone = lock()?;
    Toolchain::find(way)
}

/// What runs the VMs.
pub fn hypervisor() -> Result<Hypervisor> {
    let _alone = lock()?;
    Hypervisor::find()
}

/// A release of QEMU's beside it.
pub fn release(release: Release) -> Result<Hypervisor> {
    let _alone = lock()?;
    Hypervisor::release(release)
}

/// What measures coverage.
pub fn coverage() -> Result<Coverage> {
    let _alone = lock()?;
    Coverage::find()
}

/// What changes the driver in small ways.
pub fn mutants() -> Result<PathBuf> {
    let _alone = lock()?;
    cargo_tool::find("cargo-mutants")
}

/// What runs the end that is written in another language.
pub fn python() -> Result<&'static str> {
    let _alone = lock()?;
    let program = "python3";
    if Tool::new(program).arg("--version").output().is_err() {
        apt::install(&[program])?;
    }
    Ok(program)
}

/// What fuzzes.
pub fn fuzzer() -> Result<Fuzzer> {
    let _alone = lock()?;
    Fuzzer::find()
}

/// What the Linux VM is made of.
pub fn linux() -> Result<Linux> {
    let _alone = lock()?;
    Linux::find()
}

/// What checks the models of the protocol.
pub fn spin() -> Result<Spin> {
    let _alone = lock()?;
    Spin::find()
}

/// One set-up at a time over one `target/`; released when the file closes.
fn lock() -> Result<File> {
    let dir = workspace::cache();
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let file = File::create(dir.join("lock"))?;
    file.lock().context("cannot lock target/setup")?;
    Ok(file)
}
