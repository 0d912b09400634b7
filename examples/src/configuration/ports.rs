//! The ports, on machines whose firmware assigns everything.

use crate::mechanism::AccessError;
use crate::options::{Nothing, OptionError, Options};
use core::str::FromStr;
use ivshmem::mmio::Mapper;
use ivshmem::pci::{Access, AssignError, ConfigAccess, PortIo};

/// What the three options say: nothing but the default.
#[derive(Clone, Copy, Debug)]
pub struct Configuration(());

impl Configuration {
    /// What a command line says of them.
    pub fn asked<'a>(options: &Options<'a>) -> Result<Self, OptionError<'a>> {
        options.get::<Ports>("config", "port-io: this image is for machines with ports")?;
        for key in ["mem32", "mem64"] {
            options.get::<Nothing>(key, "nothing: this image is for machines with firmware")?;
        }
        Ok(Self(()))
    }

    /// Opens configuration space.
    ///
    /// # Safety
    /// As for `PortIo::new`.
    pub unsafe fn open(&self, _: Option<u64>, _: &mut impl Mapper) -> Result<Access, AccessError> {
        // SAFETY: the caller promises ring 0, and that nothing else uses the ports; whether they are there is asked next.
        let ports = unsafe { PortIo::new() };
        if ports.is_present() { Ok(Access::PortIo(ports)) } else { Err(AccessError::NoPorts) }
    }

    /// Places nothing.
    pub fn place(&self, _: &dyn ConfigAccess, _: impl FnMut(AssignError)) {}
}

/// The one mechanism there is.
struct Ports;

impl FromStr for Ports {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "port-io" { Ok(Self) } else { Err(()) }
    }
}
