//! Byte streams, samples and requests, exchanged with a hostile peer over what `ivshmem-peer` exchanges them with.

mod onlooker;
mod requests;
mod samples;
mod stream;

use super::region::Region;
use ivshmem::channel::{Channel, End, LinkState, Mailbox, Subscriber};
use ivshmem::fake::input::Input;
use ivshmem_peer::Attachment;
use onlooker::Onlooker;
use requests::{Answers, Asks};
use samples::{Reads, Writes};
use stream::{Incoming, Outgoing};

/// The longest message and value, in bytes, and the longest body of a request and of a response.
const LEN: u16 = 56;
const BODY: u16 = LEN - 16;
/// Steps of the peer without which its values are stale, or the peer is.
const STALE_AFTER: u64 = 20;
/// One of every kind from each end, those of the First end first.
const KINDS: [Channel; 8] = [
    Channel::queuing(End::First, 8, LEN),
    Channel::sampling(End::First, LEN),
    Channel::request(End::First, 4, LEN),
    Channel::response(End::First, 4, LEN),
    Channel::queuing(End::Second, 8, LEN),
    Channel::sampling(End::Second, LEN),
    Channel::request(End::Second, 4, LEN),
    Channel::response(End::Second, 4, LEN),
];

pub fn run(input: &Input<'_>) {
    let region = Region::new(input);
    let memory = region.backend.memory();
    let mut mailbox = Mailbox::new(memory.clone(), region.end, &KINDS).expect("the file is long enough");
    let mut subscriber = Subscriber::new(memory.clone(), region.end.other(), &KINDS).expect("the file is long enough");
    let (mut attachment, mut channels) = Attachment::attach(&mut mailbox, &*region.backend, 0);
    let (own, theirs) = if region.end == End::First { (0, 4) } else { (4, 0) };
    let taken = "each half is there, and taken once";
    let mut message = [0; LEN as usize];
    let mut incoming = Incoming::new(channels.receiver(theirs).expect(taken), &mut message);
    let mut outgoing = Outgoing::new(channels.sender(own).expect(taken));
    let mut reads = Reads::new(channels.reader(theirs + 1).expect(taken));
    let mut writes = Writes::new(channels.writer(own + 1).expect(taken));
    let mut onlooker = Onlooker::new(&mut subscriber, theirs + 1);
    let mut asks = Asks::new(channels.requester(own + 2, theirs + 3, 1).expect(taken));
    let mut answers = Answers::new(channels.responder(theirs + 2, own + 3, 1).expect(taken));
    region.attack(input, &KINDS, |moment| {
        let state = attachment.poll();
        moment.check_link(state);
        match input.byte() % 8 {
            0 => incoming.call(input, moment),
            1 => outgoing.call(input, moment),
            2 => reads.call(input, moment),
            3 => writes.call(moment),
            4 => onlooker.call(input, moment),
            5 if state.is_up() => onlooker.compare(&mut reads, moment),
            5 | 6 => asks.call(input, moment),
            _ => answers.call(input, moment),
        }
    });
    attachment.close();
    assert_eq!(attachment.poll(), LinkState::Closed);
}
