//! Random interleavings of everything two ends can do, restarts and lost doorbells included, against a plain model.

use ivshmem::channel::{wire, *};
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
    /// For one poll the peer seems to be gone, though it is not.
    Flicker,
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
        1 => Just(Step::Flicker),
    ]
}

/// One attachment of one end.
struct Attached<'a> {
    link: Link<'a, SharedMemory>,
    sender: Sender<'a, SharedMemory>,
    receiver: Receiver<'a, SharedMemory>,
    /// The session of the last poll, if the link was up.
    session: Option<u64>,
    closed: bool,
}

impl Attached<'_> {
    fn poll(&mut self) {
        self.session = match self.link.poll(0) {
            LinkState::Up { session } => Some(session),
            _ => None,
        }
    }
}

fn attach(memory: &SharedMemory, end: End) -> Attached<'static> {
    let memory = memory.window(0, memory.len()).unwrap();
    let mailbox = Box::leak(Box::new(Mailbox::new(memory, end, &CHANNELS).unwrap()));
    let (link, mut channels) = mailbox.attach(Attach::interrupt_driven(end as u16));
    let (send, receive) = if end == End::First { (1, 0) } else { (0, 1) };
    let (sender, receiver) = (channels.sender(send).unwrap(), channels.receiver(receive).unwrap());
    Attached { link, sender, receiver, session: None, closed: false }
}

/// A direction as seen from outside.
#[derive(Default)]
struct Direction {
    /// Sent, and neither received nor overtaken by a later message.
    flying: VecDeque<u64>,
    sent: u64,
    received: u64,
    /// What the sender said is lost at most.
    reported_lost: u64,
    /// What was under way when the sender itself began anew: nobody is left to report it but the receiver, by its bound.
    died_with_sender: u64,
}

/// Messages carry their number and session. What arrives must have been sent, in order, once, and in this session.
fn receive(end: &mut Attached<'_>, incoming: &mut Direction) -> Result<(), TestCaseError> {
    let mut buffer = [0; 24];
    if let Ok(Some(message)) = end.receiver.try_recv(&mut buffer) {
        let number = u64::from_le_bytes(message[..8].try_into().unwrap());
        let session = u64::from_le_bytes(message[8..16].try_into().unwrap());
        prop_assert!(end.session.is_none_or(|ours| ours == session), "a message of another session");
        while let Some(flying) = incoming.flying.pop_front() {
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
    let number = outgoing.sent;
    let mut message = number.to_le_bytes().to_vec();
    message.extend(end.session.unwrap_or(0).to_le_bytes());
    match end.sender.try_send(&message) {
        Ok(notice) => {
            notice.ignore();
            outgoing.flying.push_back(number);
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
            disturbed |= matches!(step, Step::Resync | Step::Restart | Step::Close | Step::Flicker);
            match step {
                Step::Poll => end.poll(),
                Step::Send => send(end, &mut directions[own]),
                Step::Receive => receive(end, &mut directions[1 - own])?,
                Step::Arm => {
                    let _ = end.receiver.arm();
                }
                Step::Resync if own == 0 => directions[own].reported_lost += end.sender.resync(),
                Step::Resync => end.receiver.resync(),
                Step::Restart => {
                    directions[own].died_with_sender += end.sender.in_flight();
                    ends[own] = renew(own);
                }
                Step::Close => {
                    end.link.close();
                    end.closed = true;
                }
                Step::Flicker => {
                    let peer = [End::First, End::Second][1 - own];
                    let magic = Snapshot::new(&memories[own], &CHANNELS).link(peer).offset + wire::link::MAGIC;
                    memories[own].store(magic, 0);
                    end.poll();
                    memories[own].store(magic, wire::MAGIC);
                }
            }
            for end in &ends {
                prop_assert_eq!((end.link.stats().violations, end.sender.stats().violations, end.receiver.stats().violations), (0, 0, 0));
            }
        }
        // Let everything settle: who closed comes back, the link comes up, and what can still arrive arrives.
        for own in 0..2 {
            if ends[own].closed {
                directions[own].died_with_sender += ends[own].sender.in_flight();
                ends[own] = renew(own);
            }
        }
        for _ in 0..64 {
            for own in 0..2 {
                let end = &mut ends[own];
                end.poll();
                receive(end, &mut directions[1 - own])?;
            }
        }
        for (own, direction) in directions.iter_mut().enumerate() {
            let end = &mut ends[own];
            let lost = direction.sent - direction.received;
            let known = direction.reported_lost + direction.died_with_sender + end.sender.in_flight();
            prop_assert!(lost <= known, "{} lost of {}, and only {} known of", lost, direction.sent, known);
            prop_assert!(disturbed || lost == 0, "lost without any restart");
            // And the channel still works, also for a sender that awaits each message's answer.
            let (sent, received) = (direction.sent, direction.received);
            for _ in 0..4 {
                ends[own].poll();
                send(&mut ends[own], direction);
                receive(&mut ends[1 - own], direction)?;
            }
            prop_assert!(direction.received > received && direction.sent > sent, "the channel is dead");
        }
    }
}
