//! Every half that the image has, and what it does with each.

use ivshmem::channel::protection::{self, Expected, ProtectedReceiver, ProtectedSender, Window};
use ivshmem::channel::request::{Failure, Incoming, Polled, RequestError, Requester, Responder, Status};
use ivshmem::channel::{
    Channel, Channels, End, Notice, ReadError, Reader, Receiver, RecvError, SendError, Sender, TakeError, Writer,
};
use ivshmem::device::DoorbellRegister;
use ivshmem::memory::SharedMemory;

/// Messages, requests and the like that are dealt with in a round.
const BUDGET: usize = 16;
/// The most bytes of a message.
const MAX_LEN: usize = 120;
/// The operation of the image's own requests, and their budget in microseconds.
const OPERATION: u32 = 7;
const CALL_BUDGET_US: u32 = 1_000_000;
/// Who the protected messages are of, and what names their data.
const SOURCE_IN: u16 = 2;
const SOURCE_OUT: u16 = 1;

/// The channels of an image that is this end.
pub const fn channels(own: End) -> [Channel; 10] {
    let peer = own.other();
    [
        Channel::queuing(peer, 16, 120),
        Channel::queuing(own, 16, 120),
        Channel::sampling(peer, 56),
        Channel::sampling(own, 56),
        Channel::request(peer, 8, 120),
        Channel::response(own, 8, 120),
        Channel::request(own, 8, 120),
        Channel::response(peer, 8, 120),
        Channel::queuing(peer, 8, 120).protected(0x51),
        Channel::queuing(own, 8, 120).protected(0x52),
    ]
}

type Memory = SharedMemory;

/// Every half that this end has.
pub struct Kinds<'a> {
    bell: Option<DoorbellRegister>,
    pub messages: Receiver<'a, Memory>,
    answers: Sender<'a, Memory>,
    pub reader: Reader<'a, Memory>,
    writer: Writer<'a, Memory>,
    pub responder: Responder<'a, Memory, 8>,
    pub requester: Requester<'a, Memory, 4>,
    pub protected_in: ProtectedReceiver<'a, Memory>,
    protected_out: ProtectedSender<'a, Memory>,
    /// The message `quit` came.
    pub last: bool,
}

impl<'a> Kinds<'a> {
    pub fn new(
        mut channels: Channels<'a, Memory>,
        now: u64,
        ticks_per_us: u64,
        bell: Option<DoorbellRegister>,
    ) -> Result<Self, TakeError> {
        let window = Window { last: 8, enough: 1, tolerated: 1 };
        let expected = Expected { source: SOURCE_IN, max_lost: 4, validity: 0, window };
        Ok(Self {
            bell,
            messages: channels.receiver(0)?,
            answers: channels.sender(1)?,
            reader: channels.reader(2)?,
            writer: channels.writer(3)?,
            responder: channels.responder(4, 5, ticks_per_us)?,
            requester: channels.requester(6, 7, ticks_per_us)?,
            protected_in: channels.protected_receiver(8, expected, now)?,
            protected_out: channels.protected_sender(9, SOURCE_OUT)?,
            last: false,
        })
    }

    /// Looks at every channel, and says whether there was anything. What a peer violates is begun anew.
    pub fn round(&mut self, now: u64) -> bool {
        let mut busy = false;
        for _ in 0..BUDGET {
            let more = [self.message(now), self.request(now), self.call_ended(now), self.protected(now)];
            if !more.contains(&true) {
                break;
            }
            busy = true;
        }
        self.sample(now) || busy
    }

    fn message(&mut self, now: u64) -> bool {
        let mut buffer = [0; MAX_LEN];
        // Nothing is taken that could not be answered.
        match self.answers.room() {
            Ok(1..) => {}
            Err(SendError::Violated(_)) => {
                self.answers.resync();
                return true;
            }
            // A new session, or the peer's resync, is said once.
            Err(SendError::PeerRestarted { .. } | SendError::PeerResynced { .. }) => return true,
            _ => return false,
        }
        match self.messages.try_recv(&mut buffer) {
            Ok(Some(message)) => {
                if let Some(args) = message.strip_prefix(b"call ") {
                    let started = self.requester.start(now, OPERATION, args, CALL_BUDGET_US);
                    if let Ok((_, notice)) = started {
                        ring(&self.bell, notice);
                        return true;
                    }
                }
                self.last |= message == b"quit";
                let sent = self.answers.try_send(message);
                self.ring_sent(sent);
                true
            }
            Ok(None) => false,
            Err(error) => {
                if matches!(error, RecvError::Violated(_)) {
                    self.messages.resync();
                }
                false
            }
        }
    }

    fn sample(&mut self, now: u64) -> bool {
        let mut buffer = [0; 56];
        match self.reader.read(&mut buffer, now) {
            Ok(sample) if sample.fresh => {
                if let Ok(notice) = self.writer.write(sample.bytes) {
                    ring(&self.bell, notice);
                }
                true
            }
            Ok(_) => false,
            Err(error) => {
                if matches!(error, ReadError::Violated(_)) {
                    self.reader.resync();
                }
                false
            }
        }
    }

    fn request(&mut self, now: u64) -> bool {
        let mut args = [0; MAX_LEN];
        let request = match self.responder.next(now, &mut args) {
            Ok(Some(Incoming::Request(request))) => request,
            Ok(other) => return other.is_some(),
            Err(error) => {
                if matches!(error, RequestError::Violated(_)) {
                    self.responder.resync();
                }
                return false;
            }
        };
        let args = &mut args[..request.len];
        let answered = match request.operation {
            1 => {
                args.reverse();
                self.responder.respond(request.token, Status::Done, args)
            }
            3 => return true,
            _ => self.responder.respond(request.token, Status::Refused, b"no such operation"),
        };
        if let Ok(notice) = answered {
            ring(&self.bell, notice);
        }
        true
    }

    /// Sends back how a request of our own ended.
    fn call_ended(&mut self, now: u64) -> bool {
        if !matches!(self.answers.room(), Ok(1..)) {
            return false;
        }
        let mut result = [0; MAX_LEN];
        match self.requester.poll(now, &mut result) {
            Ok(Some(Polled::Ended(completion))) => {
                let (name, len) = match completion.outcome {
                    Ok(len) => ("done", len),
                    Err(Failure::Refused { len }) => ("refused", len),
                    Err(Failure::Expired) => ("expired", 0),
                    Err(Failure::TimedOut) => ("timed out", 0),
                    Err(_) => ("ended", 0),
                };
                let sent = self.answers.try_send(joined(name, &result[..len]).as_slice());
                self.ring_sent(sent);
                true
            }
            Ok(other) => other.is_some(),
            Err(error) => {
                if matches!(error, RequestError::Violated(_)) {
                    self.requester.resync();
                }
                false
            }
        }
    }

    fn protected(&mut self, now: u64) -> bool {
        let mut buffer = [0; MAX_LEN];
        match self.protected_in.try_recv(&mut buffer, now) {
            Ok(Some(checked)) => {
                let name = match checked.status {
                    protection::Status::Ok => "ok",
                    protection::Status::SomeLost { .. } => "some lost",
                    protection::Status::Repeated { .. } => "repeated",
                    protection::Status::WrongSequence { .. } => "wrong sequence",
                    protection::Status::WrongSource { .. } => "wrong source",
                    protection::Status::BadCrc { .. } => "bad crc",
                    _ => "stale",
                };
                let answer = joined(name, checked.bytes);
                let mut sent = self.protected_out.try_send(&answer);
                if matches!(sent, Err(SendError::PeerRestarted { .. } | SendError::PeerResynced { .. })) {
                    // Said once.
                    sent = self.protected_out.try_send(&answer);
                }
                if matches!(sent, Err(SendError::Violated(_))) {
                    self.protected_out.resync();
                }
                self.ring_sent(sent);
                true
            }
            Ok(None) => false,
            Err(error) => {
                if matches!(error, RecvError::Violated(_)) {
                    self.protected_in.resync();
                }
                false
            }
        }
    }

    fn ring_sent(&self, sent: Result<Notice, SendError>) {
        if let Ok(notice) = sent {
            ring(&self.bell, notice);
        }
    }
}

fn ring(bell: &Option<DoorbellRegister>, notice: Notice) {
    match bell {
        // A peer that published an id or a vector that cannot be rung finds the message by looking.
        Some(bell) => drop(notice.ring(bell)),
        None => notice.ignore(),
    }
}

/// A word, a space, and as much of the bytes as fits into a protected message.
fn joined(name: &str, bytes: &[u8]) -> heapless::Vec<u8, { MAX_LEN - 24 }> {
    let mut joined = heapless::Vec::new();
    for byte in name.bytes().chain([b' ']).chain(bytes.iter().copied()) {
        // What does not fit is cut off.
        let _ = joined.push(byte);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivshmem::channel::{Attach, Kind, Mailbox, Snapshot};
    use ivshmem::fake::memory::loop_back;
    use ivshmem::memory::Memory;

    #[test]
    fn the_channels_are_described_as_the_command_line_names_them() {
        let parts = channels(End::First).map(|channel| {
            let kind = format!("{:?}", channel.kind()).to_lowercase();
            let from = format!("{:?}", channel.from()).to_lowercase();
            let slots = if channel.kind() == Kind::Sampling { String::new() } else { format!("{}x", channel.slots()) };
            let protected = channel.data_id().map_or_else(String::new, |id| format!(":protected={id:#x}"));
            format!("{kind}:{from}:{slots}{}{protected}", channel.max_len())
        });
        let described = include_str!("main.rs").replace("\n//! ", "");
        assert!(described.contains(&parts.join(",")), "{}", parts.join(","));
        assert!(described.contains(&format!("`--source` is {SOURCE_IN} to the image and {SOURCE_OUT} from it")));
    }

    #[test]
    fn a_protected_channel_whose_acknowledgement_is_overwritten_is_begun_anew() {
        const CHANNELS: [Channel; 10] = channels(End::First);
        let (first, second) = loop_back(1 << 16).unwrap();
        let hostile = second.window(0, second.len()).unwrap();
        let mut image = Mailbox::new(first, End::First, &CHANNELS).unwrap();
        let mut peer = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
        let (mut link, halves) = image.attach(Attach::polled());
        let mut kinds = Kinds::new(halves, 0, 1, None).unwrap();
        let (mut peer_link, mut halves) = peer.attach(Attach::polled());
        let mut messages = halves.protected_sender(8, SOURCE_IN).unwrap();
        let window = Window { last: 8, enough: 1, tolerated: 1 };
        let expected = Expected { source: SOURCE_OUT, max_lost: 4, validity: 0, window };
        let mut answers = halves.protected_receiver(9, expected, 0).unwrap();
        while !(link.poll(0).is_up() & peer_link.poll(0).is_up()) {}
        let mut answered = |now| {
            link.poll(now);
            let _ = messages.try_send(b"this").map(Notice::ignore);
            kinds.round(now);
            matches!(answers.try_recv(&mut [0; MAX_LEN], now), Ok(Some(answer)) if answer.bytes == b"ok this")
        };
        assert!(answered(1));

        // The word by which the peer's receiver acknowledges: more than was ever sent.
        let word = Snapshot::new(&hostile, &CHANNELS).link(End::Second).offset + 0x100 + 9 * 128;
        hostile.publish(word, hostile.load(word) | 0xffff_ffff);
        assert!(!answered(2));
        assert!((3..10).any(answered));
    }
}
