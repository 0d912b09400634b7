//! `cargo xtask load`: one general-purpose end under load, to be killed. What it has counted outlives it.
//!
//! Each message is `ping <round> <number> <filling>`, and its answer from `echo` or `control-loop` says the same but for its first
//! word. Any other answer, one that comes twice or out of order included, ends it as a failure.

mod counts;

pub use counts::{Counts, Word};

use anyhow::{Result, bail, ensure};
use ivshmem::channel::{End, LinkState, RecvError, SendError};
use ivshmem_peer::{DeviceName, Exchange, MAX_MESSAGE, Purpose, Sysfs, poll_until};
use rustix::event::{PollFd, PollFlags};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Looks between two looks at whether standard input has ended.
const LOOKS: u32 = 64;
/// Messages received before the link is polled again.
const BATCH: u32 = 64;
/// How long it waits for one thing, such as the last answer, before it gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Send numbered messages and check their answers, until standard input ends
#[derive(clap::Args, Debug)]
pub struct Load {
    /// As for `ivshmem-peer`
    #[arg(long)]
    device: DeviceName,
    /// Where the mailbox begins
    #[arg(long, default_value_t = 0)]
    offset: usize,
    /// The memory for what is counted
    #[arg(long)]
    counts: PathBuf,
    /// The number in every message by which its answer is told from one of another round
    #[arg(long)]
    round: u64,
    /// End after so many messages
    #[arg(long)]
    messages: Option<u64>,
    /// Say `quit` at the end, which ends the image
    #[arg(long)]
    quit: bool,
}

impl Load {
    pub fn run(self) -> Result<()> {
        let counts = Counts::open(&self.counts)?;
        let backend = ivshmem_peer::open(Some(&self.device), Purpose::Exchange, &Sysfs::default())?;
        let backend = ivshmem_peer::window(backend, self.offset)?;
        let mut mailbox = ivshmem_peer::mailbox(&*backend, End::Second)?;
        let exchange = Exchange::attach(&mut mailbox, &*backend, End::Second);
        let mut end = Loaded {
            exchange,
            counts,
            round: self.round,
            session: None,
            in_session: 0,
            answered_in_session: 0,
            reported: Reported::default(),
            since: Instant::now(),
        };
        println!("load: attached round={}", self.round);
        let result = end.work(self.messages);
        let result = result.and_then(|()| if self.quit { end.quit() } else { Ok(()) });
        end.exchange.close();
        let count = |word| end.counts.get(word);
        println!(
            "load: end round={} sent={} answered={} lost={} restarts={} stale={}",
            self.round,
            count(Word::Sent),
            count(Word::Answered),
            count(Word::Lost),
            count(Word::Restarts),
            count(Word::Stale)
        );
        result
    }
}

/// What each half reported as lost at most at the last restart: the sender of the messages, and the receiver of the answers.
#[derive(Default)]
struct Reported {
    messages: u64,
    answers: u64,
}

struct Loaded<'a> {
    exchange: Exchange<'a>,
    counts: Counts,
    round: u64,
    session: Option<u64>,
    /// Messages sent, and answered, in this session.
    in_session: u64,
    answered_in_session: u64,
    reported: Reported,
    /// When something last went on.
    since: Instant,
}

impl Loaded<'_> {
    /// Until all that is to be sent is answered, or reported lost.
    fn work(&mut self, messages: Option<u64>) -> Result<()> {
        let mut looks = 0;
        let mut over = false;
        loop {
            looks += 1;
            over |=
                looks % LOOKS == 0 && input_ended() || messages.is_some_and(|most| self.counts.get(Word::Sent) >= most);
            if !self.poll()? {
                continue;
            }
            while !over && self.send()? {
                over = messages.is_some_and(|most| self.counts.get(Word::Sent) >= most);
            }
            for _ in 0..BATCH {
                if !self.receive()? {
                    break;
                }
            }
            if over && self.answered_in_session == self.in_session {
                return Ok(());
            }
        }
    }

    /// Looks at the link and accounts for the session that is over, if one is; says whether it is up.
    fn poll(&mut self) -> Result<bool> {
        ensure!(self.since.elapsed() < PATIENCE, "nothing goes on any more: {:?}", self.exchange.poll());
        let was_stale = self.counts.get(Word::IsStale) == 1;
        match self.exchange.poll() {
            LinkState::Up { session } => {
                if was_stale {
                    self.counts.set(Word::IsStale, 0);
                }
                if self.session != Some(session) {
                    self.begin(session)?;
                }
                Ok(true)
            }
            LinkState::Stale { .. } => {
                if !was_stale {
                    // Counted first: whoever sees that it is stale looks how often.
                    self.counts.add(Word::Stale, 1);
                    self.counts.set(Word::IsStale, 1);
                }
                // A machine that was stopped is waited for as long as whoever stopped it likes.
                self.since = Instant::now();
                Ok(true)
            }
            LinkState::Violated(violation) => bail!("the image violated the protocol: {violation}"),
            LinkState::Incompatible { .. } => bail!("the image has other channels"),
            _ => {
                self.exchange.rest();
                Ok(false)
            }
        }
    }

    fn begin(&mut self, session: u64) -> Result<()> {
        self.since = Instant::now();
        let before = self.session.replace(session);
        let lost = self.in_session - self.answered_in_session;
        self.counts.add(Word::Lost, lost);
        let (sent, answered) = (self.in_session, self.answered_in_session);
        (self.in_session, self.answered_in_session) = (0, 0);
        self.counts.set(Word::SessionSent, 0);
        self.counts.set(Word::SessionAnswered, 0);
        self.counts.set(Word::Session, session);
        let Some(before) = before else { return Ok(()) };
        // Each half tells once, with the first call in the new session.
        self.reported = Reported::default();
        self.receive()?;
        self.send()?;
        self.counts.add(Word::Restarts, 1);
        let Reported { messages, answers } = self.reported;
        println!(
            "load: restarted round={} session={before:016x} sent={sent} answered={answered} \
             messages_lost_at_most={messages} answers_lost_at_most={answers}",
            self.round
        );
        Ok(())
    }

    /// Sends the next message; `false`: not now.
    fn send(&mut self) -> Result<bool> {
        let number = self.counts.get(Word::Sent);
        self.counts.set(Word::Sending, number + 1);
        let sent = self.exchange.try_send(message("ping", self.round, number).as_bytes());
        match sent {
            Ok(()) => {
                self.counts.set(Word::Sent, number + 1);
                self.in_session += 1;
                self.counts.set(Word::SessionSent, self.in_session);
                return Ok(true);
            }
            Err(SendError::PeerRestarted { lost_at_most }) => self.reported.messages += u64::from(lost_at_most),
            Err(SendError::Full | SendError::NotUp | SendError::Closed) => {}
            Err(error) => bail!("message {number} cannot be sent: {error}"),
        }
        self.counts.set(Word::Sending, number);
        Ok(false)
    }

    /// Takes one answer and checks it; `false`: there is none.
    fn receive(&mut self) -> Result<bool> {
        let mut buffer = [0; MAX_MESSAGE];
        match self.exchange.recv(&mut buffer) {
            Ok(Some(answer)) => {
                let number = self.counts.get(Word::Answered) + self.counts.get(Word::Lost);
                let right = ["ping", "pong"].map(|word| message(word, self.round, number));
                if !right.iter().any(|right| right.as_bytes() == answer) {
                    let found = String::from_utf8_lossy(answer);
                    println!("load: wrong round={} number={number} found=\"{found}\"", self.round);
                    bail!("instead of the answer to message {number} of round {} came \"{found}\"", self.round);
                }
                self.counts.add(Word::Answered, 1);
                self.answered_in_session += 1;
                self.counts.set(Word::SessionAnswered, self.answered_in_session);
                self.since = Instant::now();
                Ok(true)
            }
            Ok(None) | Err(RecvError::NotUp | RecvError::Closed) => Ok(false),
            Err(RecvError::PeerRestarted { lost_at_most }) => {
                self.reported.answers += u64::from(lost_at_most);
                Ok(false)
            }
            Err(error) => bail!("no answer can be received: {error}"),
        }
    }

    fn quit(&mut self) -> Result<()> {
        let mut buffer = [0; MAX_MESSAGE];
        let mut said = false;
        loop {
            self.poll()?;
            said = said || self.exchange.try_send(b"quit").is_ok();
            if let Ok(Some(answer)) = self.exchange.recv(&mut buffer) {
                ensure!(answer.ends_with(b"quit"), "`quit` was answered by {:?}", String::from_utf8_lossy(answer));
                return Ok(());
            }
        }
    }
}

/// Lengths from short to nearly the longest.
fn message(word: &str, round: u64, number: u64) -> String {
    format!("{word} {round} {number} {:.<1$}", "", (number * 7 % 190) as usize)
}

fn input_ended() -> bool {
    let input = std::io::stdin();
    let mut fds = [PollFd::new(&input, PollFlags::IN)];
    poll_until(&mut fds, Instant::now());
    fds[0].revents().intersects(PollFlags::HUP | PollFlags::IN)
}
