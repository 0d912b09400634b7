//! The Second end of the `tasks` image's mailbox.

use anyhow::{Context, Result, bail, ensure};
use ivshmem::channel::{
    Attach, Channel, ChannelLines, End, Link, LinkState, Mailbox, Notice, ReadError, Reader, Receiver, SendError,
    Sender, Snapshot,
};
use ivshmem_peer::{Backend, Kind, Mapping, Vector};
use std::array;
use std::time::{Duration, Instant};

pub const PAIRS: usize = 4;
/// Messages that a queue holds, and bytes from one to the next.
pub const SLOTS: usize = 64;
pub const STRIDE: usize = 256;

/// When a silent image is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// By how much a lost doorbell delays a message here.
const LONGEST_SLEEP: Duration = Duration::from_millis(10);
/// Looks before a sleep.
const SPIN: u32 = 100;

/// As the image has them; the digest tells if not.
const CHANNELS: [Channel; 2 * PAIRS + 1] = [
    Channel::queuing(End::Second, 64, 248),
    Channel::queuing(End::First, 64, 248),
    Channel::queuing(End::Second, 64, 248).vector(1),
    Channel::queuing(End::First, 64, 248).vector(1),
    Channel::queuing(End::Second, 64, 248).vector(2),
    Channel::queuing(End::First, 64, 248).vector(2),
    Channel::queuing(End::Second, 64, 248).vector(3),
    Channel::queuing(End::First, 64, 248).vector(3),
    Channel::sampling(End::First, 24).vector(4),
];

/// A sample of the image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub number: u64,
    pub micros: u64,
    pub commands: u64,
}

/// The halves of one pair.
struct Pair<'a> {
    commands: Sender<'a, Mapping>,
    responses: Receiver<'a, Mapping>,
    vector: Option<&'a Vector>,
}

pub struct Peer<'a> {
    backend: &'a dyn Backend,
    link: Link<'a, Mapping>,
    pairs: [Pair<'a>; PAIRS],
    samples: Reader<'a, Mapping>,
    sample_vector: Option<&'a Vector>,
    begin: Instant,
}

pub fn mailbox(backend: &dyn Backend) -> Result<Mailbox<'static, Mapping>> {
    Ok(Mailbox::new(backend.memory().clone(), End::Second, &CHANNELS)?)
}

/// What stands in the memory for a channel.
pub fn lines(backend: &dyn Backend, channel: usize) -> Option<ChannelLines> {
    Snapshot::new(backend.memory(), &CHANNELS).channel(channel)
}

impl<'a> Peer<'a> {
    pub fn attach(mailbox: &'a mut Mailbox<'static, Mapping>, backend: &'a dyn Backend) -> Result<Self> {
        let id = backend.id().filter(|_| backend.kind() == Kind::Doorbell);
        let (link, mut channels) = mailbox.attach(match id {
            Some(id) => Attach::interrupt_driven(id),
            None => Attach::polled(),
        });
        let mut pairs = Vec::new();
        for pair in 0..PAIRS {
            let (commands, responses) = (channels.sender(2 * pair)?, channels.receiver(2 * pair + 1)?);
            pairs.push(Pair { commands, responses, vector: id.and_then(|_| backend.vector(pair as u16)) });
        }
        let mut pairs = pairs.into_iter();
        let samples = channels.reader(2 * PAIRS)?;
        let sample_vector = id.and_then(|_| backend.vector(PAIRS as u16));
        let pairs = array::from_fn(|_| pairs.next().expect("as many were made"));
        Ok(Self { backend, link, pairs, samples, sample_vector, begin: Instant::now() })
    }

    pub fn come_up(&mut self) -> Result<()> {
        let begin = Instant::now();
        while !self.look().is_up() {
            ensure!(begin.elapsed() < PATIENCE, "the link does not come up");
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Looks at the image, which must be there.
    pub fn poll(&mut self) -> Result<()> {
        match self.look() {
            state if state.is_up() => Ok(()),
            // What it sent before is still to be had.
            LinkState::Closed => Ok(()),
            state => bail!("the link went down: {state:?}"),
        }
    }

    fn look(&mut self) -> LinkState {
        self.link.poll(self.begin.elapsed().as_micros() as u64)
    }

    /// The image's id, to ring it although nothing is due.
    pub fn peer_id(&self) -> Result<u16> {
        self.link.peer_id().context("the image published no id")
    }

    fn notify(&self, notice: Notice) -> Result<()> {
        notice.ring(self.backend)?;
        Ok(())
    }

    /// Sends unless the channel is full.
    pub fn try_send(&mut self, pair: usize, command: &[u8]) -> Result<bool> {
        self.poll()?;
        match self.pairs[pair].commands.try_send(command) {
            Ok(notice) => self.notify(notice).map(|()| true),
            Err(SendError::Full) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("pair {pair}")),
        }
    }

    /// Sends, waiting for room.
    pub fn send(&mut self, pair: usize, command: &[u8]) -> Result<()> {
        let begin = Instant::now();
        while !self.try_send(pair, command)? {
            ensure!(begin.elapsed() < PATIENCE, "pair {pair} stays full");
            std::thread::yield_now();
        }
        Ok(())
    }

    pub fn try_receive(&mut self, pair: usize) -> Result<Option<Vec<u8>>> {
        self.poll()?;
        let mut buffer = [0; 248];
        let received = self.pairs[pair].responses.try_recv(&mut buffer);
        Ok(received.with_context(|| format!("pair {pair}"))?.map(<[u8]>::to_vec))
    }

    /// Waits for a response, asleep where there is a vector.
    pub fn receive(&mut self, pair: usize) -> Result<Vec<u8>> {
        let begin = Instant::now();
        let mut buffer = [0; 248];
        loop {
            self.poll()?;
            let Pair { responses, vector, .. } = &mut self.pairs[pair];
            let received = match vector {
                Some(vector) => responses.recv(&mut buffer, &vector.bounded(LONGEST_SLEEP), SPIN),
                None => responses.try_recv(&mut buffer),
            };
            if let Some(response) = received.with_context(|| format!("pair {pair}"))? {
                return Ok(response.to_vec());
            }
            ensure!(begin.elapsed() < PATIENCE, "no response on pair {pair}");
            std::thread::yield_now();
        }
    }

    /// A command, and its response, which is itself.
    pub fn exchange(&mut self, pair: usize, command: &[u8]) -> Result<()> {
        self.send(pair, command)?;
        let response = self.receive(pair)?;
        ensure!(response == command, "pair {pair}: {command:?} came back as {response:?}");
        Ok(())
    }

    /// Waits until the image has restarted a pair's commands.
    pub fn await_resync(&mut self, pair: usize) -> Result<()> {
        let begin = Instant::now();
        loop {
            self.poll()?;
            match self.pairs[pair].commands.room() {
                Err(SendError::PeerResynced { lost_at_most: _ }) => return Ok(()),
                Ok(_) => {}
                Err(error) => bail!("pair {pair}: {error}"),
            }
            ensure!(begin.elapsed() < PATIENCE, "pair {pair} is not restarted");
            std::thread::yield_now();
        }
    }

    /// The next sample that was not seen before, awaited with a doorbell where there is a vector.
    pub fn changed_sample(&mut self) -> Result<Sample> {
        let begin = Instant::now();
        let mut buffer = [0; 24];
        loop {
            self.poll()?;
            let now = self.begin.elapsed().as_micros() as u64;
            match self.samples.read(&mut buffer, now) {
                Ok(sample) if sample.fresh => break,
                Ok(_) | Err(ReadError::Busy | ReadError::Empty) => {}
                Err(error) => return Err(error).context("no sample"),
            }
            if let Some(vector) = self.sample_vector {
                let seen = vector.count();
                if !self.samples.arm() {
                    vector.wait(seen, LONGEST_SLEEP);
                }
            }
            ensure!(begin.elapsed() < PATIENCE, "no new sample");
            std::thread::yield_now();
        }
        let [number, micros, commands] = array::from_fn(|word| {
            let bytes = array::from_fn(|byte| buffer[8 * word + byte]);
            u64::from_le_bytes(bytes)
        });
        Ok(Sample { number, micros, commands })
    }

    /// Doorbells that came for samples.
    pub fn sample_interrupts(&self) -> u32 {
        self.sample_vector.map_or(0, Vector::count)
    }

    /// Commands sent on all pairs.
    pub fn sent(&self) -> u64 {
        (0..PAIRS).map(|pair| self.counts(pair).0).sum()
    }

    /// Commands sent and responses received on a pair.
    pub fn counts(&self, pair: usize) -> (u64, u64) {
        let Pair { commands, responses, .. } = &self.pairs[pair];
        (commands.stats().sent, responses.stats().received)
    }
}
