//! What the checks share: built once, when the first one needs it.

use crate::setup::{self, Linux, Toolchain, Way};
use crate::vm::{Accelerator, Place, Session};
use crate::{arceos, build};
use anyhow::{Result, anyhow};
use std::cell::OnceCell;

/// Sets up and builds on demand; what failed once fails every check that needs it, at once.
pub struct Rig {
    way: Way,
    toolchain: Lazy<Toolchain>,
    hypervisor: Lazy<()>,
    images: Lazy<()>,
    arceos: Lazy<()>,
    peer: Lazy<()>,
    linux: Lazy<Linux>,
    accelerator: Lazy<Accelerator>,
}

type Lazy<T> = OnceCell<std::result::Result<T, String>>;

fn once<T: Clone>(cell: &Lazy<T>, make: impl FnOnce() -> Result<T>) -> Result<T> {
    let made = cell.get_or_init(|| make().map_err(|error| format!("{error:#}")));
    made.clone().map_err(|text| anyhow!(text))
}

impl Rig {
    pub fn new(way: Way) -> Self {
        let (toolchain, hypervisor, linux) = Default::default();
        let (images, arceos, peer, accelerator) = Default::default();
        Self { way, toolchain, hypervisor, images, arceos, peer, linux, accelerator }
    }

    pub fn toolchain(&self) -> Result<Toolchain> {
        once(&self.toolchain, || setup::toolchain(self.way))
    }

    pub fn hypervisor(&self) -> Result<()> {
        once(&self.hypervisor, || setup::hypervisor().map(drop))
    }

    /// Builds the images, and finds what runs them.
    pub fn images(&self) -> Result<Accelerator> {
        once(&self.images, || build::images(&self.toolchain()?).map(drop))?;
        self.accelerator()
    }

    fn accelerator(&self) -> Result<Accelerator> {
        once(&self.accelerator, || {
            self.hypervisor()?;
            Accelerator::choose(setup::linux().ok().as_ref())
        })
    }

    /// Builds the image of ArceOS, and finds what runs it.
    pub fn arceos(&self) -> Result<Accelerator> {
        once(&self.arceos, || arceos::build(&self.toolchain()?))?;
        self.accelerator()
    }

    /// The operator as a process of this machine.
    pub fn host(&self) -> Result<Place> {
        once(&self.peer, build::peer)?;
        Ok(Place::Host)
    }

    /// The operator in the Linux VM.
    pub fn linux(&self) -> Result<Place> {
        once(&self.peer, build::peer)?;
        let files = once(&self.linux, setup::linux)?;
        Ok(Place::Linux { files, accelerator: self.accelerator()? })
    }

    /// Does a piece of work with VMs; a failure tells all about them.
    pub fn session<T>(&self, work: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        Session::told(work)
    }
}
