//! Tasks on protected channels.

use super::super::connect;
use super::bounded::Steps;
use super::{Bell, Wakes};
use ivshmem::channel::protection::*;
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use std::pin::pin;
use std::task::{Context, Poll};

/// Head and 32 bytes.
const CHANNELS: [Channel; 2] =
    [Channel::queuing(End::Second, 4, 56).protected(1), Channel::sampling(End::Second, 56).protected(2).vector(1)];
const EXPECTED: Expected =
    Expected { source: 7, max_lost: 1, validity: 100, window: Window { last: 4, enough: 2, tolerated: 1 } };

#[test]
fn protected_messages_and_values_wake_who_waits_for_them_and_arrive_checked() {
    let (first, second) = loop_back(1 << 14).unwrap();
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let mut receiver = ca.protected_receiver(0, EXPECTED, 0).unwrap();
    let mut reader = ca.protected_reader(1, EXPECTED).unwrap();
    let (mut sender, mut writer) = (cb.protected_sender(0, 7).unwrap(), cb.protected_writer(1, 7).unwrap());
    let ([messages, values], tick) = ([Bell::default(), Bell::default()], Bell::default());
    let wakes = Wakes::new();
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    let mut buffer = [0; 32];

    assert!(sender.poll_send(&mut cx, &&tick, b"early").is_pending(), "no link");
    assert!(receiver.poll_recv(&mut cx, &&messages, 0, &mut buffer).is_pending());
    connect(&mut la, &mut lb);
    assert!(reader.poll_changed(&mut cx, &&values).is_pending());
    for number in 1..4u8 {
        let now = u64::from(number);
        assert!(receiver.poll_recv(&mut cx, &&messages, now, &mut buffer).is_pending());
        wakes.take();
        let Poll::Ready(Ok(notice)) = sender.poll_send(&mut cx, &&tick, &[number]) else { panic!("there is room") };
        assert_eq!((notice.ring(&messages), wakes.take()), (Ok(true), 1));
        let event = &messages;
        let received = pin!(receiver.recv_async(&event, || now + 1, &mut buffer)).poll(&mut cx);
        let Poll::Ready(Ok(checked)) = received else { panic!("{received:?}") };
        assert_eq!((checked.bytes, checked.status, checked.age), (&[number][..], Status::Ok, 1));

        let event = &values;
        assert!(pin!(reader.changed(&event)).poll(&mut cx).is_pending());
        assert_eq!((writer.write(&[number]).unwrap().ring(&values), wakes.take()), (Ok(true), 1));
        assert!(reader.poll_changed(&mut cx, &&values).is_ready());
        assert_eq!(reader.read(&mut buffer, now).unwrap().bytes, [number]);
    }

    // Bounded waits: so many looks, and no more.
    let mut steps = Steps { steps: Vec::new(), act: |_| () };
    assert_eq!(receiver.recv_within(&mut steps, 10, 50, || 5, &mut buffer), Ok(None));
    assert!(!reader.changed_within(&mut steps, 10, 50));
    for _ in 0..4 {
        assert!(sender.send_within(&mut steps, 10, 50, b"x").is_ok());
    }
    assert_eq!(sender.send_within(&mut steps, 10, 50, b"x"), Err(SendError::Full));
    let event = &tick;
    assert!(pin!(sender.send_async(&event, b"x")).poll(&mut cx).is_pending());
    assert!(matches!(receiver.recv_within(&mut steps, 10, 50, || 6, &mut buffer), Ok(Some(_))));
    tick.wake();
    assert!(pin!(sender.send_async(&event, b"x")).poll(&mut cx).is_ready(), "room is told after every message of four");
    assert_eq!(sender.stats().sent, 8);
}
