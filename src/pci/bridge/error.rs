//! What can be wrong with programming a bridge.

use super::Window;
use core::fmt;

/// Why a bridge was not programmed, or not as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BridgeError {
    /// No window that the registers can hold: it begins at 0, does not consist of whole MiB, or ends too high. Nothing was written.
    Unfit(Window),
    /// The bridge has no prefetchable window. Nothing was written.
    NoPrefetchable,
    /// A register did not take what was written.
    NotTaken {
        /// The register's offset.
        offset: u16,
        /// What was written.
        written: u32,
        /// What it then read as.
        found: u32,
    },
    /// A window did not take what was written.
    WindowNotTaken {
        /// What was written.
        written: Window,
        /// What it then was.
        found: Option<Window>,
    },
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(window) => write!(f, "{window} is no window that the bridge could have"),
            Self::NoPrefetchable => f.write_str("the bridge has no prefetchable window"),
            Self::NotTaken { offset, written, found } => {
                write!(f, "the register at {offset:#x} took {found:#010x} instead of {written:#010x}")
            }
            Self::WindowNotTaken { written, found: Some(found) } => {
                write!(f, "the window is {found} instead of {written}")
            }
            Self::WindowNotTaken { written, found: None } => write!(f, "the window is closed instead of {written}"),
        }
    }
}

impl core::error::Error for BridgeError {}

#[cfg(test)]
mod tests {
    use super::BridgeError::*;
    use super::*;
    use std::string::ToString;

    #[test]
    fn each_error_says_the_window_or_the_register() {
        let window = |base| Window { base, limit: 0xFFFF_FFFF };
        for (error, text) in [
            (Unfit(window(0)), "0x0-0xffffffff is no window that the bridge could have"),
            (NoPrefetchable, "the bridge has no prefetchable window"),
            (
                NotTaken { offset: 0x18, written: 0x10100, found: 0 },
                "the register at 0x18 took 0x00000000 instead of 0x00010100",
            ),
            (
                WindowNotTaken { written: window(0xC000_0000), found: Some(window(0x8000_0000)) },
                "the window is 0x80000000-0xffffffff instead of 0xc0000000-0xffffffff",
            ),
            (
                WindowNotTaken { written: window(0xC000_0000), found: None },
                "the window is closed instead of 0xc0000000-0xffffffff",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
