//! `ivshmem-peer stream`.

use super::mailbox::{Role, unlinked};
use super::progress::Patience;
use super::window::{ChannelArguments, Opened, Picked};
use super::{Failure, stop};
use core::time::Duration;
use embedded_io::{Read, ReadReady, Write as _, WriteReady};
use ivshmem::channel::stream::{StreamError, StreamReader, StreamWriter};
use ivshmem::channel::{Channel, Channels, Kind, LinkState, RecvError, SendError, Snapshot};
use ivshmem::notify::{Doorbell, Wait};
use ivshmem_peer::{Attachment, Backend, Mapping, RingError, poll_until};
use rustix::event::{PollFd, PollFlags};
use std::io::Write as _;
use std::time::Instant;

/// Pipe bytes: standard input into a queuing channel, and another one to standard output.
///
/// Ends when standard input has ended and the other side has taken it, which closes the other direction too; or when the other side closes.
/// With --send or --receive alone there is only that direction. Exit code 1: the other side closed before it took everything, or
/// restarted, so that bytes may be lost; 4: it gave no sign of life for --timeout. What is on its way to a side that closes, at most
/// a quarter of a channel, is lost without a word.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ivshmem-peer stream --device file:/dev/shm/ivshmem --receive 0 --end first > program.ngc
  ivshmem-peer stream --device file:/dev/shm/ivshmem --send 0 < program.ngc
  ivshmem-peer stream --channels queuing:second:64x1016,queuing:first:64x1016")]
pub(super) struct Stream {
    #[command(flatten)]
    window: ChannelArguments,
    /// Which end of the mailbox to be.
    #[arg(long, value_name = "END", default_value = "second")]
    end: Role,
    /// The channel that takes standard input; without this and --receive, the first unprotected queuing channel of either direction.
    #[arg(long, value_name = "N")]
    send: Option<usize>,
    /// The channel that goes to standard output.
    #[arg(long, value_name = "N")]
    receive: Option<usize>,
    /// How long to wait for the other side to come up, to give a sign of life, or to take the last bytes, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400 * 365))]
    timeout: u64,
}

/// The backend, to ring with.
struct Bell<'a>(&'a dyn Backend);

impl Doorbell for Bell<'_> {
    type Error = RingError;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), RingError> {
        self.0.ring(peer, vector)
    }
}

/// Reads and writes only when they are ready.
struct NoWait;

impl Wait for NoWait {
    fn count(&self) -> u32 {
        0
    }

    fn wait(&self, _: u32) -> bool {
        false
    }
}

type Writer<'a> = StreamWriter<'a, Mapping, Bell<'a>, NoWait>;
type Reader<'a> = StreamReader<'a, Mapping, NoWait>;

/// What one look at everything came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    Something,
    Nothing,
    /// The other side has closed.
    Closed,
}

/// Both directions, and what waits to be written.
struct Pipe<'a> {
    writer: Option<Writer<'a>>,
    reader: Option<Reader<'a>>,
    stdin: std::io::Stdin,
    waiting: Vec<u8>,
    ended: bool,
}

impl Stream {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let list = self.window.channels().channels();
        let own = self.end.end();
        let carries = |channel: &Channel| channel.kind() == Kind::Queuing && channel.data_id().is_none();
        let first = |from| list.iter().position(|channel| carries(channel) && channel.from() == from);
        let (send, receive) = match (self.send, self.receive) {
            (None, None) => (first(own), first(own.other())),
            given => given,
        };
        if (send, receive) == (None, None) {
            return Err(Failure::Usage("the mailbox has no unprotected queuing channel to pipe through".into()));
        }
        for (index, from) in [(send, own), (receive, own.other())] {
            let picked = index.map(|index| self.window.pick(Some(index), Kind::Queuing, from)).transpose()?;
            picked.map(Picked::unprotected).transpose()?;
        }
        let vector = receive.and_then(|channel| list.get(channel)).map_or(0, Channel::rings);
        let Opened { name, backend, mut mailbox } = self.window.mailbox(own)?;
        let (mut attachment, mut channels) = Attachment::attach(&mut mailbox, &*backend, vector);
        let bell = Bell(&*backend);
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let outcome = Pipe::new(&mut channels, send, receive, &bell, &mut buffer)
            .map_err(|error| Failure::Failed(format!("{name}: {error}")))
            .and_then(|mut pipe| self.pump(&mut attachment, &mut pipe, |sent| unread(&*backend, list, send, sent)));
        attachment.close();
        outcome
    }

    /// `unread`: how many of so many messages the other side has not taken, give or take what it acknowledges later.
    fn pump(
        &self,
        attachment: &mut Attachment<'_>,
        pipe: &mut Pipe<'_>,
        unread: impl Fn(u64) -> u64,
    ) -> Result<(), Failure> {
        let mut patience = Patience::new("stream", Duration::from_secs(self.timeout));
        let mut least = u64::MAX;
        loop {
            stop::check()?;
            let state = attachment.poll();
            // Also by a side that came and closed between two looks.
            let was_up = attachment.link_stats().sessions > 0;
            if !was_up {
                // An earlier user of the memory may have closed: no end of this stream.
                patience.check(|| unlinked(state))?;
                attachment.rest();
                continue;
            }
            match pipe.look(state.is_up())? {
                Moved::Something => {
                    attachment.received();
                    patience.renew();
                    continue;
                }
                Moved::Closed => return pipe.closed(unread(pipe.sent())),
                Moved::Nothing if state == LinkState::Closed => return pipe.closed(unread(pipe.sent())),
                Moved::Nothing if pipe.is_done() => match unread(pipe.sent()) {
                    0 => return Ok(()),
                    fewer if fewer < least => {
                        least = fewer;
                        patience.renew();
                    }
                    _ => patience.check(|| "sign that the other side receives; the bytes are in its queue".into())?,
                },
                Moved::Nothing if matches!(state, LinkState::Up { .. }) => patience.renew(),
                // Stale is up, too, but whoever stands still may have died.
                Moved::Nothing => patience.check(|| unlinked(state))?,
            }
            attachment.rest();
        }
    }
}

impl<'a> Pipe<'a> {
    fn new(
        channels: &mut Channels<'a, Mapping>,
        send: Option<usize>,
        receive: Option<usize>,
        bell: &'a Bell<'a>,
        buffer: &'a mut [u8],
    ) -> Result<Self, Box<dyn core::error::Error>> {
        let writer = send.map(|channel| channels.sender(channel)).transpose()?;
        let reader = receive.map(|channel| channels.receiver(channel)).transpose()?;
        Ok(Self {
            ended: writer.is_none(),
            writer: writer.map(|sender| StreamWriter::new(sender, bell, &NoWait, 0)),
            reader: reader.map(|receiver| StreamReader::new(receiver, buffer, &NoWait, 0)).transpose()?,
            stdin: std::io::stdin(),
            waiting: Vec::new(),
        })
    }

    /// Standard input has ended, and all of it is sent.
    fn is_done(&self) -> bool {
        self.writer.is_some() && self.ended && self.waiting.is_empty()
    }

    /// Messages sent.
    fn sent(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.sender().stats().sent)
    }

    /// The other side has closed: a failure if there was more for it, with `unread` messages in its queue.
    fn closed(&mut self, unread: u64) -> Result<(), Failure> {
        if self.waiting.is_empty() && !self.ended {
            self.ended = !take_input(&self.stdin, &mut self.waiting)?;
        }
        match (self.waiting.len(), unread) {
            (0, 0) => Ok(()),
            (unsent, unread) => Err(Failure::Failed(format!(
                "the other side closed before it took everything: {unread} messages are unread in its queue, and of standard input \
                 {unsent} bytes or more are not sent"
            ))),
        }
    }

    fn look(&mut self, up: bool) -> Result<Moved, Failure> {
        let mut moved = Moved::Nothing;
        if let Some(reader) = &mut self.reader
            && reader.read_ready().map_err(|error| failed(&error))?
        {
            let mut bytes = [0; 4096];
            match reader.read(&mut bytes).map_err(|error| failed(&error))? {
                0 => return Ok(Moved::Closed),
                count => {
                    let mut out = std::io::stdout().lock();
                    out.write_all(&bytes[..count]).and_then(|()| out.flush()).map_err(|_| Failure::NoReader)?;
                    moved = Moved::Something;
                }
            }
        }
        let Some(writer) = &mut self.writer else { return Ok(moved) };
        if !up {
            return Ok(moved);
        }
        if self.waiting.is_empty() && !self.ended {
            self.ended = !take_input(&self.stdin, &mut self.waiting)?;
        }
        // Asked for also if there is nothing to write: a restart is told by it.
        while writer.write_ready().map_err(|error| failed(&error))? && !self.waiting.is_empty() {
            let count = writer.write(&self.waiting).map_err(|error| failed(&error))?;
            self.waiting.drain(..count);
            moved = Moved::Something;
        }
        Ok(moved)
    }
}

/// Reads what standard input has to give now. `false`: it has ended.
fn take_input(stdin: &std::io::Stdin, bytes: &mut Vec<u8>) -> Result<bool, Failure> {
    let mut ready = [PollFd::new(stdin, PollFlags::IN)];
    poll_until(&mut ready, Instant::now());
    if ready[0].revents().is_empty() {
        return Ok(true);
    }
    let mut chunk = [0; 4096];
    match rustix::io::read(stdin, &mut chunk) {
        Ok(0) => Ok(false),
        Ok(count) => {
            bytes.extend_from_slice(&chunk[..count]);
            Ok(true)
        }
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(true),
        Err(errno) => Err(Failure::Failed(format!("cannot read standard input: {}", std::io::Error::from(errno)))),
    }
}

/// How many of the `sent` messages of this session the peer has not taken: 0 if it has begun to and fewer are not acknowledged
/// than it may leave so, which is less than a quarter of the ring.
fn unread(backend: &dyn Backend, channels: &[Channel], send: Option<usize>, sent: u64) -> u64 {
    let channel = send.and_then(|index| Some((channels.get(index)?, index)));
    let Some((channel, index)) = channel.filter(|_| sent > 0) else { return 0 };
    let Some(lines) = Snapshot::new(backend.memory(), channels).channel(index) else { return 0 };
    if u64::from(lines.acknowledged.key.bits()) != lines.ring {
        return sent;
    }
    let behind = (sent as u32).wrapping_sub(lines.acknowledged.count);
    if behind < (channel.slots() / 4).max(1) { 0 } else { behind.into() }
}

fn failed(error: &StreamError) -> Failure {
    match error {
        StreamError::Send(SendError::PeerRestarted { .. }) | StreamError::Receive(RecvError::PeerRestarted { .. }) => {
            Failure::Failed("the other side restarted; bytes may be lost".into())
        }
        error => Failure::Failed(format!("the stream broke: {error}")),
    }
}
