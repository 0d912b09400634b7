//! The honest end of queuing channels, which notes what it is told.

use ivshmem::channel::*;
use ivshmem_peer::Mapping;
use std::collections::BTreeMap;

/// Ticks without a heartbeat after which the peer is stale; a freeze lasts at least 50 steps of one tick.
const STALE_AFTER: u64 = 40;

/// The honest end, and what it was told.
pub struct Victim<'a> {
    link: Link<'a, Mapping>,
    halves: [(Receiver<'a, Mapping>, Sender<'a, Mapping>); 2],
    now: u64,
    pub seen: Seen,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub violations: BTreeMap<String, u32>,
    pub restarts: u32,
    pub stale: u32,
    pub recovered: u32,
    /// Messages of the first and of the second pair of channels, as life and number.
    pub messages: [Vec<(u64, u64)>; 2],
    pub unreadable: u32,
    /// Sums of what was reported as lost at most.
    pub lost_at_most: [u64; 2],
}

impl<'a> Victim<'a> {
    pub fn attach(mailbox: &'a mut Mailbox<'static, Mapping>) -> Self {
        let attach = Attach { id: Some(3), stale_after: STALE_AFTER, ..Attach::polled() };
        let (link, mut channels) = mailbox.attach(attach);
        let mut pair = |receive, send| (channels.receiver(receive).unwrap(), channels.sender(send).unwrap());
        Self { link, halves: [pair(0, 1), pair(2, 3)], now: 0, seen: Seen::default() }
    }

    fn violated(&mut self, violation: PeerViolation) {
        let name = format!("{violation:?}").split([' ', '{']).next().unwrap().to_owned();
        *self.seen.violations.entry(name).or_default() += 1;
    }

    /// One cycle, bounded whatever the peer does.
    pub fn cycle(&mut self) {
        self.now += 1;
        let before = self.seen.stale;
        match self.link.poll(self.now) {
            LinkState::PeerRestarted => self.seen.restarts += 1,
            LinkState::Stale { age } => {
                assert!(age >= STALE_AFTER);
                self.seen.stale += 1;
            }
            LinkState::Up { .. } if before > 0 => self.seen.recovered += 1,
            LinkState::Violated(violation) => {
                self.violated(violation);
                self.link.resync();
            }
            _ => {}
        }
        for pair in 0..2 {
            for _ in 0..4 {
                if !self.serve(pair) {
                    break;
                }
            }
        }
    }

    fn serve(&mut self, pair: usize) -> bool {
        let mut buffer = [0; 56];
        let (receiver, sender) = &mut self.halves[pair];
        match receiver.try_recv(&mut buffer) {
            Ok(Some(message)) => {
                match parse(message) {
                    Some(message) => self.seen.messages[pair].push(message),
                    None => self.seen.unreadable += 1,
                }
                let answered = match sender.try_send(b"answer") {
                    // Said once in a session.
                    Err(SendError::PeerRestarted { .. } | SendError::PeerResynced { .. }) => sender.try_send(b"answer"),
                    other => other,
                };
                match answered {
                    Ok(notice) => notice.ignore(),
                    Err(SendError::Violated(violation)) => {
                        sender.resync();
                        self.violated(violation);
                    }
                    Err(_) => {}
                }
                true
            }
            Err(RecvError::Violated(violation)) => {
                receiver.resync();
                self.violated(violation);
                false
            }
            Err(RecvError::PeerRestarted { lost_at_most } | RecvError::PeerResynced { lost_at_most }) => {
                self.seen.lost_at_most[pair] += u64::from(lost_at_most);
                true
            }
            _ => false,
        }
    }
}

fn parse(message: &[u8]) -> Option<(u64, u64)> {
    let mut words = core::str::from_utf8(message).ok()?.strip_prefix("chaos ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
