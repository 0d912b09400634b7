//! The driver builds without features, and with each of its features alone: a user takes what they need, and no other.

use super::code::clippy;
use super::suite::Suite;
use crate::cargo;
use anyhow::{Context, Result};

pub fn add(suite: &mut Suite) {
    suite.case("lint: the driver without features, and with each alone", |_| {
        let features = cargo::driver_features()?;
        println!("each alone: {}", features.join(", "));
        alone("")?;
        features.iter().try_for_each(|feature| alone(feature))
    });
}

fn alone(feature: &str) -> Result<()> {
    // Only its library: the tests of a package ask for features themselves.
    clippy(cargo::active("clippy"), &["--package", "ivshmem", "--lib", "--no-default-features", "--features", feature])
        .with_context(|| match feature {
            "" => "without features".to_owned(),
            feature => format!("with the feature {feature} alone"),
        })
}
