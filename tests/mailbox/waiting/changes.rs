//! Tasks and bounded waits for a change of a value.

use super::super::connect;
use super::bounded::Steps;
use super::{Bell, Wakes};
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use std::task::Context;

#[test]
fn a_change_is_waited_for_through_restarts_and_a_bounded_wait_for_it_ends() {
    const STATE: [Channel; 1] = [Channel::sampling(End::Second, 56)];
    let (first, second) = loop_back(1 << 16).unwrap();
    let mut a = Mailbox::new(first, End::First, &STATE).unwrap();
    let mut b = Mailbox::new(second, End::Second, &STATE).unwrap();
    let (mut la, mut ca) = a.attach(Attach::polled());
    let mut reader = ca.reader(0).unwrap();
    let (tick, wakes) = (Bell::default(), Wakes::new());
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    let mut idle = Steps { steps: Vec::new(), act: |_| () };
    let mut buffer = [0; 56];
    for session in 0..3u8 {
        assert!(reader.poll_changed(&mut cx, &&tick).is_pending(), "nobody there");
        let (mut lb, mut cb) = b.attach(Attach::polled());
        let mut writer = cb.writer(0).unwrap();
        connect(&mut la, &mut lb);
        assert!(reader.poll_changed(&mut cx, &&tick).is_pending(), "nothing written");
        assert!(!reader.changed_within(&mut idle, 10, 20));
        writer.write(&[session]).unwrap().ignore();
        assert!(reader.poll_changed(&mut cx, &&tick).is_ready());
        assert!(reader.changed_within(&mut idle, 10, 20));
        assert_eq!(reader.read(&mut buffer, 0).unwrap().bytes, [session]);
        assert!(reader.poll_changed(&mut cx, &&tick).is_pending(), "read already");
        lb.close();
        la.poll(0);
        assert!(reader.poll_changed(&mut cx, &&tick).is_ready(), "an error is news");
        assert_eq!(reader.read(&mut buffer, 0).err(), Some(ReadError::Closed));
        // The next one attaches.
        let (_, _) = b.attach(Attach::polled());
        la.poll(0);
    }
    assert_eq!(idle.steps.len(), 6);
}
