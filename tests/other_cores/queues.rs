//! Queuing and sampling channels.

use super::{Hooked, Rng, act, leak, others};
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use std::cell::RefCell;

const SEEDS: u64 = 100;

const CHANNELS: [Channel; 3] = [
    Channel::queuing(End::Second, 8, 100).vector(2),
    Channel::queuing(End::First, 8, 100).vector(1),
    Channel::sampling(End::Second, 8),
];

/// Second, life after life, on one core.
struct Peer {
    memory: SharedMemory,
    link: Link<'static, SharedMemory>,
    sender: Sender<'static, SharedMemory>,
    receiver: Receiver<'static, SharedMemory>,
    writer: Writer<'static, SharedMemory>,
    life: u32,
    sent: u32,
    written: u32,
    closed: bool,
    /// The last that came of First's.
    came: u32,
}

impl Peer {
    fn parts(
        memory: &SharedMemory,
    ) -> (
        Link<'static, SharedMemory>,
        Sender<'static, SharedMemory>,
        Receiver<'static, SharedMemory>,
        Writer<'static, SharedMemory>,
    ) {
        let mailbox = leak(Mailbox::new(memory.window(0, memory.len()).unwrap(), End::Second, &CHANNELS).unwrap());
        let (link, mut channels) = mailbox.attach(Attach::interrupt_driven(1));
        (link, channels.sender(0).unwrap(), channels.receiver(1).unwrap(), channels.writer(2).unwrap())
    }

    fn new(memory: SharedMemory) -> Self {
        let (link, sender, receiver, writer) = Self::parts(&memory);
        Self { memory, link, sender, receiver, writer, life: 1, sent: 0, written: 0, closed: false, came: 0 }
    }

    fn act(&mut self, rng: &mut Rng) {
        match rng.below(40) {
            0 if rng.below(3) == 0 => {
                (self.link, self.sender, self.receiver, self.writer) = Self::parts(&self.memory);
                self.life += 1;
                (self.sent, self.written, self.closed) = (0, 0, false);
            }
            1 if rng.below(3) == 0 => {
                self.link.close();
                self.closed = true;
            }
            2 => {
                self.sender.resync();
            }
            3 => self.receiver.resync(),
            4..16 => {
                self.link.poll(0);
            }
            16..26 => {
                let message = u64::from(self.life) << 32 | u64::from(self.sent + 1);
                match self.sender.try_send(&message.to_le_bytes()) {
                    Ok(notice) => {
                        notice.ignore();
                        self.sent += 1;
                    }
                    Err(SendError::Violated(violation)) => panic!("First is accused: {violation}"),
                    Err(_) => {}
                }
            }
            26..34 => match self.receiver.try_recv(&mut [0; 100]) {
                Ok(Some(message)) => {
                    let number = u32::from_le_bytes(message.try_into().unwrap());
                    assert!(number > self.came, "{number} after {}", self.came);
                    self.came = number;
                }
                Err(RecvError::Violated(violation)) => panic!("First is accused: {violation}"),
                _ => {}
            },
            _ => {
                let value = self.life << 16 | (self.written + 1);
                if let Ok(notice) = self.writer.write(&value.to_le_bytes()) {
                    notice.ignore();
                    self.written += 1;
                }
            }
        }
    }
}

/// First's halves are on one core, its link on another, Second on a third.
#[test]
fn nothing_stale_or_twice_and_nobody_accused_whatever_the_other_cores_do_between_any_two_accesses() {
    let (mut received, mut closes, mut read, mut complete) = (0_u64, 0_u64, 0_u64, 0_u64);
    for seed in 1..=SEEDS {
        let (first, second) = loop_back(1 << 16).unwrap();
        let hook = others();
        let peer: &'static RefCell<Peer> = leak(RefCell::new(Peer::new(second)));
        let a = leak(Mailbox::new(Hooked { inner: first, others: hook }, End::First, &CHANNELS).unwrap());
        let (link, mut channels) = a.attach(Attach::interrupt_driven(0));
        let link: &'static RefCell<_> = leak(RefCell::new(link));
        let (mut receiver, mut sender, mut reader) =
            (channels.receiver(0).unwrap(), channels.sender(1).unwrap(), channels.reader(2).unwrap());
        let mut lossy = false;
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut others = Rng(rng.0 ^ 0x5555_5555);
        for _ in 0..20 {
            rng.below(2);
            others.below(2);
        }
        let busy = 1 + seed % 8;
        let others = RefCell::new(others);
        *hook.borrow_mut() = Some(Box::new(move || {
            loop {
                let go = others.borrow_mut().below(busy + 1) == 0;
                if !go {
                    break;
                }
                let who = others.borrow_mut().below(3);
                if who == 0
                    && let Ok(mut link) = link.try_borrow_mut()
                {
                    let state = link.poll(0);
                    assert!(!matches!(state, LinkState::Violated(_)), "{state:?}");
                } else if let Ok(mut peer) = peer.try_borrow_mut() {
                    peer.act(&mut others.borrow_mut());
                }
            }
        }));
        let (mut last, mut number, mut value) = ((0, 0), 0_u32, 0);
        for _ in 0..4000 {
            act(hook);
            match rng.below(12) {
                0..4 => {
                    let mut buffer = [0; 100];
                    let before = {
                        let peer = peer.borrow();
                        (peer.life, peer.closed)
                    };
                    match receiver.try_recv(&mut buffer) {
                        Ok(Some(message)) => {
                            let message = u64::from_le_bytes(message.try_into().unwrap());
                            let found = ((message >> 32) as u32, message as u32);
                            assert!(found > last, "seed {seed}: {found:?} after {last:?}");
                            last = found;
                            received += 1;
                        }
                        Err(RecvError::Violated(violation)) => panic!("seed {seed}: Second is accused: {violation}"),
                        Err(RecvError::Closed) => {
                            closes += 1;
                            // All that the life whose session this half is in had sent before it closed has come, unless a restart lost it.
                            let peer = peer.borrow();
                            if peer.closed && before == (peer.life, true) && last.0 == peer.life && !lossy {
                                assert_eq!(last.1, peer.sent, "seed {seed}: closed before the last message");
                                complete += 1;
                            }
                        }
                        Err(RecvError::PeerRestarted { .. }) => lossy = false,
                        Err(RecvError::PeerResynced { .. }) => lossy = true,
                        _ => {}
                    }
                }
                4..6 => {
                    let _either = receiver.arm();
                }
                6 if rng.below(8) == 0 => {
                    receiver.resync();
                    lossy = true;
                }
                7 if rng.below(8) == 0 => {
                    sender.resync();
                }
                8 => {
                    let _either = reader.arm();
                }
                9 => {
                    let mut buffer = [0; 8];
                    match reader.read(&mut buffer, 0) {
                        Ok(sample) => {
                            let found = u32::from_le_bytes(sample.bytes.try_into().unwrap());
                            assert!(found >= value, "seed {seed}: value {found:#x} after {value:#x}");
                            value = found;
                            read += 1;
                        }
                        Err(ReadError::Violated(violation)) => {
                            panic!("seed {seed}: the writer is accused: {violation}")
                        }
                        _ => {}
                    }
                }
                _ => match sender.try_send(&(number + 1).to_le_bytes()) {
                    Ok(notice) => {
                        notice.ignore();
                        number += 1;
                    }
                    Err(SendError::Violated(violation)) => panic!("seed {seed}: Second is accused: {violation}"),
                    Err(_) => {}
                },
            }
        }
    }
    assert!(received > 1000 && closes > 100 && read > 1000, "{received} {closes} {read}");
    assert!(complete > 10, "{complete}");
}
