//! Futures dropped at any await lose nothing.

use super::super::{connect, pair};
use super::{Bell, Wakes};
use ivshmem::channel::*;
use proptest::prelude::*;
use std::pin::pin;
use std::task::{Context, Poll};

proptest! {
    #[test]
    fn futures_dropped_at_any_await_lose_no_message_and_send_none_twice(
        steps in proptest::collection::vec((0u8..4, any::<bool>()), 1..200)
    ) {
        let (mut a, mut b, _) = pair();
        let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
        let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
        let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
        connect(&mut la, &mut lb);
        let (bell, tick) = (Bell::default(), Bell::default());
        let (bell_event, tick_event) = (&bell, &tick);
        let wakes = Wakes::new();
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        let (mut sent, mut received) = (0u32, 0u32);
        for (step, again) in steps {
            if step < 2 {
                let message = sent.to_le_bytes();
                let mut sending = pin!(sender.send_async(&tick_event, &message));
                // Dropped after one poll or two, pending or not.
                let mut polled = sending.as_mut().poll(&mut cx);
                if polled.is_pending() && again {
                    polled = sending.as_mut().poll(&mut cx);
                }
                if let Poll::Ready(notice) = polled {
                    notice.unwrap().ring(&bell).unwrap();
                    sent += 1;
                }
            } else {
                let mut buffer = [0; 100];
                let mut receiving = pin!(receiver.recv_async(&bell_event, &mut buffer));
                let mut polled = receiving.as_mut().poll(&mut cx);
                if polled.is_pending() && again {
                    polled = receiving.as_mut().poll(&mut cx);
                }
                if let Poll::Ready(message) = polled {
                    prop_assert_eq!(message.unwrap(), received.to_le_bytes());
                    received += 1;
                }
            }
            prop_assert!(received <= sent && sent - received <= 8);
        }
        let mut buffer = [0; 100];
        while let Some(message) = receiver.try_recv(&mut buffer).unwrap() {
            prop_assert_eq!(message, received.to_le_bytes());
            received += 1;
        }
        prop_assert_eq!(sent, received);
        prop_assert_eq!(sender.stats().sent, u64::from(sent));
    }
}
