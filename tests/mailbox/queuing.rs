//! A queuing channel between honest ends: order, fullness, lengths, halves.

use super::{CHANNELS, connect, pair, second_section};
use ivshmem::channel::wire::{self, Key};
use ivshmem::channel::*;
use ivshmem::memory::Memory;

#[test]
fn messages_arrive_whole_in_order_and_once_in_both_directions() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut from_b, mut to_b) = (ca.receiver(0).unwrap(), ca.sender(1).unwrap());
    let (mut to_a, mut from_a) = (cb.sender(0).unwrap(), cb.receiver(1).unwrap());
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    for round in 0..1000usize {
        let message: Vec<u8> = (0..round % 101).map(|i| (i + round) as u8).collect();
        to_a.try_send(&message).unwrap().ignore();
        assert_eq!(from_b.try_recv(&mut buffer), Ok(Some(&message[..])));
        assert_eq!(from_b.try_recv(&mut buffer), Ok(None));
        to_b.try_send(&message).unwrap().ignore();
        assert_eq!(from_a.try_recv(&mut buffer), Ok(Some(&message[..])));
    }
    assert_eq!(to_a.stats().sent, 1000);
    assert_eq!(from_b.stats().received, 1000);
}

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    let mut buffer = [0; 100];
    let (mut sent, mut received) = (0u32, 0u32);
    for burst in [8, 3, 8, 1, 5, 8, 8] {
        for _ in 0..20 {
            match sender.try_send(&sent.to_le_bytes()) {
                Ok(notice) => notice.ignore(),
                Err(error) => {
                    assert_eq!(error, SendError::Full);
                    break;
                }
            }
            sent += 1;
        }
        assert!(sent - received <= 8, "more in flight than slots");
        assert!(sent - received > 8 - 2, "refused although the receiver acknowledges every quarter");
        for _ in 0..burst {
            if receiver.try_recv(&mut buffer).unwrap().is_some() {
                assert_eq!(buffer[..4], received.to_le_bytes());
                received += 1;
            }
        }
    }
    assert!(sender.stats().full > 0);
}

#[test]
fn a_lossy_sender_drops_the_newest_counts_each_and_keeps_what_is_under_way() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    assert_eq!(sender.try_send_lossy(b"early"), Err(SendError::NotUp), "what is no overflow is an error");
    connect(&mut la, &mut lb);
    assert_eq!(sender.try_send_lossy(&[0; 101]), Err(SendError::TooLong { len: 101, max: 100 }));
    let (mut buffer, mut received) = ([0; 100], Vec::new());
    for offered in 0..30u8 {
        let expected = if sender.in_flight() < 8 { "sent" } else { "dropped" };
        let before = sender.stats();
        let found = match sender.try_send_lossy(&[offered]).unwrap() {
            Some(notice) => {
                notice.ignore();
                "sent"
            }
            None => "dropped",
        };
        assert_eq!(found, expected);
        assert_eq!(sender.stats().sent + sender.stats().dropped, before.sent + before.dropped + 1);
        if offered == 19 {
            while let Some(message) = receiver.try_recv(&mut buffer).unwrap() {
                received.push(message[0]);
            }
            assert_eq!(sender.room(), Ok(8), "all is acknowledged, at the ring's quarters");
        }
    }
    while let Some(message) = receiver.try_recv(&mut buffer).unwrap() {
        received.push(message[0]);
    }
    assert_eq!(received, (0..8).chain(20..28).collect::<Vec<_>>());
    let stats = sender.stats();
    assert_eq!((stats.sent, stats.dropped, stats.full), (16, 14, 14));
}

#[test]
fn a_receiver_acknowledges_every_quarter_of_the_ring_and_not_every_message() {
    let (mut a, mut b, spy) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    connect(&mut la, &mut lb);
    for _ in 0..8 {
        sender.try_send(b"one of eight").unwrap().ignore();
    }
    let acknowledged: Vec<_> = (0..8)
        .map(|_| {
            assert!(receiver.try_recv(&mut [0; 100]).unwrap().is_some());
            Snapshot::new(&spy, &CHANNELS).channel(0).unwrap().acknowledged.count
        })
        .collect();
    assert_eq!(acknowledged, [0, 2, 2, 4, 4, 6, 6, 8]);
}

#[test]
fn a_message_too_long_and_a_buffer_too_small_lose_nothing() {
    let (mut a, mut b, _) = pair();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), cb.sender(0).unwrap());
    assert_eq!(sender.try_send(b"early"), Err(SendError::NotUp));
    assert_eq!(receiver.try_recv(&mut []), Err(RecvError::NotUp));
    connect(&mut la, &mut lb);
    assert_eq!(sender.try_send(&[0; 101]), Err(SendError::TooLong { len: 101, max: 100 }));
    sender.try_send(b"twelve bytes").unwrap().ignore();
    assert_eq!(receiver.try_recv(&mut [0; 11]), Err(RecvError::BufferTooSmall { need: 12, have: 11 }));
    assert_eq!(receiver.try_recv(&mut [0; 12]), Ok(Some(&b"twelve bytes"[..])));
}

#[test]
fn each_half_is_handed_out_once_and_to_its_own_direction() {
    let (mut a, _, _) = pair();
    let (_, mut channels) = a.attach(Attach::polled());
    assert_eq!(channels.sender(0).err(), Some(TakeError::WrongDirection { channel: 0, from: End::Second }));
    assert_eq!(channels.receiver(3).err(), Some(TakeError::NoSuchChannel { channel: 3, channels: 3 }));
    let kept = [channels.receiver(0), channels.receiver(2)];
    assert!(kept.iter().all(Result::is_ok));
    let sender = channels.sender(1);
    assert!(sender.is_ok());
    for channel in [0, 2] {
        assert_eq!(channels.receiver(channel).err(), Some(TakeError::Taken { channel }));
    }
    assert_eq!(channels.sender(1).err(), Some(TakeError::Taken { channel: 1 }));
}

#[test]
fn only_bytes_the_caller_passed_leave_this_side() {
    let (mut a, mut b, spy) = pair();
    for offset in (0..1 << 16).step_by(8) {
        spy.store(offset, u64::MAX);
    }
    let ((mut la, _ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    connect(&mut la, &mut lb);
    let mut sender = cb.sender(0).unwrap();
    sender.try_send(b"123456789").unwrap().ignore();
    let slot = Snapshot::new(&spy, &CHANNELS).channel(0).unwrap().slots_at;
    assert_eq!(spy.load(slot + 8), u64::from_le_bytes(*b"12345678"));
    assert_eq!(spy.load(slot + 16), u64::from(b'9'), "the rest of the last word is zero");
    assert_eq!(spy.load(slot + 24), u64::MAX, "nothing is written beyond it");
    assert_ne!(Key::from_bits(spy.load(second_section() + wire::CHANNEL_LINES) as u32), Key::from_bits(0));
}

#[test]
fn two_threads_exchange_a_million_words_without_loss_or_tearing() {
    let (mut a, mut b, _) = pair();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut link, mut channels) = b.attach(Attach::polled());
            let mut sender = channels.sender(0).unwrap();
            let mut sent = 0u64;
            while sent < 200_000 {
                link.poll(0);
                let message = [sent; 5].map(u64::to_le_bytes).concat();
                match sender.try_send(&message) {
                    Ok(notice) => {
                        notice.ignore();
                        sent += 1;
                    }
                    Err(SendError::Full | SendError::NotUp) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
            while sender.in_flight() > 2 && sender.try_send(&[]) == Err(SendError::Full) {
                link.poll(0);
                std::thread::yield_now();
            }
        });
        let (mut link, mut channels) = a.attach(Attach::polled());
        let mut receiver = channels.receiver(0).unwrap();
        let mut buffer = [0; 100];
        let mut expected = 0u64;
        while expected < 200_000 {
            link.poll(0);
            match receiver.try_recv(&mut buffer) {
                Ok(Some(message)) => {
                    assert_eq!(message, [expected; 5].map(u64::to_le_bytes).concat());
                    expected += 1;
                }
                Ok(None) | Err(RecvError::NotUp) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    });
}
