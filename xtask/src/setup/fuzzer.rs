//! What fuzzes: cargo-fuzz, and the C++ compiler that libFuzzer is built with.

use super::{apt, cargo_tool};
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// cargo-fuzz, with a C++ compiler to go with it.
#[derive(Debug, Clone)]
pub struct Fuzzer {
    program: PathBuf,
}

impl Fuzzer {
    pub fn find() -> Result<Self> {
        let works = || Tool::new("c++").arg("--version").output();
        if works().is_err() {
            apt::install(&["g++"])?;
            works().context("g++ was installed, and there is no c++")?;
        }
        Ok(Self { program: cargo_tool::find("cargo-fuzz")? })
    }

    /// `cargo fuzz VERB` on the stable compiler, of which the sanitizer asks that it be taken for a nightly one.
    pub fn cargo(&self, verb: &str) -> Tool {
        let tool = Tool::new(&self.program).args(["fuzz", verb]).env("RUSTC_BOOTSTRAP", "1").dir(workspace::root());
        tool.arg("--target-dir").arg(workspace::target().join("fuzz"))
    }
}
