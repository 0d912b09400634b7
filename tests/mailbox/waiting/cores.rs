//! Tasks on other cores, woken by the records of x86_64's vectors as an interrupt's handler fires them.

use super::super::{connect, pair};
use super::Wakes;
use ivshmem::channel::*;
use ivshmem::interrupt::{event, on_interrupt};
use ivshmem::notify::Doorbell;
use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll};

/// Fires an IDT vector.
struct Rings(u8);

impl Doorbell for Rings {
    type Error = Infallible;

    fn ring(&self, _: u16, _: u16) -> Result<(), Infallible> {
        on_interrupt(self.0);
        Ok(())
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let wakes = Wakes::new();
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        while wakes.take() == 0 {
            std::thread::park();
        }
    }
}

#[test]
fn tasks_on_other_threads_exchange_every_message_with_doorbells_alone() {
    // No periodic wake: a wake-up that is lost hangs this test.
    const MESSAGES: u32 = 20_000;
    let (mut a, mut b, _) = pair();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    connect(&mut la, &mut lb);
    let (mut commands, mut responses) = (ca.receiver(0).unwrap(), ca.sender(1).unwrap());
    let (mut to_first, mut from_first) = (cb.sender(0).unwrap(), cb.receiver(1).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let event = event(101);
            let mut buffer = [0; 100];
            for number in 0..MESSAGES {
                to_first.try_send(&number.to_le_bytes()).unwrap().ring(&Rings(100)).unwrap();
                let answer = block_on(from_first.recv_async(event, &mut buffer)).unwrap();
                assert_eq!(answer, number.to_le_bytes());
            }
        });
        let event = event(100);
        let mut buffer = [0; 100];
        for number in 0..MESSAGES {
            let command = block_on(commands.recv_async(event, &mut buffer)).unwrap();
            assert_eq!(command, number.to_le_bytes());
            responses.try_send(command).unwrap().ring(&Rings(101)).unwrap();
        }
    });
    assert!(commands.stats().sleeps > 0 && from_first.stats().sleeps > 0);
    assert_eq!(commands.stats().received, u64::from(MESSAGES));
}

#[test]
fn the_futures_go_to_other_cores_with_their_halves() {
    fn is_send(_: impl Send) {}
    let (mut a, _, _) = pair();
    let (_, mut channels) = a.attach(Attach::polled());
    let (mut receiver, mut sender) = (channels.receiver(0).unwrap(), channels.sender(1).unwrap());
    let mut buffer = [0; 100];
    is_send(receiver.recv_async(event(102), &mut buffer));
    is_send(sender.send_async(event(102), b"message"));
}
