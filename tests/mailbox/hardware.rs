//! What the mailbox stands on: memory that is too small or goes away, clocks that fail, a peer that is other software.

use super::{CHANNELS, connect, pair};
use ivshmem::channel::{wire, *};
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use proptest::prelude::*;
use std::cell::Cell;

/// Memory of which from some load on nothing is left but one answer: the BAR of a device that was unplugged or does not decode.
struct Going {
    memory: SharedMemory,
    /// Loads that are answered still.
    left: Cell<usize>,
    answer: u64,
    loads: Cell<usize>,
}

impl Going {
    fn gone(&self) -> bool {
        self.left.get() == 0
    }

    fn word(&self, offset: usize) -> u64 {
        self.loads.set(self.loads.get() + 1);
        if self.gone() {
            return self.answer;
        }
        self.left.set(self.left.get() - 1);
        self.memory.load(offset)
    }

    /// Loads made since the last call of this.
    fn take_loads(&self) -> usize {
        self.loads.replace(0)
    }
}

impl Memory for &Going {
    fn len(&self) -> usize {
        self.memory.len()
    }

    fn load(&self, offset: usize) -> u64 {
        self.word(offset)
    }

    fn store(&self, offset: usize, value: u64) {
        if !self.gone() {
            self.memory.store(offset, value);
        }
    }

    fn publish(&self, offset: usize, value: u64) {
        if !self.gone() {
            self.memory.publish(offset, value);
        }
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        for (n, chunk) in bytes.chunks_mut(8).enumerate() {
            let length = chunk.len();
            chunk.copy_from_slice(&self.word(offset + 8 * n).to_le_bytes()[..length]);
        }
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        if !self.gone() {
            self.memory.copy_in(offset, bytes);
        }
    }
}

#[test]
fn memory_that_goes_at_any_load_delivers_nothing_torn_and_leaves_every_call_bounded() {
    const MESSAGE: [u8; 100] = [0x5A; 100];
    for answer in [0, u64::MAX] {
        let mut left = 0;
        loop {
            let (first, second) = loop_back(1 << 16).unwrap();
            let memory = Going { memory: first, left: Cell::new(usize::MAX), answer, loads: Cell::new(0) };
            let mut a = Mailbox::new(&memory, End::First, &CHANNELS).unwrap();
            let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
            let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
            connect(&mut la, &mut lb);
            let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), ca.sender(1).unwrap());
            let mut peer = cb.sender(0).unwrap();
            let mut buffer = [0; 100];
            assert_eq!(receiver.try_recv(&mut buffer), Ok(None));
            for _ in 0..3 {
                peer.try_send(&MESSAGE).unwrap().ignore();
            }

            memory.left.set(left);
            memory.take_loads();
            let mut received = 0;
            for _ in 0..4 {
                la.poll(0);
                assert!(memory.take_loads() <= 9, "poll");
                // Refused, once the end is noticed; never a message that nobody sent.
                if let Ok(Some(bytes)) = receiver.try_recv(&mut buffer) {
                    assert_eq!(bytes, MESSAGE);
                    received += 1;
                }
                assert!(memory.take_loads() <= 3 + 13, "try_recv");
                if let Ok(notice) = sender.try_send(b"into nothing") {
                    notice.ignore();
                }
                assert!(memory.take_loads() <= 2, "try_send");
                let _either = receiver.arm();
                assert!(memory.take_loads() <= 2, "arm");
            }
            if !memory.gone() {
                assert_eq!(received, 3, "all was there to the end");
                assert!(left > 50, "the memory went at every load of the sequence");
                break;
            }
            assert!(matches!(la.poll(0), LinkState::Waiting | LinkState::PeerRestarted), "noticed at the latest now");
            assert_eq!(la.poll(0), LinkState::Waiting, "nobody is there, after {left} loads");
            assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::NotUp)));
            assert_eq!(sender.try_send(b"x"), Err(SendError::NotUp));
            left += 1;
        }
    }
}

#[test]
fn a_region_of_any_size_below_what_is_needed_is_refused_untouched_and_one_of_any_size_above_is_taken() {
    let (memory, _) = loop_back(1 << 16).unwrap();
    for offset in (0..1 << 16).step_by(8) {
        memory.store(offset, u64::MAX);
    }
    let need = Mailbox::<SharedMemory>::required_len(&CHANNELS).unwrap();
    for have in (0..need).step_by(8) {
        let small = memory.window(0, have).unwrap();
        let error = Mailbox::new(small, End::Second, &CHANNELS).err();
        assert_eq!(error, Some(MailboxError::RegionTooSmall { need, have }));
    }
    assert!((0..1 << 16).step_by(8).all(|offset| memory.load(offset) == u64::MAX), "untouched");
    // Not a power of two, and not whole pages.
    for have in [need, need + 8, need + 4104] {
        let [first, second] = [End::First, End::Second].map(|end| {
            let window = memory.window(0, have).unwrap();
            Mailbox::new(window, end, &CHANNELS).unwrap()
        });
        let (mut first, mut second) = (first, second);
        let ((mut la, _), (mut lb, _)) = (first.attach(Attach::polled()), second.attach(Attach::polled()));
        connect(&mut la, &mut lb);
    }
    assert!((need..1 << 16).step_by(8).all(|offset| memory.load(offset) == u64::MAX), "not one word behind it");
}

#[test]
fn a_peer_of_another_version_is_told_of_and_exchanges_nothing_until_it_comes_with_ours() {
    for version in [0, wire::VERSION + 1, u64::MAX] {
        let (mut a, mut b, spy) = pair();
        let ((mut la, mut ca), (mut lb, _)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
        let second = super::second_section();
        la.poll(0);
        lb.poll(0);
        spy.store(second + wire::link::VERSION, version);
        for _ in 0..3 {
            assert_eq!(la.poll(0), LinkState::OtherVersion { found: version });
            lb.poll(0);
        }
        let (mut receiver, mut sender) = (ca.receiver(0).unwrap(), ca.sender(1).unwrap());
        assert_eq!(receiver.try_recv(&mut [0; 100]), Err(RecvError::NotUp));
        assert_eq!(sender.try_send(b"x"), Err(SendError::NotUp));
        assert_eq!(la.stats().sessions, 0);
        let (mut lb, mut cb) = b.attach(Attach::polled());
        connect(&mut la, &mut lb);
        cb.sender(0).unwrap().try_send(b"now").unwrap().ignore();
        assert_eq!(receiver.try_recv(&mut [0; 100]), Ok(Some(&b"now"[..])));
    }
}

#[test]
fn software_that_is_no_mailbox_is_nobody() {
    let (mut a, _, spy) = pair();
    let (mut la, mut ca) = a.attach(Attach::polled());
    let second = super::second_section();
    for word in (0..4096).step_by(8) {
        spy.store(second + word, 0x4C47_4D50_0000_0001);
    }
    for _ in 0..10 {
        assert_eq!(la.poll(0), LinkState::Waiting);
    }
    assert_eq!(ca.receiver(0).unwrap().try_recv(&mut [0; 100]), Err(RecvError::NotUp));
    assert_eq!((la.stats().violations, la.peer_id()), (0, None));
}

proptest! {
    #[test]
    fn a_clock_that_stands_jumps_or_runs_back_never_makes_a_peer_stale_that_beats(
        times in prop::collection::vec(prop_oneof![any::<u64>(), 0..200u64, Just(0), Just(u64::MAX)], 1..60),
    ) {
        let (mut a, mut b, _) = pair();
        let ((mut la, _), (mut lb, _)) =
            (a.attach(Attach { stale_after: 100, ..Attach::polled() }), b.attach(Attach { stale_after: 1, ..Attach::polled() }));
        connect(&mut la, &mut lb);
        for now in times {
            lb.poll(now.rotate_left(32));
            let state = la.poll(now);
            prop_assert!(matches!(state, LinkState::Up { .. }), "{:?} at {}", state, now);
        }
        prop_assert_eq!((la.stats().sessions, la.stats().peer_restarts), (1, 0));
    }

    #[test]
    fn a_peer_that_stands_still_is_stale_by_this_sides_ticks_alone_and_never_early(
        times in prop::collection::vec(prop_oneof![any::<u64>(), 0..500u64], 1..60),
    ) {
        let (mut a, mut b, _) = pair();
        let ((mut la, _), (mut lb, _)) =
            (a.attach(Attach { stale_after: 100, ..Attach::polled() }), b.attach(Attach::polled()));
        connect(&mut la, &mut lb);
        lb.poll(0);
        // The beat is seen here; from now on there is none.
        let seen = times[0];
        prop_assert!(matches!(la.poll(seen), LinkState::Up { .. }), "seen");
        for now in times {
            match la.poll(now) {
                LinkState::Stale { age } => prop_assert!(age >= 100 && age == now - seen),
                state => prop_assert!(state.is_up() && now.saturating_sub(seen) < 100, "{:?} at {}", state, now),
            }
        }
        // And back, whatever the clock says then.
        lb.poll(0);
        prop_assert!(matches!(la.poll(u64::MAX), LinkState::Up { .. }), "back");
        prop_assert_eq!((la.stats().sessions, la.stats().peer_restarts), (1, 0));
    }
}
