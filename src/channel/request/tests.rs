//! A server against a requester that does anything: bounds of each step, and nothing is handed out that was not taken.

use super::*;
use crate::channel::{Attach, Channel, End, Mailbox, Snapshot};
use crate::fake::input::Input;
use crate::fake::memory::{Bound, Disturbance, Oracle, Words};
use core::cell::{Cell, RefCell};
use proptest::collection::vec;
use proptest::prelude::*;

const SLOTS: usize = 4;
const CHANNELS: [Channel; 2] =
    [Channel::request(End::Second, SLOTS as u32, 40), Channel::response(End::First, SLOTS as u32, 48)];

/// The call that joins the session, or finds a channel begun anew, also stores so many words.
const ANEW: usize = 5 + SLOTS;

fn drive(bytes: &[u8]) {
    let input = Input::new(bytes);
    let words = Words::new(Mailbox::<Words>::required_len(&CHANNELS).unwrap());
    let start = Snapshot::new(&words, &CHANNELS).link(End::Second).offset;
    let mut asking = Mailbox::new(words.clone(), End::Second, &CHANNELS).unwrap();
    let (mut asking_link, mut channels) = asking.attach(Attach::polled());
    let requester = RefCell::new(channels.requester::<4>(0, 1, 1).unwrap());
    let tampered = Cell::new(false);
    let step = || {
        let mut requester = requester.borrow_mut();
        match input.byte() % 8 {
            0..4 => drop(requester.start(0, 7, &[1; 24][..usize::from(input.byte()) % 25], input.byte().into())),
            4..7 => drop(requester.poll(0, &mut [0; 32])),
            _ => drop(requester.resync()),
        }
    };
    let line = 0x100;
    let oracle =
        Oracle::new(words.clone(), 0..start, &input, &step, &tampered).sparing([0..line, start..start + line].into());
    oracle.begin_call(Disturbance::None);
    let mut answering = Mailbox::new(&oracle, End::First, &CHANNELS).unwrap();
    let (mut link, mut channels) = answering.attach(Attach::polled());
    let mut server = Server::<_, 3, 24>::new(channels.responder(0, 1, 1).unwrap()).unwrap();
    for _ in 0..3 {
        oracle.begin_call(Disturbance::None);
        link.poll(0);
        asking_link.poll(0);
    }
    let (mut now, mut handled, mut joined) = (0, 0, false);
    while !input.is_empty() {
        let call = input.byte();
        oracle.begin_call([Disturbance::None, Disturbance::Race, Disturbance::Tamper][usize::from(call >> 5) % 3]);
        match call % 16 {
            0..6 => {
                let taken = server.take_one(now);
                oracle.end_call(Bound { loads: 4, stores: 1 + anew(&taken, joined), words: 5 });
                joined = true;
                check(&taken, &tampered);
            }
            6..11 => {
                let mut scratch = [0; 40];
                let room = usize::from(input.byte()) % 41;
                let answer = usize::from(input.byte());
                let worked = server.work_off(now, &mut scratch[..room], &mut |call, result| {
                    assert!(call.args.len() <= 24 && result.len() == room.min(32));
                    assert!(call.deadline.is_none_or(|deadline| now < deadline));
                    assert!(tampered.get() || (call.operation, call.args) == (7, &[1; 24][..call.args.len()]));
                    handled += 1;
                    if answer % 2 == 0 { Answer::Done(answer) } else { Answer::Refused(answer) }
                });
                oracle.end_call(Bound { loads: 1, stores: 1 + anew(&worked, joined), words: 6 });
                check(&worked, &tampered);
            }
            11 => {
                let _ = server.arm();
                oracle.end_call(Bound { loads: 2, stores: 2, words: 0 });
            }
            12 => {
                server.resync();
                oracle.end_call(Bound { loads: 2, stores: ANEW, words: 0 });
            }
            13 => {
                now += u64::from(input.byte());
                link.poll(now);
                asking_link.poll(now);
            }
            14 => oracle.scribble(),
            _ => step(),
        }
        let stats = server.responder().stats();
        let over = stats.done + stats.refused + stats.expired + stats.cancelled + stats.abandoned;
        assert_eq!(stats.taken, over + server.responder().open() as u64);
        assert!(handled <= stats.taken, "more was done than was taken");
    }
}

fn anew<T>(result: &Result<T, RequestError>, joined: bool) -> usize {
    if joined && !matches!(result, Err(RequestError::PeerResynced { .. })) { 0 } else { ANEW }
}

#[track_caller]
fn check<T>(result: &Result<T, RequestError>, tampered: &Cell<bool>) {
    assert!(tampered.get() || !matches!(result, Err(RequestError::Violated(_))), "an honest requester was accused");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_the_requester_writes_a_server_is_bounded_fetches_once_and_never_panics(bytes in vec(any::<u8>(), 0..400)) {
        drive(&bytes);
    }
}
