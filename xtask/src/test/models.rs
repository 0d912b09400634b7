//! The mailbox's code in every interleaving, under loom, and the models of its protocol, in Spin.

mod spin;

use super::code::{clippy, tests};
use super::suite::Suite;
use crate::cargo;
use crate::setup;

pub fn add(suite: &mut Suite) {
    suite.case("lint: the driver and its models under loom", |_| {
        clippy(cargo::loom("clippy"), &["--package", "ivshmem", "--lib", "--test", "loom"])
    });
    suite.verdict("models: the mailbox's code in every interleaving, under loom", |_| {
        tests(&cargo::loom("test").args(["--package", "ivshmem", "--test", "loom", "--no-fail-fast"]))
    });
    for model in spin::MODELS {
        suite.case(&format!("models: {}, searched by Spin, and without each of its rules", model.name), |_| {
            model.check(&setup::spin()?)
        });
    }
}
