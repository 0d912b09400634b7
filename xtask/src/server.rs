//! `cargo xtask server`: builds `ivshmem-server` and becomes it.

use crate::cargo;
use anyhow::Result;
use std::ffi::OsString;

/// Build ivshmem-server and run it with the arguments that follow
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Server {
    /// What ivshmem-server takes; `--help` says what that is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Server {
    pub fn run(self) -> Result<()> {
        cargo::become_program("ivshmem-server", self.arguments)
    }
}
