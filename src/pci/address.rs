//! Where a function sits: segment, bus, device, function.

use core::fmt;
use core::str::FromStr;

/// The address of a PCI function, ordered as enumeration meets them.
///
/// Shown, and parsed, as `ssss:bb:dd.f` in hexadecimal; the segment may be left out when parsing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    segment: u16,
    bus: u8,
    device: u8,
    function: u8,
}

/// Not the address of a PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AddressError {
    /// A device number above 31.
    Device(u8),
    /// A function number above 7.
    Function(u8),
    /// Text that is not of the form `ssss:bb:dd.f` or `bb:dd.f`.
    Format,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "PCI device number {device} is above 31"),
            Self::Function(function) => write!(f, "PCI function number {function} is above 7"),
            Self::Format => f.write_str("a PCI address has the form ssss:bb:dd.f or bb:dd.f, in hexadecimal"),
        }
    }
}

impl core::error::Error for AddressError {}

impl Address {
    /// The address of a function; `device` is 0 to 31, `function` 0 to 7.
    pub const fn new(segment: u16, bus: u8, device: u8, function: u8) -> Result<Self, AddressError> {
        if device > 31 {
            return Err(AddressError::Device(device));
        }
        if function > 7 {
            return Err(AddressError::Function(function));
        }
        Ok(Self { segment, bus, device, function })
    }

    /// PCI segment group (ACPI `_SEG`), 0 where there is only one.
    pub const fn segment(self) -> u16 {
        self.segment
    }

    /// Bus number.
    pub const fn bus(self) -> u8 {
        self.bus
    }

    /// Device number, 0 to 31.
    pub const fn device(self) -> u8 {
        self.device
    }

    /// Function number, 0 to 7.
    pub const fn function(self) -> u8 {
        self.function
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.segment, self.bus, self.device, self.function)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Address {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u16:04x}:{=u8:02x}:{=u8:02x}.{=u8}", self.segment, self.bus, self.device, self.function);
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (front, function) = text.rsplit_once('.').ok_or(AddressError::Format)?;
        let (front, device) = front.rsplit_once(':').ok_or(AddressError::Format)?;
        let (segment, bus) = front.rsplit_once(':').unwrap_or(("0", front));
        let number = |digits: &str, most: usize| {
            let ok = (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            if ok {
                u16::from_str_radix(digits, 16).map_err(|_| AddressError::Format)
            } else {
                Err(AddressError::Format)
            }
        };
        let byte = |digits: &str| number(digits, 2).and_then(|n| u8::try_from(n).map_err(|_| AddressError::Format));
        Self::new(number(segment, 4)?, byte(bus)?, byte(device)?, byte(function)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn shows_and_parses_the_same_text() {
        let address = Address::new(0xa, 0x81, 31, 7).unwrap();
        assert_eq!(address.to_string(), "000a:81:1f.7");
        assert_eq!("000a:81:1f.7".parse(), Ok(address));
        assert_eq!("81:1f.7".parse(), Address::new(0, 0x81, 31, 7));
    }

    #[test]
    fn each_error_says_the_number_or_the_form() {
        for (error, text) in [
            (AddressError::Device(32), "PCI device number 32 is above 31"),
            (AddressError::Function(8), "PCI function number 8 is above 7"),
            (AddressError::Format, "a PCI address has the form ssss:bb:dd.f or bb:dd.f, in hexadecimal"),
        ] {
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(std::format!("{:?}", Address::new(1, 2, 3, 4).unwrap()), "0001:02:03.4");
    }

    #[test]
    fn refuses_what_is_not_an_address() {
        assert_eq!("0000:00:20.0".parse::<Address>(), Err(AddressError::Device(32)));
        assert_eq!("0000:00:1f.8".parse::<Address>(), Err(AddressError::Function(8)));
        for text in ["", "1", "1.0", ":1.0", "0:0:0:1.0", "0000:+1:02.0", "0000:00:02", "00000:00:02.0"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Format), "{text}");
        }
    }
}
