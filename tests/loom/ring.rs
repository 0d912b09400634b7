//! The ring: two threads, over the wrap, with the ring full on the way.

use super::*;
use loom::thread;

#[test]
fn a_message_arrives_whole_and_once_in_the_order_sent() {
    explore(Bound::None, &CHANNELS, |mut first, mut second| {
        let (mut sender, mut receiver) = halves(&mut first, &mut second);
        assert_eq!(receiver.try_recv(&mut [0; 16]), Ok(None));
        let sending = thread::spawn(move || {
            send(&mut sender, 1).unwrap().ignore();
        });
        assert_eq!(await_message(&mut receiver), Ok(1));
        assert_eq!(receiver.try_recv(&mut [0; 16]), Ok(None));
        sending.join().unwrap();
    });
}

#[test]
fn a_full_ring_refuses_and_no_slot_is_overwritten_before_it_is_acknowledged() {
    explore(Bound::Preemptions(3), &CHANNELS, |mut first, mut second| {
        let (mut sender, mut receiver) = halves(&mut first, &mut second);
        for number in 1..=4 {
            send(&mut sender, number).unwrap().ignore();
        }
        let sending = thread::spawn(move || {
            for number in 5..=6 {
                send(&mut sender, number).unwrap().ignore();
            }
            assert_eq!(sender.stats().sent, 6);
        });
        for number in 1..=6 {
            assert_eq!(await_message(&mut receiver), Ok(number));
        }
        assert_eq!(receiver.try_recv(&mut [0; 16]), Ok(None));
        sending.join().unwrap();
    });
}
