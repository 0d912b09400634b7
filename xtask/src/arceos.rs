//! The ArceOS image: a workspace of its own, since its kernel pins older crates and is built with flags and a configuration of its own.

use crate::progress::note;
use crate::setup::{TRIPLE, Toolchain};
use crate::tool::Tool;
use crate::{build, cargo, workspace};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// The image's name.
pub const NAME: &str = "arceos";
/// The package in which the kernel keeps what is known of a PC.
const PLATFORM: &str = "axplat-x86-pc";
/// What an application adds to that.
const APPLICATION: &str = "task-stack-size = 0x40000\nticks-per-sec = 100\n";

/// Builds the kernel and the image into it.
pub fn build(toolchain: &Toolchain) -> Result<()> {
    note(format!("building the ArceOS image with {toolchain}"));
    let build = cargo_in_it(toolchain, "build")?;
    let program = build::programs(&build)?.into_iter().next().context("ivshmem-arceos has no program")?;
    build::install(&program, &workspace::image(NAME))
}

/// Lints the image.
pub fn lint(toolchain: &Toolchain) -> Result<()> {
    cargo_in_it(toolchain, "clippy")?.args(["--quiet", "--", "-D", "warnings"]).run()
}

/// Checks that its files are as rustfmt writes them.
pub fn format() -> Tool {
    cargo::format().dir(dir())
}

fn dir() -> PathBuf {
    workspace::root().join("examples").join("arceos")
}

/// What is built of it lies apart: another kernel's flags, or another compiler's, would throw it out.
fn target(toolchain: &Toolchain) -> PathBuf {
    workspace::target().join(match toolchain {
        Toolchain::Active { .. } => "arceos",
        Toolchain::Debian { .. } => "arceos-debian",
    })
}

fn cargo_in_it(toolchain: &Toolchain, verb: &str) -> Result<Tool> {
    let target = target(toolchain);
    // The kernel's build writes the script, before the image is linked.
    let script = target.join(TRIPLE).join("release").join("linker_x86-pc.lds");
    let flags = [
        "-C relocation-model=pic".to_owned(),
        "-C link-arg=--no-pie".to_owned(),
        format!("-C link-arg=-T{}", script.display()),
        "-C link-arg=-znostart-stop-gc".to_owned(),
    ];
    let tool = toolchain.cargo_apart(verb, &dir(), &target, &flags.join(" ")).args(["--release", "--locked"]);
    // The kernel uses unstable features. Its own log begins with warnings: the image's lines are on the same port.
    Ok(tool.env("RUSTC_BOOTSTRAP", "1").env("AX_CONFIG_PATH", configuration()?).env("AX_LOG", "warn"))
}

/// The platform's configuration as the kernel's package has it, with an application's part. Cargo tells where it put that package.
fn configuration() -> Result<PathBuf> {
    let metadata = cargo::plain("metadata").dir(dir());
    let metadata = metadata.args(["--locked", "--format-version", "1", "--filter-platform", TRIPLE]).output()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no package")?;
    let platform = packages.iter().find(|package| package["name"] == PLATFORM);
    let manifest = platform.and_then(|package| package["manifest_path"].as_str());
    let manifest = PathBuf::from(manifest.with_context(|| format!("ArceOS is built without {PLATFORM}"))?);
    let theirs = manifest.with_file_name("axconfig.toml");
    let text = fs::read_to_string(&theirs).with_context(|| format!("cannot read {}", theirs.display()))?;
    let ours = workspace::target().join("arceos.toml");
    workspace::install(format!("{APPLICATION}{text}").as_bytes(), &ours)?;
    Ok(ours)
}
