//! Either mechanism, and places for BARs that have none.

use crate::mechanism::{AccessError, Mechanism};
use crate::options::{OptionError, Options, halves, hexadecimal};
use core::str::FromStr;
use ivshmem::device;
use ivshmem::mmio::Mapper;
use ivshmem::pci::{self, Access, Address, AssignError, Command, ConfigAccess, Function, Header, Window, Windows};

/// Devices that are placed; no machine of QEMU's has room for as many on its root bus.
const MOST_DEVICES: usize = 256;

/// What the three options say.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    mechanism: Mechanism,
    /// Without one nothing is placed.
    windows: Option<Windows>,
}

impl Configuration {
    /// What a command line says of them.
    pub fn asked<'a>(options: &Options<'a>) -> Result<Self, OptionError<'a>> {
        let mechanism = options.get("config", Mechanism::EXPECTED)?.unwrap_or(Mechanism::Auto);
        let window = |key| Ok(options.get(key, Range::EXPECTED)?.map(|Range(window)| window));
        let windows = Windows { mem32: window("mem32")?, mem64: window("mem64")? };
        Ok(Self { mechanism, windows: (windows != Windows::default()).then_some(windows) })
    }

    /// Where BARs may be placed: nowhere but in bridges' own windows, if the command line says nothing.
    pub fn windows(&self) -> Windows {
        self.windows.unwrap_or_default()
    }

    /// Opens configuration space.
    ///
    /// # Safety
    /// As for [`Mechanism::open`].
    pub unsafe fn open(&self, rsdp: Option<u64>, mapper: &mut impl Mapper) -> Result<Access, AccessError> {
        // SAFETY: the caller's promise.
        unsafe { self.mechanism.open(rsdp, mapper) }
    }

    /// Places what firmware left: numbers for buses, and addresses for the BARs of ivshmem devices, if the command line gave windows.
    ///
    /// The largest are placed first. What cannot be placed is told, and the rest is placed all the same: whoever opens such a device is told so once more.
    pub fn place(&self, access: &dyn ConfigAccess, mut failed: impl FnMut(AssignError)) {
        let Some(windows) = &self.windows else { return };
        for buses in (0..).map_while(|range| access.buses(range)) {
            for root in pci::root_buses(access, buses) {
                pci::number_buses(access, root).map_or_else(&mut failed, drop);
            }
        }
        let mut devices = heapless::Vec::<(u64, Address), MOST_DEVICES>::new();
        for Function { address, .. } in pci::functions(access).filter(device::is_ivshmem) {
            let size = pci::size_bar(access, address, 2).unwrap_or(0);
            // The largest first: a window that a bridge gets for a small one may be too small for those that come later.
            let place = devices.iter().take_while(|(before, _)| *before >= size).count();
            let _ = devices.insert(place, (size, address));
        }
        for (_, address) in devices {
            match pci::assign(access, address, windows) {
                Ok(_) => {
                    // As firmware leaves it: QEMU tells of no BAR that is not decoded.
                    let header = Header::new(access, address);
                    header.set_command(header.command() | Command::MEMORY);
                }
                Err(error) => failed(error),
            }
        }
    }
}

/// What `mem32=` and `mem64=` take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range(Window);

impl Range {
    const EXPECTED: &'static str = "FIRST-LAST, hexadecimal addresses";
}

/// Not two addresses in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NoRange;

impl FromStr for Range {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let addresses = halves(text, b'-').and_then(|(base, limit)| Some((hexadecimal(base)?, hexadecimal(limit)?)));
        match addresses {
            Some((base, limit)) if base <= limit => Ok(Self(Window { base, limit })),
            _ => Err(NoRange),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["config", "mem32", "mem64"];

    fn windows(line: &str) -> Option<Windows> {
        Configuration::asked(&Options::parse(line, KNOWN).unwrap()).unwrap().windows
    }

    #[test]
    fn nothing_is_placed_unless_a_window_is_given() {
        assert_eq!(windows("config=port-io"), None);
        let mem32 = Some(Window { base: 0xC000_0000, limit: 0xDFFF_FFFF });
        assert_eq!(windows("mem32=0xC0000000-0xDFFFFFFF"), Some(Windows { mem32, mem64: None }));
        let mem64 = Some(Window { base: 0xE0_0000_0000, limit: 0xFF_FFFF_FFFF });
        assert_eq!(windows("mem64=e000000000-ffffffffff mem32=c0000000-dfffffff"), Some(Windows { mem32, mem64 }));
    }

    #[test]
    fn a_window_is_two_ascending_addresses() {
        for text in ["", "-", "1", "1-", "-1", "2-1", "x-y", "1-2-3", "0x-1"] {
            assert_eq!(text.parse::<Range>(), Err(NoRange), "{text}");
        }
        assert_eq!("1000-1000".parse(), Ok(Range(Window { base: 0x1000, limit: 0x1000 })));
    }
}
