//! Random interleavings of everything two ends can do, restarts and lost doorbells included, against a plain model.

use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};
use proptest::prelude::*;
use std::collections::VecDeque;

const CHANNELS: [Channel; 2] = [Channel::queuing(End::Second, 4, 16), Channel::queuing(End::First, 8, 24)];

#[derive(Clone, Debug)]
enum Step {
    Poll,
    Send,
    Receive,
    Arm,
    Resync,
    Restart,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Poll),
        8 => Just(Step::Send),
        8 => Just(Step::Receive),
        2 => Just(Step::Arm),
        1 => Just(Step::Resync),
        1 => Just(Step::Restart),
        1 => Just(Step::Close),
    ]
}

/// One attachment of one end.
struct Attached<'a> {
    link: Link<'a, SharedMemory>,
    sender: Sender<'a, SharedMemory>,
    receiver: Receiver<'a, SharedMemory>,
    session: u64,
}

fn attach(memory: &SharedMemory, end: End) -> Attached<'static> {
    let memory = memory.window(0, memory.len()).unwrap();
    let mailbox = Box::leak(Box::new(Mailbox::new(memory, end, &CHANNELS).unwrap()));
    let (link, mut channels) = mailbox.attach(Attach::interrupt_driven(end as u16));
    let (send, receive) = if end == End::First { (1, 0) } else { (0, 1) };
    let (sender, receiver) = (channels.sender(send).unwrap(), channels.receiver(receive).unwrap());
    Attached { link, sender, receiver, session: 0 }
}

/// A direction as seen from outside: what was sent and not yet received or given up, with the session it was sent in.
#[derive(Default)]
struct Direction {
    flying: VecDeque<(u64, u64)>,
    next: u64,
    sent: u64,
    received: u64,
    reported_lost: u64,
}

/// Messages carry their number and session. What arrives must have been sent, in order, once, and in this session.
fn receive(end: &mut Attached<'_>, incoming: &mut Direction) -> Result<(), TestCaseError> {
    let mut buffer = [0; 24];
    if let Ok(Some(message)) = end.receiver.try_recv(&mut buffer) {
        let number = u64::from_le_bytes(message[..8].try_into().unwrap());
        let session = u64::from_le_bytes(message[8..16].try_into().unwrap());
        prop_assert_eq!(session, end.session, "a message of another session");
        while let Some((flying, _)) = incoming.flying.pop_front() {
            if flying == number {
                incoming.received += 1;
                return Ok(());
            }
        }
        prop_assert!(false, "message {} came twice, out of order, or was never sent", number);
    }
    Ok(())
}

fn send(end: &mut Attached<'_>, outgoing: &mut Direction) {
    let number = outgoing.next;
    let mut message = number.to_le_bytes().to_vec();
    message.extend(end.session.to_le_bytes());
    match end.sender.try_send(&message) {
        Ok(notice) => {
            notice.ignore();
            outgoing.flying.push_back((number, end.session));
            outgoing.next += 1;
            outgoing.sent += 1;
        }
        Err(SendError::PeerRestarted { lost_at_most } | SendError::PeerResynced { lost_at_most }) => {
            outgoing.reported_lost += u64::from(lost_at_most);
        }
        Err(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_stale_nothing_twice_nothing_out_of_order_and_no_loss_unreported(
        steps in proptest::collection::vec((any::<bool>(), step()), 1..400)
    ) {
        let (first, second) = loop_back(1 << 14).unwrap();
        let memories = [first, second];
        // Each attachment is a new one over the same memory, as after a reboot; leaked, as a dead one would be.
        let renew = |own: usize| attach(&memories[own], [End::First, End::Second][own]);
        let mut ends = [renew(0), renew(1)];
        let mut directions = [Direction::default(), Direction::default()];
        let mut disturbed = false;
        for (second, step) in steps {
            let own = usize::from(second);
            let end = &mut ends[own];
            match step {
                Step::Poll => {
                    if let LinkState::Up { session } = end.link.poll(0) {
                        end.session = session;
                    }
                }
                Step::Send => send(end, &mut directions[own]),
                Step::Receive => receive(end, &mut directions[1 - own])?,
                Step::Arm => {
                    let _ = end.receiver.arm();
                }
                Step::Resync => {
                    disturbed = true;
                    if own == 0 {
                        directions[own].reported_lost += end.sender.resync();
                    } else {
                        end.receiver.resync();
                    }
                }
                Step::Restart => {
                    disturbed = true;
                    ends[own] = renew(own);
                }
                Step::Close => {
                    if disturbed {
                        end.link.close();
                            ends[own] = renew(own);
                    }
                }
            }
            for end in &ends {
                prop_assert_eq!((end.link.stats().violations, end.sender.stats().violations, end.receiver.stats().violations), (0, 0, 0));
            }
        }
        // Let everything settle: the link comes up, and what can still arrive arrives.
        for _ in 0..64 {
            for own in 0..2 {
                let end = &mut ends[own];
                if let LinkState::Up { session } = end.link.poll(0) {
                    end.session = session;
                }
                receive(end, &mut directions[1 - own])?;
            }
        }
        for (own, direction) in directions.iter_mut().enumerate() {
            if !disturbed {
                prop_assert_eq!(direction.sent, direction.received, "lost without any restart");
            }
            // And the channel still works.
            let end = &mut ends[own];
            let before = direction.sent;
            for _ in 0..3 {
                send(end, direction);
            }
            prop_assert!(direction.sent > before || end.sender.in_flight() > 0, "the channel is dead");
        }
    }
}
