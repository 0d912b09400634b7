//! The command line: `key=value` words, each key known to the image and given once.

use core::fmt;
use core::str::{FromStr, SplitAsciiWhitespace};
use ivshmem::channel::End;

/// The words of a command line, checked.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    line: &'a str,
}

/// A command line that the image does not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionError<'a> {
    /// A word that is not `key=value`.
    NotAnOption {
        /// The word.
        word: &'a str,
    },
    /// A key that this image has no use for.
    UnknownOption {
        /// The key.
        key: &'a str,
        /// The keys there are.
        known: &'static [&'static str],
    },
    /// A key given twice.
    RepeatedOption {
        /// The key.
        key: &'a str,
    },
    /// A value that the key cannot have.
    InvalidValue {
        /// The key.
        key: &'a str,
        /// What was given.
        value: &'a str,
        /// What can be given.
        expected: &'static str,
    },
}

impl fmt::Display for OptionError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnOption { word } => write!(f, "`{word}` is not of the form key=value"),
            Self::UnknownOption { key, known } => {
                write!(f, "`{key}` is not an option of this image; known:")?;
                known.iter().try_for_each(|key| write!(f, " {key}"))
            }
            Self::RepeatedOption { key } => write!(f, "`{key}` is given more than once"),
            Self::InvalidValue { key, value, expected } => {
                write!(f, "`{value}` is not a value of `{key}`; expected {expected}")
            }
        }
    }
}

impl core::error::Error for OptionError<'_> {}

impl<'a> Options<'a> {
    /// Takes a command line whose keys are all among `known`.
    pub fn parse(line: &'a str, known: &'static [&'static str]) -> Result<Self, OptionError<'a>> {
        let mut words = line.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let (key, _) = halves(word, b'=').ok_or(OptionError::NotAnOption { word })?;
            if !known.contains(&key) {
                return Err(OptionError::UnknownOption { key, known });
            }
            if find(words.clone(), key).is_some() {
                return Err(OptionError::RepeatedOption { key });
            }
        }
        Ok(Self { line })
    }

    /// The value of `key`, if it is given; `expected` tells a user what can be given.
    pub fn get<T: FromStr>(&self, key: &'a str, expected: &'static str) -> Result<Option<T>, OptionError<'a>> {
        let Some(value) = find(self.line.split_ascii_whitespace(), key) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| OptionError::InvalidValue { key, value, expected })
    }
}

/// What stands before the first such byte, and behind it. By hand: the standard library's search links ten times as much into an image.
pub fn halves(word: &str, separator: u8) -> Option<(&str, &str)> {
    let at = word.bytes().position(|byte| byte == separator)?;
    Some((word.get(..at)?, word.get(at + 1..)?))
}

/// A hexadecimal number, with or without `0x`.
pub fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

// Not inlined: it is called for each key, and the size of an image is a promise.
#[inline(never)]
fn find<'a>(words: SplitAsciiWhitespace<'a>, key: &str) -> Option<&'a str> {
    words.filter_map(|word| halves(word, b'=')).find(|(found, _)| *found == key).map(|(_, value)| value)
}

/// What no text is: the value of an option that an image was built without.
#[cfg(not(feature = "any-machine"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {}

#[cfg(not(feature = "any-machine"))]
impl FromStr for Nothing {
    type Err = ();

    fn from_str(_: &str) -> Result<Self, ()> {
        Err(())
    }
}

/// How an image learns of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It looks, all the time or once a cycle.
    Polled,
    /// It sleeps until a doorbell rings.
    Interrupt,
}

impl Mode {
    /// What `mode=` takes.
    pub const EXPECTED: &'static str = "polled or interrupt";
}

/// What an option that is on or off takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YesNo(pub bool);

impl YesNo {
    /// What such an option takes.
    pub const EXPECTED: &'static str = "yes or no";
}

/// Neither `yes` nor `no`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAnswer;

impl FromStr for YesNo {
    type Err = UnknownAnswer;

    fn from_str(text: &str) -> Result<Self, UnknownAnswer> {
        match text {
            "yes" => Ok(Self(true)),
            "no" => Ok(Self(false)),
            _ => Err(UnknownAnswer),
        }
    }
}

/// Neither `polled` nor `interrupt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMode;

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "polled" => Ok(Self::Polled),
            "interrupt" => Ok(Self::Interrupt),
            _ => Err(UnknownMode),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Polled => "polled",
            Self::Interrupt => "interrupt",
        })
    }
}

/// How many mailboxes an image serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows(pub usize);

impl Windows {
    /// What `windows=` takes.
    pub const EXPECTED: &'static str = "1 or 2";
}

/// Neither `1` nor `2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCount;

impl FromStr for Windows {
    type Err = UnknownCount;

    fn from_str(text: &str) -> Result<Self, UnknownCount> {
        match text {
            "1" => Ok(Self(1)),
            "2" => Ok(Self(2)),
            _ => Err(UnknownCount),
        }
    }
}

/// Which end of a mailbox an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side(pub End);

impl Side {
    /// What `end=` takes.
    pub const EXPECTED: &'static str = "first or second";
}

/// Neither `first` nor `second`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSide;

impl FromStr for Side {
    type Err = UnknownSide;

    fn from_str(text: &str) -> Result<Self, UnknownSide> {
        match text {
            "first" => Ok(Self(End::First)),
            "second" => Ok(Self(End::Second)),
            _ => Err(UnknownSide),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const KNOWN: &[&str] = &["mode", "count"];

    #[test]
    fn an_option_left_out_has_no_value() {
        let options = Options::parse("  ", KNOWN).unwrap();
        assert_eq!(options.get::<u32>("count", "a number"), Ok(None));
    }

    #[test]
    fn an_option_has_the_value_given() {
        let options = Options::parse("mode=interrupt  count=12", KNOWN).unwrap();
        assert_eq!(options.get("mode", Mode::EXPECTED), Ok(Some(Mode::Interrupt)));
        assert_eq!(options.get("count", "a number"), Ok(Some(12)));
    }

    #[test]
    fn an_image_serves_one_mailbox_or_two_and_not_none() {
        for (text, expected) in [("1", Ok(Windows(1))), ("2", Ok(Windows(2)))] {
            assert_eq!(text.parse(), expected);
        }
        for text in ["0", "3", ""] {
            assert_eq!(text.parse::<Windows>(), Err(UnknownCount), "{text}");
        }
    }

    #[test]
    fn a_value_may_contain_an_equals_sign() {
        assert_eq!(Options::parse("mode=a=b", KNOWN).unwrap().get("mode", ""), Ok(Some("a=b".to_string())));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        assert_eq!(Options::parse("quiet", KNOWN).unwrap_err(), OptionError::NotAnOption { word: "quiet" });
        let unknown = Options::parse("count=1 moed=polled", KNOWN).unwrap_err();
        assert_eq!(unknown, OptionError::UnknownOption { key: "moed", known: KNOWN });
        assert_eq!(unknown.to_string(), "`moed` is not an option of this image; known: mode count");
        let repeated = Options::parse("count=1 mode=polled count=1", KNOWN).unwrap_err();
        assert_eq!(repeated, OptionError::RepeatedOption { key: "count" });
        let options = Options::parse("mode=Polled", KNOWN).unwrap();
        assert_eq!(
            options.get::<Mode>("mode", Mode::EXPECTED).unwrap_err().to_string(),
            "`Polled` is not a value of `mode`; expected polled or interrupt"
        );
    }
}
