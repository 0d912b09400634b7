//! One place where the device can be, and the proof that the driver copes with it.

use crate::setup::{self, Hypervisor, Release};
use crate::test::rig::Rig;
use crate::vm::{Accelerator, Image, Session};
use anyhow::Result;
use std::collections::BTreeSet;
use std::fmt;

/// What the cases share: made before the first one.
#[derive(Debug)]
pub struct Bench {
    accelerator: Accelerator,
    hypervisor: Hypervisor,
}

impl Bench {
    /// Sets up and builds what is missing; with a release it is that QEMU that runs the machines.
    pub fn new(rig: &Rig, release: Option<Release>) -> Result<Self> {
        let accelerator = rig.images()?;
        Ok(Self { accelerator, hypervisor: release.map_or_else(setup::hypervisor, setup::release)? })
    }

    /// An image, to be changed as a case needs it.
    pub fn image(&self, name: &'static str) -> Image {
        Image { hypervisor: self.hypervisor.clone(), ..Image::new(name, self.accelerator) }
    }

    /// The first part of the version of what runs the machines.
    pub fn major(&self) -> Option<u32> {
        self.hypervisor.major()
    }

    /// What runs the machines, in words.
    pub fn setting(&self) -> String {
        format!("{}, {}", self.hypervisor, self.accelerator)
    }
}

/// What a case has shown, in a few words, such as `polled` and `interrupt`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown(BTreeSet<&'static str>);

impl Shown {
    pub fn new(words: &[&'static str]) -> Self {
        Self(words.iter().copied().collect())
    }

    pub fn add(&mut self, word: &'static str) {
        self.0.insert(word);
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Vec::from_iter(self.0.iter().copied()).join(", "))
    }
}

type Work = Box<dyn Fn(&Bench, &mut Session) -> Result<Shown> + Send + Sync>;

/// One place on one machine.
pub struct Case {
    /// What kind of place it is.
    pub group: &'static str,
    /// Where the device is: a row of the tables.
    pub place: String,
    /// On which machine, and how configuration space is reached.
    pub machine: String,
    work: Work,
}

impl Case {
    /// A case passes unless its work returns an error.
    pub fn new(
        group: &'static str,
        place: impl Into<String>,
        machine: impl Into<String>,
        work: impl Fn(&Bench, &mut Session) -> Result<Shown> + Send + Sync + 'static,
    ) -> Self {
        Self { group, place: place.into(), machine: machine.into(), work: Box::new(work) }
    }

    pub fn name(&self) -> String {
        name(self.group, &self.place, &self.machine)
    }

    /// Does it; a failure tells all about the machines.
    pub fn run(&self, bench: &Bench) -> Result<Shown> {
        Session::told(|session| (self.work)(bench, session))
    }
}

pub fn name(group: &str, place: &str, machine: &str) -> String {
    format!("{group}: {place}, {machine}")
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name()).finish()
    }
}
