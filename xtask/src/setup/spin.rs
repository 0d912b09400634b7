//! Spin: the one that is installed, else Debian's, unpacked.

use super::apt;
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Result, ensure};
use std::ffi::OsString;
use std::fmt;

/// The model checker, of the version whose state counts the models' checks know.
#[derive(Debug, Clone)]
pub struct Spin {
    program: OsString,
}

const VERSION: &str = "Spin Version 6.5.2";

impl Spin {
    pub fn find() -> Result<Self> {
        let installed = Self { program: "spin".into() };
        // Other programs have that name too.
        if installed.version().is_ok_and(|version| version.starts_with(VERSION)) {
            return Ok(installed);
        }
        let dir = workspace::cache().join("spin");
        let unpacked = Self { program: dir.join("usr/bin/spin").into() };
        if unpacked.version().is_err() {
            apt::unpack("spin", &dir)?;
        }
        let version = unpacked.version()?;
        ensure!(
            version.starts_with(VERSION),
            "Debian's Spin is {version:?}, the models' state counts are of {VERSION:?}"
        );
        Ok(unpacked)
    }

    /// `spin` on the command line.
    pub fn tool(&self) -> Tool {
        Tool::new(&self.program)
    }

    fn version(&self) -> Result<String> {
        Ok(self.tool().arg("-V").output()?.trim().to_owned())
    }
}

impl fmt::Display for Spin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSION)
    }
}
