//! Bounded waits: so many looks at most, with a delay between each two.

use super::super::{connect, pair};
use embedded_hal::delay::DelayNs;
use ivshmem::channel::*;

/// A delay in which the test plays the peer.
pub struct Steps<F> {
    pub steps: Vec<u32>,
    pub act: F,
}

impl<F: FnMut(usize)> DelayNs for Steps<F> {
    fn delay_ns(&mut self, ns: u32) {
        self.steps.push(ns);
        (self.act)(self.steps.len());
    }
}

#[test]
fn a_bounded_wait_looks_at_most_so_often_and_ends_with_the_first_message() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    let mut buffer = [0; 100];
    let mut idle = Steps { steps: Vec::new(), act: |_| () };
    assert_eq!(receiver.recv_within(&mut idle, 100, 250, &mut buffer), Err(RecvError::NotUp));
    assert_eq!(sender.send_within(&mut idle, 100, 99, b"early"), Err(SendError::NotUp));
    assert_eq!(idle.steps, [100, 100]);
    connect(&mut la, &mut lb);
    assert_eq!(receiver.recv_within(&mut idle, 1000, 3000, &mut buffer), Ok(None));
    assert_eq!(idle.steps[2..], [1000; 3]);
    // No step at all is not for ever.
    assert_eq!(receiver.recv_within(&mut idle, 0, 5, &mut buffer), Ok(None));
    assert_eq!(idle.steps[5..], [1; 5]);

    let mut third = Steps {
        steps: Vec::new(),
        act: |step| {
            if step == 3 {
                sender.try_send(b"third").unwrap().ignore();
            }
        },
    };
    assert_eq!(receiver.recv_within(&mut third, 10, u32::MAX, &mut buffer), Ok(Some(&b"third"[..])));
    assert_eq!(third.steps, [10; 3]);
    // Errors are not waited out.
    sender.try_send(b"twelve bytes").unwrap().ignore();
    let too_small = receiver.recv_within(&mut idle, 10, 100, &mut buffer[..11]);
    assert_eq!(too_small, Err(RecvError::BufferTooSmall { need: 12, have: 11 }));

    while sender.try_send(&[0; 100]).is_ok() {}
    idle.steps.clear();
    assert_eq!(sender.send_within(&mut idle, 10, 39, b"full"), Err(SendError::Full));
    assert_eq!(idle.steps, [10; 3]);
    let mut room = Steps {
        steps: Vec::new(),
        act: |step| {
            if step == 2 {
                while receiver.try_recv(&mut buffer).unwrap().is_some() {}
            }
        },
    };
    assert!(sender.send_within(&mut room, 10, 1000, b"room").is_ok());
    assert_eq!(room.steps, [10; 2]);
}
