//! `cargo xtask test`: everything there is to check, in one summary.

mod arceos;
pub mod chaos;
mod code;
mod controls;
mod coverage;
mod echo;
mod exchanges;
mod features;
mod fuzz;
mod images;
pub mod kills;
pub mod liveness;
mod matrix;
mod models;
mod no_panic;
mod python;
mod restarts;
pub mod rig;
mod suite;
mod supervision;
mod tasks;
mod three_ends;

use crate::setup::Way;
use anyhow::{Result, bail};
use rig::Rig;
use suite::Suite;

/// Run every check: format, lints, host tests, on-target tests and the two-VM scenarios
#[derive(clap::Args, Debug)]
pub struct Test {
    /// Only the checks whose names contain this
    filter: Option<String>,
    /// Only say which checks there are
    #[arg(long)]
    list: bool,
    /// Where the bare-metal target comes from
    #[arg(long, value_enum, default_value_t)]
    toolchain: Way,
}

impl Test {
    pub fn run(self) -> Result<()> {
        let mut suite = Suite::default();
        code::add(&mut suite);
        features::add(&mut suite);
        controls::add(&mut suite);
        models::add(&mut suite);
        coverage::add(&mut suite);
        fuzz::add(&mut suite);
        images::add(&mut suite);
        no_panic::add(&mut suite);
        matrix::add(&mut suite);
        exchanges::add(&mut suite);
        restarts::add(&mut suite);
        kills::add(&mut suite);
        arceos::add(&mut suite);
        chaos::add(&mut suite);
        liveness::add(&mut suite);
        echo::add(&mut suite);
        tasks::add(&mut suite);
        three_ends::add(&mut suite);
        python::add(&mut suite);
        supervision::add(&mut suite);
        suite.select(self.filter.as_deref())?;
        if self.list {
            suite.list();
            return Ok(());
        }
        if !suite.run(&Rig::new(self.toolchain)) {
            bail!("not everything passed");
        }
        Ok(())
    }
}
