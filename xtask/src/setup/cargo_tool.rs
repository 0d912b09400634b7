//! Sub-commands of cargo that a check needs: the one in PATH, else one kept under `target/tools`.

use crate::progress::{note, step};
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Where a program such as `cargo-llvm-cov` is, got if need be: as a Python package that contains it ready-made, else built.
pub fn find(program: &str) -> Result<PathBuf> {
    let works = |path: &PathBuf| {
        let verb = program.strip_prefix("cargo-").unwrap_or(program);
        Tool::new(path).args([verb, "--version"]).output().is_ok()
    };
    let room = workspace::target().join("tools").join(program);
    let ours = room.join("bin").join(program);
    if let Some(path) = [PathBuf::from(program), ours.clone()].into_iter().find(works) {
        return Ok(path);
    }
    let package = format!("astral-dev-toolchain-{program}");
    let wheel = step(&format!("installing {package} into {}", room.display()), || {
        let pip = Tool::new("python3").args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]).arg(&room);
        pip.arg(&package).output()
    });
    if let Err(refusal) = wheel {
        note(format!("pip cannot, so it is built: {}", refusal.to_string().lines().next().unwrap_or_default()));
        step(&format!("building {program} into {}", room.display()), || {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            Tool::new(cargo).args(["install", "--locked", "--root"]).arg(&room).arg(program).output()
        })
        .with_context(|| format!("no way to {program}: neither a Python package nor `cargo install {program}`"))?;
    }
    works(&ours).then_some(ours).with_context(|| format!("{program} was installed, and does not run"))
}
