//! One command at a time over the link, through restarts of the real-time side, with every round trip measured.

use super::script::Command;
use crate::cli::Failure;
use crate::cli::mailbox::{quoted, unlinked};
use crate::cli::progress::Patience;
use crate::cli::stop;
use crate::cli::terminal::{Screen, Terminal};
use core::time::Duration;
use hdrhistogram::Histogram;
use ivshmem::channel::{End, LinkState, Mailbox, RecvError, SendError};
use ivshmem_peer::{Backend, Exchange, LONGEST_SLEEP, MAX_MESSAGE, Mapping, Vector, poll_until};
use rustix::event::{PollFd, PollFlags};
use std::io::Write;
use std::time::Instant;

/// What became of a command.
pub(super) enum Answer {
    /// The response, and the session it came in.
    Response { text: Vec<u8>, session: u64 },
    /// The real-time side restarted, and the command must not be repeated.
    Lost,
}

/// The operator's end of the mailbox.
pub(super) struct Engine<'a> {
    exchange: Exchange<'a>,
    pub(super) screen: Screen,
    vector: Option<&'a Vector>,
    patience: Patience,
    /// The session that is up or was last.
    session: Option<u64>,
    link_time: Option<Duration>,
    commands: u64,
    responses: u64,
    wrong: u64,
    /// Lines typed that are too long for a message.
    unsent: u64,
    round_trips: RoundTrips,
    progress_at: Instant,
}

impl<'a> Engine<'a> {
    pub(super) fn attach(
        mailbox: &'a mut Mailbox<'static, Mapping>,
        backend: &'a dyn Backend,
        timeout: Duration,
        screen: Screen,
    ) -> Self {
        Self {
            exchange: Exchange::attach(mailbox, backend, End::Second),
            screen,
            vector: backend.vector(0),
            patience: Patience::new("operator", timeout),
            session: None,
            link_time: None,
            commands: 0,
            responses: 0,
            wrong: 0,
            unsent: 0,
            round_trips: RoundTrips::default(),
            progress_at: Instant::now(),
        }
    }

    /// Waits until the link is up.
    pub(super) fn wait_up(&mut self) -> Result<(), Failure> {
        self.patience.renew();
        while self.poll(None)?.is_none() {}
        Ok(())
    }

    /// Carries out one command: sends it, waits for its response, and repeats it in a new session if it may.
    pub(super) fn execute(&mut self, command: &Command) -> Result<Answer, Failure> {
        self.patience.renew();
        self.commands += 1;
        // When and in which session it was sent.
        let mut sent: Option<(Instant, u64)> = None;
        let mut buffer = [0; MAX_MESSAGE];
        loop {
            let up = self.poll(Some(sent.is_some()))?;
            if let (Some(session), Some((_, sent_in))) = (up, sent)
                && session != sent_in
            {
                if !command.repeatable {
                    return Ok(Answer::Lost);
                }
                sent = None;
            }
            match (up, sent) {
                (Some(session), None) => {
                    let now = Instant::now();
                    if self.send(&command.text)? {
                        sent = Some((now, session));
                    }
                }
                (_, Some((at, session))) => match self.exchange.recv(&mut buffer) {
                    Ok(Some(text)) => {
                        self.round_trips.record(at.elapsed());
                        self.responses += 1;
                        return Ok(Answer::Response { text: text.to_vec(), session });
                    }
                    Ok(None) | Err(RecvError::NotUp | RecvError::Closed | RecvError::PeerRestarted { .. }) => {}
                    Err(error) => return Err(Failure::Failed(format!("cannot receive: {error}"))),
                },
                (None, None) => {}
            }
            if up.is_some() {
                let text = quoted(&command.text);
                self.patience.check(|| format!("response to {text}"))?;
            }
        }
    }

    /// Sends if the link allows it now. `false`: not yet, poll and try again.
    fn send(&mut self, message: &[u8]) -> Result<bool, Failure> {
        match self.exchange.try_send(message) {
            Ok(()) => Ok(true),
            // Every session is joined by one refused call.
            Err(SendError::NotUp | SendError::Full | SendError::Closed | SendError::PeerRestarted { .. }) => Ok(false),
            Err(error) => Err(Failure::Failed(format!("cannot send: {error}"))),
        }
    }

    /// Nothing to do: keeps the link alive and waits a short time for the user or the real-time side.
    pub(super) fn idle(&mut self, terminal: &Terminal) -> Result<(), Failure> {
        let deadline = Instant::now() + LONGEST_SLEEP;
        let stdin = PollFd::new(terminal, PollFlags::IN);
        match self.vector {
            Some(vector) => poll_until(&mut [stdin, PollFd::new(vector, PollFlags::IN)], deadline),
            None => poll_until(&mut [stdin], deadline),
        }
        // Takes the interrupts that ended the wait.
        let _ = self.vector.map(Vector::count);
        // A user may think for as long as he likes.
        self.patience.renew();
        self.poll(None)?;
        Ok(())
    }

    /// Polls the link and says when it came up: the session if it is.
    ///
    /// `command`: whether a command is under way, and if so whether it was sent already.
    fn poll(&mut self, command: Option<bool>) -> Result<Option<u64>, Failure> {
        stop::check()?;
        let state = self.exchange.poll();
        let LinkState::Up { session } = state else {
            self.patience.check(|| unlinked(state))?;
            self.exchange.rest();
            return Ok(None);
        };
        if self.session != Some(session) {
            let peer = self.exchange.peer_id().map_or_else(|| "-".into(), |id| id.to_string());
            let line = match self.session.replace(session) {
                None => {
                    self.link_time = Some(self.exchange.attached_at().elapsed());
                    format!("operator: up session={session:016x} peer={peer}")
                }
                Some(_) => {
                    let outstanding = u8::from(command == Some(true));
                    format!("operator: restarted session={session:016x} peer={peer} outstanding={outstanding}")
                }
            };
            self.screen.say(&line, command.is_none())?;
            self.patience.renew();
        }
        Ok(Some(session))
    }

    /// Shows a command that was typed by itself, and its response.
    pub(super) fn show(&mut self, command: &Command, response: &[u8]) -> Result<(), Failure> {
        let (command, response) = (quoted(&command.text), quoted(response));
        self.screen.say(&format!("operator: exchanged command={command} response={response}"), false)
    }

    /// Counts a wrong response and shows it.
    pub(super) fn wrong(&mut self, command: &Command, expected: &str, response: &[u8]) -> Result<(), Failure> {
        self.wrong += 1;
        let [command, expected, response] = [&command.text, expected.as_bytes(), response].map(quoted);
        let line = format!("operator: wrong command={command} expected={expected} response={response}");
        self.screen.say(&line, false)
    }

    /// Counts a line that is too long to be sent and says so: a slip of the user's does not end the session.
    pub(super) fn too_long(&mut self, length: usize) -> Result<(), Failure> {
        self.unsent += 1;
        self.screen.say(&format!("operator: not sent: {length} bytes, a message has at most {MAX_MESSAGE}"), true)
    }

    /// Says once a second how far it is.
    pub(super) fn say_progress(&mut self, done: u64, of: u64) {
        if self.progress_at.elapsed() >= Duration::from_secs(1) {
            self.progress_at = Instant::now();
            // Progress that nobody reads is no failure.
            let _ = std::io::stderr().write_all(format!("operator: {done} of {of} commands\n").as_bytes());
        }
    }

    pub(super) fn close(&mut self) {
        self.exchange.close();
    }

    /// The counts of the last line.
    pub(super) fn summary(&self) -> String {
        let stats = self.exchange.stats();
        let Self { commands, responses, wrong, .. } = self;
        let link_us = self.link_time.unwrap_or_default().as_micros();
        let (min, median, max) = self.round_trips.min_median_max();
        format!(
            "commands={commands} responses={responses} wrong={wrong} link_us={link_us} rtt_ns_min={min} rtt_ns_median={median} \
             rtt_ns_max={max} interrupts={} doorbells={} recovered_by_poll={} restarts={}",
            stats.interrupts, stats.doorbells, stats.recovered_by_poll, stats.restarts
        )
    }

    /// Whether every response was right.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if let Some(error) = self.exchange.stats().refused {
            // Doorbells are hints, so this is no failure; but whoever wonders about the speed should know.
            let _ = std::io::stderr().write_all(format!("operator: a doorbell was not rung: {error}\n").as_bytes());
        }
        match (self.wrong, self.unsent) {
            (0, 0) => Ok(()),
            (0, unsent) => Err(Failure::Failed(format!("{unsent} lines were too long to be sent"))),
            (wrong, _) => Err(Failure::Failed(format!("{wrong} of {} responses were wrong", self.commands))),
        }
    }
}

/// Round-trip times: the extremes exactly, the median to three digits.
struct RoundTrips {
    histogram: Histogram<u64>,
    min: u64,
    max: u64,
}

impl Default for RoundTrips {
    fn default() -> Self {
        let histogram = Histogram::new(3).expect("3 is a number of digits that histograms have");
        Self { histogram, min: u64::MAX, max: 0 }
    }
}

impl RoundTrips {
    fn record(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.min = self.min.min(ns);
        self.max = self.max.max(ns);
        // It grows by itself; a time that no memory could be had for is still in the maximum.
        let _ = self.histogram.record(ns);
    }

    /// In ns; zeros if there was none.
    fn min_median_max(&self) -> (u64, u64, u64) {
        if self.histogram.is_empty() {
            return (0, 0, 0);
        }
        (self.min, self.histogram.value_at_quantile(0.5).clamp(self.min, self.max), self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_have_exact_extremes_and_a_median_to_three_digits() {
        let mut times = RoundTrips::default();
        assert_eq!(times.min_median_max(), (0, 0, 0));
        for ns in [1_234_567, 7, 50_000] {
            times.record(Duration::from_nanos(ns));
        }
        let (min, median, max) = times.min_median_max();
        assert_eq!((min, max), (7, 1_234_567));
        assert!((49_950..=50_050).contains(&median), "{median}");
    }
}
