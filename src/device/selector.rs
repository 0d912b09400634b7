//! Which of several devices is meant.

use crate::pci::Address;
use core::fmt;
use core::str::FromStr;

/// Which device to open. Parsed and shown as text, so that an image takes it from its command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Selector {
    /// The one at this address: `0000:00:03.0`.
    Address(Address),
    /// The n-th in ascending address order, from 0: `2`.
    Nth(usize),
    /// The first whose memory has this many bytes: `size:1048576`.
    Size(u64),
    /// The first with this Subsystem ID, which is the region's id on ACRN from v3.3: `subsystem:0x1000`.
    Subsystem(u16),
}

impl Default for Selector {
    fn default() -> Self {
        Self::Nth(0)
    }
}

/// Text that is no selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SelectorError;

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device is selected by ssss:bb:dd.f, a number from 0, size:BYTES or subsystem:ID")
    }
}

impl core::error::Error for SelectorError {}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Nth(n) => write!(f, "{n}"),
            Self::Size(bytes) => write!(f, "size:{bytes}"),
            Self::Subsystem(id) => write!(f, "subsystem:{id:#06x}"),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    /// Numbers are decimal, or hexadecimal after `0x`.
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if let Some(size) = text.strip_prefix("size:") {
            return number(size).map(Self::Size);
        }
        if let Some(id) = text.strip_prefix("subsystem:") {
            return u16::try_from(number(id)?).map(Self::Subsystem).map_err(|_| SelectorError);
        }
        if text.bytes().any(|byte| byte == b'.') {
            return text.parse().map(Self::Address).map_err(|_| SelectorError);
        }
        usize::try_from(number(text)?).map(Self::Nth).map_err(|_| SelectorError)
    }
}

fn number(text: &str) -> Result<u64, SelectorError> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // `from_str_radix` alone would take a sign.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(SelectorError);
    }
    u64::from_str_radix(digits, radix).map_err(|_| SelectorError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn shows_and_parses_the_same_text() {
        let address = Address::new(0, 0x81, 3, 0).unwrap();
        for (selector, text) in [
            (Selector::Address(address), "0000:81:03.0"),
            (Selector::Nth(2), "2"),
            (Selector::Size(1 << 20), "size:1048576"),
            (Selector::Subsystem(0x1000), "subsystem:0x1000"),
        ] {
            assert_eq!(selector.to_string(), text);
            assert_eq!(text.parse(), Ok(selector));
        }
        assert_eq!("size:0x100000".parse(), Ok(Selector::Size(1 << 20)));
        assert_eq!("81:03.0".parse(), Ok(Selector::Address(address)));
    }

    #[test]
    fn refuses_what_is_no_selector() {
        let texts =
            ["", "-1", "+1", "size:", "size:+1", "size:1k", "subsystem:65536", "subsystem:0x", "0x", "00:20.0", "x"];
        for text in texts {
            assert_eq!(text.parse::<Selector>(), Err(SelectorError), "{text}");
        }
        let text = "a device is selected by ssss:bb:dd.f, a number from 0, size:BYTES or subsystem:ID";
        assert_eq!(SelectorError.to_string(), text);
    }
}
