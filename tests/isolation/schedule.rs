//! `poll_all`: priority, shares, budget.

use super::*;
use ivshmem::channel::schedule::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// By index: priorities out of order, two of them equal. The last but one is flooded, the last violated.
const CHANNELS: [Channel; 6] = [
    Channel::queuing(End::Second, 16, 56).priority(7),
    Channel::queuing(End::Second, 16, 56).priority(0),
    Channel::queuing(End::Second, 16, 56).priority(255),
    Channel::queuing(End::Second, 16, 56).priority(7),
    Channel::queuing(End::Second, 16, 56).priority(3),
    Channel::queuing(End::Second, 16, 56).priority(1),
];
const HONEST: usize = 4;
const FLOODED: usize = 4;
const VIOLATED: usize = 5;
/// By priority, and in order among equals.
const ORDER: [usize; 6] = [1, 5, 4, 0, 3, 2];

/// Accesses of one `try_recv`: 3 loads and 2 stores of control words, 7 words of payload.
const RECEIVE: usize = 3 + 2 + 7;

/// Who was handed a message, in order; whether it is the channel's next; and errors.
#[derive(Default)]
struct Handled {
    order: Vec<usize>,
    failed: Vec<usize>,
    next: [u64; 6],
}

/// One call of `poll_all` with these shares; the flood goes on while it is being served.
fn serve(
    receivers: &mut [Receiver<'static, Traced>; 6],
    shares: [u32; 6],
    budget: u32,
    handled: &RefCell<Handled>,
    flood: &Hostile,
) -> Served {
    let mut buffers = [[0; 56]; 6];
    let mut services: Vec<_> = receivers
        .iter_mut()
        .zip(&mut buffers)
        .enumerate()
        .map(|(index, (receiver, buffer))| {
            let mut flooded = receiver.stats().received;
            receiver.service(shares[index], buffer, move |message| {
                let mut handled = handled.borrow_mut();
                match message {
                    Ok(message) => {
                        if index < HONEST {
                            assert_eq!(message, handled.next[index].to_le_bytes(), "channel {index}");
                        }
                        handled.next[index] += 1;
                        handled.order.push(index);
                        if index == FLOODED {
                            flooded += 1;
                            flood.header(flooded + 15, 56, 0);
                        }
                    }
                    Err(_) => handled.failed.push(index),
                }
            })
        })
        .collect();
    let mut services: Vec<_> = services.iter_mut().map(|service| service as &mut dyn Service).collect();
    poll_all(&mut services, budget)
}

#[derive(Clone, Debug)]
struct Cycle {
    sent: [u8; HONEST],
    shares: [u32; 6],
    /// Less or more than the shares' sum.
    budget: u32,
}

fn cycle() -> impl Strategy<Value = Cycle> {
    let budget = prop_oneof![Just(u32::MAX), 0u32..40];
    (any::<[u8; HONEST]>(), proptest::array::uniform6(0u32..9), budget).prop_map(|(sent, shares, budget)| Cycle {
        sent: sent.map(|sent| sent % 6),
        shares,
        budget,
    })
}

proptest! {
    #[test]
    fn with_one_channel_flooded_and_one_violated_the_others_get_their_share_by_priority_within_the_budget(
        cycles in vec(cycle(), 1..60)
    ) {
        let Pair { traced, words, mut first, mut second } = pair(&CHANNELS, Attach::polled());
        let mut receivers: [_; 6] = std::array::from_fn(|index| first.1.receiver(index).unwrap());
        let mut senders: [_; 6] = std::array::from_fn(|index| second.1.sender(index).unwrap());
        let hostile = |channel| Hostile { words: words.clone(), channels: &CHANNELS, channel };
        let (flood, violation) = (hostile(FLOODED), hostile(VIOLATED));
        senders[FLOODED].try_send(b"flood").unwrap().ignore();
        senders[VIOLATED].try_send(b"fine").unwrap().ignore();
        let handled = RefCell::default();
        let _ = serve(&mut receivers, [1; 6], 6, &handled, &flood);
        (0..16).for_each(|ahead| flood.header(1 + ahead, 56, 0));
        violation.header(1, 57, 0);
        handled.replace(Handled { next: [0; 6], ..Handled::default() });

        let mut sent = [0; HONEST];
        for Cycle { sent: sending, shares, budget } in cycles {
            for channel in 0..HONEST {
                for _ in 0..sending[channel] {
                    if let Ok(notice) = senders[channel].try_send(&u64::to_le_bytes(sent[channel])) {
                        notice.ignore();
                        sent[channel] += 1;
                    }
                }
            }
            let before = handled.borrow().next;
            handled.borrow_mut().order.clear();
            handled.borrow_mut().failed.clear();
            traced.take();
            let served = serve(&mut receivers, shares, budget, &handled, &flood);
            let accesses = traced.take().len();

            // What each may have, in order of priority, of what is there: the flooded channel always has more.
            let mut left = budget;
            let mut expected = Vec::new();
            let mut unreached = 0;
            for channel in ORDER {
                unreached += u32::from(left == 0);
                let there = match channel {
                    FLOODED => u32::MAX,
                    VIOLATED => 0,
                    honest => (sent[honest] - before[honest]) as u32,
                };
                let gets = there.min(shares[channel]).min(left);
                left -= gets;
                expected.extend(std::iter::repeat_n(channel, gets as usize));
            }
            let handled = handled.borrow();
            prop_assert_eq!(&handled.order, &expected);
            prop_assert_eq!((served.messages, served.unreached), (expected.len() as u32, unreached));
            prop_assert!(served.messages <= budget && handled.failed.iter().all(|channel| *channel == VIOLATED));
            prop_assert_eq!(served.failed, handled.failed.len() as u32);
            prop_assert!(accesses <= (expected.len() + CHANNELS.len()) * RECEIVE, "{accesses} accesses");
        }
        // With a budget that reaches everybody, all that was sent arrives.
        for _ in 0..16 {
            let _ = serve(&mut receivers, [1; 6], 6, &handled, &flood);
        }
        prop_assert_eq!(&handled.borrow().next[..HONEST], &sent);
        prop_assert_eq!(receivers[VIOLATED].stats().violations, 1);
        prop_assert!(first.0.poll(0).is_up());
    }
}

#[test]
fn services_of_any_kind_are_looked_at_once_more_than_they_have_messages_and_never_beyond_their_share() {
    let looks = RefCell::new([0; 3]);
    let look = |index: usize, messages: i32, last: Step| {
        let (looks, mut left) = (&looks, messages);
        move || {
            looks.borrow_mut()[index] += 1;
            left -= 1;
            if left >= 0 { Step::Served } else { last }
        }
    };
    let mut few = Serve::new(2, 5, look(0, 2, Step::Idle));
    let mut many = Serve::new(1, 5, look(1, 100, Step::Idle));
    let mut broken = Serve::new(0, 5, look(2, 0, Step::Failed));
    let served = poll_all(&mut [&mut few, &mut many, &mut broken], 10);
    assert_eq!(served, Served { messages: 7, failed: 1, unreached: 0 });
    assert_eq!(looks.take(), [3, 5, 1]);
    let served = poll_all(&mut [&mut few, &mut many, &mut broken], 5);
    assert_eq!(served, Served { messages: 5, failed: 1, unreached: 1 });
    assert_eq!(looks.take(), [0, 5, 1]);
    assert_eq!(poll_all(&mut [&mut many], 0), Served { messages: 0, failed: 0, unreached: 1 });
    assert_eq!(poll_all(&mut [], 10), Served::default());
    assert_eq!(looks.take(), [0; 3]);
}
