//! Queuing channels of values.

use super::error::{TypedError, WrongSize};
use crate::channel::error::{RecvError, SendError};
use crate::channel::notice::Notice;
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::memory::Memory;
use crate::notify::{Event, Wait};
use core::marker::PhantomData;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Sends values of type `T`.
#[derive(Debug)]
pub struct TypedSender<'a, M, T> {
    sender: Sender<'a, M>,
    values: PhantomData<fn(T)>,
}

impl<'a, M: Memory, T: IntoBytes + Immutable> TypedSender<'a, M, T> {
    /// Of a channel whose `max_len` is the size of `T`.
    pub fn new(sender: Sender<'a, M>) -> Result<Self, WrongSize> {
        WrongSize::check::<T>(sender.max_len())?;
        Ok(Self { sender, values: PhantomData })
    }

    /// Sends a value: as [`Sender::try_send`].
    pub fn try_send(&mut self, value: T) -> Result<Notice, SendError> {
        self.sender.try_send(value.as_bytes())
    }

    /// Sends a value, waiting for room and for the link: as [`Sender::send_async`].
    pub async fn send_async<E: Event + ?Sized>(&mut self, event: &E, value: T) -> Result<Notice, SendError> {
        self.sender.send_async(event, value.as_bytes()).await
    }

    /// The channel's sender, for everything that concerns no value.
    pub const fn sender(&mut self) -> &mut Sender<'a, M> {
        &mut self.sender
    }
}

/// Receives values of type `T`.
#[derive(Debug)]
pub struct TypedReceiver<'a, M, T> {
    receiver: Receiver<'a, M>,
    values: PhantomData<fn() -> T>,
}

impl<'a, M: Memory, T: FromBytes + IntoBytes> TypedReceiver<'a, M, T> {
    /// Of a channel whose `max_len` is the size of `T`.
    pub fn new(receiver: Receiver<'a, M>) -> Result<Self, WrongSize> {
        WrongSize::check::<T>(receiver.max_len())?;
        Ok(Self { receiver, values: PhantomData })
    }

    /// Receives the next value, if there is one: as [`Receiver::try_recv`].
    pub fn try_recv(&mut self) -> Result<Option<T>, TypedError<RecvError>> {
        let mut value = T::new_zeroed();
        let len = self.receiver.try_recv(value.as_mut_bytes())?.map(<[u8]>::len);
        whole(value, len)
    }

    /// Receives the next value, waiting for it within bounds if need be: as [`Receiver::recv`].
    pub fn recv<W: Wait>(&mut self, wait: &W, spin: u32) -> Result<Option<T>, TypedError<RecvError>> {
        let mut value = T::new_zeroed();
        let len = self.receiver.recv(value.as_mut_bytes(), wait, spin)?.map(<[u8]>::len);
        whole(value, len)
    }

    /// Receives the next value, waiting for it: as [`Receiver::recv_async`].
    pub async fn recv_async<E: Event + ?Sized>(&mut self, event: &E) -> Result<T, TypedError<RecvError>> {
        let mut value = T::new_zeroed();
        let len = self.receiver.recv_async(event, value.as_mut_bytes()).await?.len();
        match WrongSize::of::<T>(len) {
            Some(wrong) => Err(TypedError::Size(wrong)),
            None => Ok(value),
        }
    }

    /// The channel's receiver, for everything that concerns no value.
    pub const fn receiver(&mut self) -> &mut Receiver<'a, M> {
        &mut self.receiver
    }
}

/// The value, if a message of its size brought it.
fn whole<T, E>(value: T, len: Option<usize>) -> Result<Option<T>, TypedError<E>> {
    match len.map(WrongSize::of::<T>) {
        None => Ok(None),
        Some(None) => Ok(Some(value)),
        Some(Some(wrong)) => Err(TypedError::Size(wrong)),
    }
}
