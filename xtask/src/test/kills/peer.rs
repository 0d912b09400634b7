//! The general-purpose end is killed; the image stays.

use super::{Account, Watcher};
use crate::load::Word;
use crate::vm::{Accelerator, Fields, Image, Link, Loading, Mode, Session};
use anyhow::{Context, Result, ensure};
use ivshmem::channel::{COMMAND_RESPONSE, End};
use std::collections::BTreeMap;

/// What a killed end had done in its one session.
#[derive(Debug)]
struct Round {
    /// Messages that it had published, by the memory, and answers that it had taken, give or take the last.
    sent: u64,
    answered: u64,
}

/// What the image says of one session: totals of messages received, answers sent, and answers lost, at its end.
type Totals = [u64; 3];

pub fn killed(session: &mut Session, accelerator: Accelerator, mode: Mode, rounds: u64, seed: u64) -> Result<Account> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (link, reception) = match mode {
        Mode::Doorbell => (Link::doorbell(session, 1 << 20, 2, 0)?, "mode=interrupt"),
        Mode::Plain => (Link::plain(1 << 20)?, "mode=polled"),
    };
    let mut image = Image::new("echo", accelerator).options(reception).start(session, vec![link.attach(0)?])?;
    image.event("ready ")?;
    let attachment = link.attach(0)?;
    let watcher = Watcher::new(&attachment.device)?;
    let mut killed = BTreeMap::new();
    let mut account = Account::default();
    for number in 0..rounds {
        let load = Loading { round: number, ..Loading::default() }.start(session, &link)?;
        match number % 10 {
            // While it comes up, and as soon as it is.
            0 => load.process().log().wait_line(0, "load: attached").map(drop)?,
            5 => load.wait("up", |counts| counts.get(Word::Session) != 0)?,
            _ => {
                let answers = rng.u64(1..=2000);
                load.wait("up and answered", |counts| counts.get(Word::Answered) >= answers)?;
            }
        }
        let counts = load.kill()?;
        let published = watcher.published(End::Second)?;
        let (sent, sending) = (counts.get(Word::Sent), counts.get(Word::Sending));
        let published_messages = if sending == 0 { 0 } else { published.messages };
        ensure!(
            (sent..=sending).contains(&published_messages),
            "round {number}: {published:?}, but between {sent} and {sending} by its own count"
        );
        let round = Round { sent: published_messages, answered: counts.get(Word::Answered) };
        account.early += u64::from(round.sent == 0);
        killed.insert(published.session, round);
    }
    // An honest end lives to the end, and ends the image.
    let last = Loading { round: rounds, messages: Some(200), quit: true, ..Loading::default() };
    let last = last.start(session, &link)?.join()?;
    ensure!(last.number("answered")? == 200 && last.number("lost")? == 0, "{}", last.line());
    let lines = image.process().log().clone();
    let end = image.finish()?;
    ensure!(end.number("violations")? == 0, "{}", end.line());
    let sessions = sessions(&lines.all("echo: "), &end)?;
    ensure!(end.number("restarts")? + 1 == sessions.len() as u64, "lines of sessions are missing: {}", end.line());
    let mut before = [0; 3];
    // Answers lost that the image has not reported yet: it does with its first answer in a later session.
    let mut unreported = Unreported::default();
    for (session, totals) in sessions {
        let [received, sent, reported] = core::array::from_fn(|index| totals[index] - before[index]);
        before = totals;
        if sent > 0 {
            unreported.settle(reported)?;
        }
        let Some(round) = killed.remove(&session) else {
            // The last one, and the message `quit`.
            ensure!((received, sent) == (201, 201), "the last session: {received} received, {sent} sent");
            continue;
        };
        let judged = judge(&round, received, sent).with_context(|| {
            format!("session {session:016x}: {round:?}, the image received {received} and sent {sent}")
        })?;
        unreported.add(sent - round.answered);
        account.add(judged);
    }
    // Those that were killed and replaced before the image saw them up: all that they had sent is lost.
    for (session, round) in killed {
        let judged = judge(&round, 0, 0);
        account
            .add(judged.with_context(|| format!("session {session:016x}, which the image never saw up: {round:?}"))?);
    }
    ensure!(account.rounds == rounds && account.sent == account.received + account.lost, "{account:?}");
    Ok(account)
}

/// Each session that was up, in order, with the totals at its end.
fn sessions(lines: &[Fields], end: &Fields) -> Result<Vec<(u64, Totals)>> {
    let mut sessions: Vec<(u64, Totals)> = Vec::new();
    let totals =
        |line: &Fields| Ok::<_, anyhow::Error>([line.number("received")?, line.number("sent")?, line.number("lost")?]);
    for line in lines {
        if line.line().starts_with("echo: up ") {
            let session = u64::from_str_radix(line.text("session")?, 16)?;
            // Up again after it was stale is the same session.
            if sessions.last().is_none_or(|last| last.0 != session) {
                sessions.push((session, [0; 3]));
            }
        } else if line.line().starts_with("echo: restarted ") {
            sessions.last_mut().context("a restart before the first session")?.1 = totals(line)?;
        }
    }
    sessions.last_mut().context("no session at all")?.1 = totals(end)?;
    Ok(sessions)
}

/// Answers lost in sessions whose loss the image has yet to report.
#[derive(Debug, Default)]
struct Unreported {
    answers: u64,
    sessions: u64,
}

impl Unreported {
    fn add(&mut self, answers: u64) {
        self.answers += answers;
        self.sessions += 1;
    }

    /// The image has reported that at most so many are lost.
    fn settle(&mut self, reported: u64) -> Result<()> {
        // Whoever is killed between taking an answer and counting it has taken one more than its count says.
        ensure!(self.answers <= reported + self.sessions, "{self:?}, and the image reports {reported} only");
        *self = Self::default();
        Ok(())
    }
}

/// Both directions of one session.
fn judge(round: &Round, received: u64, sent: u64) -> Result<Account> {
    let slots = u64::from(COMMAND_RESPONSE[0].slots());
    let commands_lost = round.sent.checked_sub(received).context("the image received more than was sent")?;
    let answers_lost = sent.checked_sub(round.answered).context("more answers were taken than were sent")?;
    // What the receiver of a restarted peer reports; the answers that are lost are checked against the image's report.
    ensure!(commands_lost <= slots, "more than a channel holds is lost");
    ensure!(received - sent <= 1, "a message was received and not answered");
    Ok(Account {
        rounds: 1,
        early: 0,
        sent: round.sent + sent,
        received: received + round.answered,
        lost: commands_lost + answers_lost,
    })
}
