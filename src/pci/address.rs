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

/// Hexadecimal digits between two separators.
#[derive(Clone, Copy, Default)]
struct Field {
    value: u16,
    digits: u32,
}

impl Field {
    fn push(&mut self, byte: u8) -> Result<(), AddressError> {
        let digit = char::from(byte).to_digit(16).ok_or(AddressError::Format)?;
        self.value = self.value << 4 | digit as u16;
        self.digits = self.digits.saturating_add(1);
        Ok(())
    }

    /// The number, if it has one to `most` digits, 4 or fewer.
    fn number(self, most: u32) -> Result<u16, AddressError> {
        match (1..=most).contains(&self.digits) {
            true => Ok(self.value),
            false => Err(AddressError::Format),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // One pass over the bytes: the standard library's searches from behind link more into an image than all of this.
        let mut fields = [Field::default(); 4];
        let (mut last, mut dotted) = (0usize, false);
        for byte in text.bytes() {
            match byte {
                b':' | b'.' if !dotted => {
                    dotted = byte == b'.';
                    last = last.saturating_add(1);
                }
                _ => fields.get_mut(last).ok_or(AddressError::Format)?.push(byte)?,
            }
        }
        let (segment, bus, device, function) = match (dotted, last, fields) {
            (true, 2, [bus, device, function, _]) => (0, bus, device, function),
            (true, 3, [segment, bus, device, function]) => (segment.number(4)?, bus, device, function),
            _ => return Err(AddressError::Format),
        };
        let byte = |field: Field| field.number(2).map(|number| number as u8);
        Self::new(segment, byte(bus)?, byte(device)?, byte(function)?)
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
