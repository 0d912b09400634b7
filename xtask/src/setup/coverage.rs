//! What measures coverage: cargo-llvm-cov, and LLVM's tools of a version that reads what rustc writes.

use super::{apt, cargo_tool};
use crate::progress::{note, step};
use crate::tool::Tool;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The LLVM tools that are used.
const TOOLS: [&str; 2] = ["llvm-cov", "llvm-profdata"];

/// Both, found.
#[derive(Debug, Clone)]
pub struct Coverage {
    program: PathBuf,
    /// Where LLVM's tools are.
    llvm: PathBuf,
}

impl Coverage {
    pub fn find() -> Result<Self> {
        Ok(Self { program: cargo_tool::find("cargo-llvm-cov")?, llvm: llvm()? })
    }

    /// `cargo llvm-cov`; the caller adds what to test.
    pub fn cargo(&self) -> Tool {
        let tool = Tool::new(&self.program).arg("llvm-cov");
        tool.env("LLVM_COV", self.llvm.join(TOOLS[0])).env("LLVM_PROFDATA", self.llvm.join(TOOLS[1]))
    }
}

/// The toolchain's own, those rustup adds to it, or Debian's of the same or a later version.
fn llvm() -> Result<PathBuf> {
    let rustc = || Tool::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let libraries = rustc().args(["--print", "target-libdir"]).output()?;
    let own = Path::new(libraries.trim()).parent().context("the toolchain has no folder")?.join("bin");
    if complete(&own) {
        return Ok(own);
    }
    let version = llvm_version(&rustc().arg("-vV").output()?).context("rustc does not tell its LLVM's version")?;
    let debian =
        || (version..version + 10).map(|n| PathBuf::from(format!("/usr/lib/llvm-{n}/bin"))).find(|dir| complete(dir));
    if let Some(dir) = debian() {
        return Ok(dir);
    }
    match step("rustup component add llvm-tools", || {
        Tool::new("rustup").args(["component", "add", "llvm-tools"]).output()
    }) {
        Ok(_) if complete(&own) => return Ok(own),
        Ok(_) => note("rustup added llvm-tools, yet the toolchain has none"),
        Err(refusal) => note(format!("rustup cannot: {}", refusal.to_string().lines().next().unwrap_or_default())),
    }
    apt::install(&[&format!("llvm-{version}")])?;
    match debian() {
        Some(dir) => Ok(dir),
        None => bail!("no {} of LLVM {version} or later", TOOLS.join(" or ")),
    }
}

fn complete(dir: &Path) -> bool {
    TOOLS.iter().all(|tool| dir.join(tool).exists())
}

/// Reads `rustc -vV`.
fn llvm_version(text: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix("LLVM version: "))?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustc_tells_its_llvm() {
        assert_eq!(llvm_version("rustc 1.95.0\nhost: x\nLLVM version: 22.1.2\n"), Some(22));
        assert_eq!(llvm_version("rustc 1.95.0\n"), None);
    }
}
