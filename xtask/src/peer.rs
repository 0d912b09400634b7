//! `cargo xtask peer`: builds `ivshmem-peer` and becomes it.

use crate::cargo;
use anyhow::Result;
use std::ffi::OsString;

/// Build ivshmem-peer and run it with the arguments that follow
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Peer {
    /// What ivshmem-peer takes; `--help` says what that is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Peer {
    pub fn run(self) -> Result<()> {
        cargo::become_program("ivshmem-peer", self.arguments)
    }
}
