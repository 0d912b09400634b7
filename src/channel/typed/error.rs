//! What can go wrong with a value.

use core::fmt;

/// So many bytes are not a value's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WrongSize {
    /// Bytes of the message or, as the most of them, of the channel.
    pub found: usize,
    /// Bytes of a value.
    pub need: usize,
}

impl WrongSize {
    /// Whether a channel of at most `max_len` bytes is one of `T`s.
    pub(super) const fn check<T>(max_len: u16) -> Result<(), Self> {
        match Self::of::<T>(max_len as usize) {
            Some(wrong) => Err(wrong),
            None => Ok(()),
        }
    }

    /// Whether `found` bytes are not a `T`.
    pub(super) const fn of<T>(found: usize) -> Option<Self> {
        let need = size_of::<T>();
        if found == need { None } else { Some(Self { found, need }) }
    }
}

impl fmt::Display for WrongSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes for a value of {}", self.found, self.need)
    }
}

impl core::error::Error for WrongSize {}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TypedError<E> {
    /// What came is no value: it was shorter. In a queuing channel it is dropped.
    Size(WrongSize),
    /// The channel's half says so.
    Channel(E),
}

impl<E: fmt::Display> fmt::Display for TypedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(error) => write!(f, "{error}"),
            Self::Channel(error) => write!(f, "{error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for TypedError<E> {}

impl<E> From<E> for TypedError<E> {
    fn from(error: E) -> Self {
        Self::Channel(error)
    }
}
