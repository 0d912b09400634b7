//! Sampling channels of values.

use super::error::{TypedError, WrongSize};
use crate::channel::notice::Notice;
use crate::channel::sampling::{Age, ReadError, Reader, Sample, Validity, WriteError, Writer};
use crate::memory::Memory;
use core::marker::PhantomData;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Writes values of type `T`.
#[derive(Debug)]
pub struct TypedWriter<'a, M, T> {
    writer: Writer<'a, M>,
    values: PhantomData<fn(T)>,
}

impl<'a, M: Memory, T: IntoBytes + Immutable> TypedWriter<'a, M, T> {
    /// Of a channel whose `max_len` is the size of `T`.
    pub fn new(writer: Writer<'a, M>) -> Result<Self, WrongSize> {
        WrongSize::check::<T>(writer.max_len())?;
        Ok(Self { writer, values: PhantomData })
    }

    /// Replaces the value: as [`Writer::write`].
    pub fn write(&mut self, value: T) -> Result<Notice, WriteError> {
        self.writer.write(value.as_bytes())
    }

    /// The channel's writer, for everything that concerns no value.
    pub const fn writer(&mut self) -> &mut Writer<'a, M> {
        &mut self.writer
    }
}

/// A value, and how old it is: as [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TypedSample<T> {
    /// The value.
    pub value: T,
    /// Whether the value is within the refresh period.
    pub validity: Validity,
    /// How old it is.
    pub age: Age,
    /// Whether this reader has not seen it before.
    pub fresh: bool,
    /// Values overwritten since the one that this reader saw before it, 0 for the first in a session.
    pub missed: u32,
}

/// Reads values of type `T`.
#[derive(Debug)]
pub struct TypedReader<'a, M, T> {
    reader: Reader<'a, M>,
    values: PhantomData<fn() -> T>,
}

impl<'a, M: Memory, T: FromBytes + IntoBytes> TypedReader<'a, M, T> {
    /// Of a channel whose `max_len` is the size of `T`.
    pub fn new(reader: Reader<'a, M>) -> Result<Self, WrongSize> {
        WrongSize::check::<T>(reader.max_len())?;
        Ok(Self { reader, values: PhantomData })
    }

    /// Reads the latest value: one try, as [`Reader::try_read`].
    pub fn try_read(&mut self, now: u64) -> Result<TypedSample<T>, TypedError<ReadError>> {
        sample(|bytes, reader| reader.try_read(bytes, now), &mut self.reader)
    }

    /// Reads the latest value: 3 tries, as [`Reader::read`].
    pub fn read(&mut self, now: u64) -> Result<TypedSample<T>, TypedError<ReadError>> {
        sample(|bytes, reader| reader.read(bytes, now), &mut self.reader)
    }

    /// The channel's reader, for everything that concerns no value.
    pub const fn reader(&mut self) -> &mut Reader<'a, M> {
        &mut self.reader
    }
}

fn sample<R, T: FromBytes + IntoBytes>(
    read: impl for<'b> FnOnce(&'b mut [u8], &mut R) -> Result<Sample<'b>, ReadError>,
    reader: &mut R,
) -> Result<TypedSample<T>, TypedError<ReadError>> {
    let mut value = T::new_zeroed();
    let Sample { bytes, validity, age, fresh, missed } = read(value.as_mut_bytes(), reader)?;
    match WrongSize::of::<T>(bytes.len()) {
        Some(wrong) => Err(TypedError::Size(wrong)),
        None => Ok(TypedSample { value, validity, age, fresh, missed }),
    }
}
