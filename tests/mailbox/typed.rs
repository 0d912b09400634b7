//! Channels of values: what goes in comes out, and what is no value is said to be none.

use super::connect;
use ivshmem::channel::typed::*;
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::notify::{Event, Wait};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes};

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Value {
    number: U64,
    kind: U16,
    bytes: [u8; 3],
}

impl Value {
    fn new(number: u64) -> Self {
        Self { number: number.into(), kind: (number as u16 ^ 0x1234).into(), bytes: [number as u8, 2, 3] }
    }
}

const CHANNELS: [Channel; 2] = [Channel::queuing(End::Second, 4, 13), Channel::sampling(End::Second, 13)];

#[test]
fn values_come_out_as_they_went_in() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    connect(&mut la, &mut lb);
    let mut receiver = TypedReceiver::<_, Value>::new(ca.receiver(0).unwrap()).unwrap();
    let mut reader = TypedReader::<_, Value>::new(ca.reader(1).unwrap()).unwrap();
    let mut sender = TypedSender::new(cb.sender(0).unwrap()).unwrap();
    let mut writer = TypedWriter::new(cb.writer(1).unwrap()).unwrap();
    assert_eq!(receiver.try_recv(), Ok(None));
    assert_eq!(reader.read(0), Err(TypedError::Channel(ReadError::Empty)));
    for number in 0..100 {
        sender.try_send(Value::new(number)).unwrap().ignore();
        writer.write(Value::new(number * 2)).unwrap().ignore();
        writer.write(Value::new(number * 3)).unwrap().ignore();
        assert_eq!(receiver.try_recv(), Ok(Some(Value::new(number))));
        let sample = reader.try_read(number).unwrap();
        assert_eq!((sample.value, sample.fresh), (Value::new(number * 3), true));
        assert_eq!(sample.missed, u32::from(number > 0));
        assert!(!reader.read(number).unwrap().fresh);
    }
    assert_eq!((sender.sender().stats().sent, receiver.receiver().stats().received), (100, 100));
    assert_eq!((writer.writer().stats().written, reader.reader().stats().fresh), (200, 100));
    // The wire carries the value's bytes, whichever the machine's order.
    sender.try_send(Value::new(0x0102_0304_0506_0708)).unwrap().ignore();
    let mut plain = [0; 13];
    assert_eq!(receiver.receiver().try_recv(&mut plain).unwrap().unwrap()[..8], [8, 7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn a_channel_of_another_size_is_refused_with_both_sizes() {
    let (first, _) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::Second, &CHANNELS).unwrap();
    let wrong = |need| Some(WrongSize { found: 13, need });
    let (_, mut channels) = a.attach(Attach::polled());
    assert_eq!(TypedSender::<_, [u8; 12]>::new(channels.sender(0).unwrap()).err(), wrong(12));
    assert_eq!(TypedWriter::<_, [u8; 14]>::new(channels.writer(1).unwrap()).err(), wrong(14));
    let (first, _) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let (_, mut channels) = a.attach(Attach::polled());
    assert_eq!(TypedReceiver::<_, U64>::new(channels.receiver(0).unwrap()).err(), wrong(8));
    assert_eq!(TypedReader::<_, ()>::new(channels.reader(1).unwrap()).err(), wrong(0));
}

#[test]
fn a_message_that_is_no_value_is_dropped_and_said_to_be_none() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    connect(&mut la, &mut lb);
    let mut receiver = TypedReceiver::<_, Value>::new(ca.receiver(0).unwrap()).unwrap();
    let mut reader = TypedReader::<_, Value>::new(ca.reader(1).unwrap()).unwrap();
    let (mut sender, mut writer) = (cb.sender(0).unwrap(), cb.writer(1).unwrap());
    for len in [0, 1, 12] {
        sender.try_send(&[1; 13][..len]).unwrap().ignore();
        sender.try_send(&[2; 13]).unwrap().ignore();
        writer.write(&[3; 13][..len]).unwrap().ignore();
        let wrong = WrongSize { found: len, need: 13 };
        assert_eq!(receiver.try_recv(), Err(TypedError::Size(wrong)));
        assert_eq!(receiver.try_recv(), Ok(Some(Value::read_from_bytes(&[2; 13]).unwrap())));
        assert_eq!(reader.read(0), Err(TypedError::Size(wrong)));
    }
    writer.write(&[4; 13]).unwrap().ignore();
    assert_eq!(reader.read(0).map(|sample| sample.value), Ok(Value::read_from_bytes(&[4; 13]).unwrap()));
}

struct Never;

impl Wait for Never {
    fn count(&self) -> u32 {
        0
    }

    fn wait(&self, _: u32) -> bool {
        false
    }
}

impl Event for Never {
    fn count(&self) -> u32 {
        0
    }

    fn register(&self, _: &Waker) {}
}

#[test]
fn values_are_waited_for_like_messages() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let mut receiver = TypedReceiver::<_, Value>::new(ca.receiver(0).unwrap()).unwrap();
    let mut sender = TypedSender::new(cb.sender(0).unwrap()).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut receive = pin!(receiver.recv_async(&Never));
        let mut send = pin!(sender.send_async(&Never, Value::new(1)));
        assert!(receive.as_mut().poll(&mut cx).is_pending() && send.as_mut().poll(&mut cx).is_pending());
        connect(&mut la, &mut lb);
        assert!(matches!(send.poll(&mut cx), Poll::Ready(Ok(_))));
        assert_eq!(receive.poll(&mut cx), Poll::Ready(Ok(Value::new(1))));
    }
    assert_eq!(receiver.recv(&Never, 1), Ok(None));
    sender.try_send(Value::new(2)).unwrap().ignore();
    assert_eq!(receiver.recv(&Never, 1), Ok(Some(Value::new(2))));
    sender.sender().try_send(b"short").unwrap().ignore();
    let wrong = TypedError::Size(WrongSize { found: 5, need: 13 });
    assert_eq!(pin!(receiver.recv_async(&Never)).poll(&mut cx), Poll::Ready(Err(wrong)));
}

#[test]
fn an_error_says_both_sizes_or_what_the_channel_says() {
    let size = WrongSize { found: 7, need: 8 };
    assert_eq!(size.to_string(), "7 bytes for a value of 8");
    assert_eq!(TypedError::<RecvError>::Size(size).to_string(), size.to_string());
    assert_eq!(TypedError::from(RecvError::NotUp).to_string(), RecvError::NotUp.to_string());
}
