//! The general-purpose end is killed; the image stays.

use super::Moment;
use super::account::{Account, Direction};
use super::watcher::{Left, Watcher};
use crate::load::Word;
use crate::vm::{Accelerator, Fields, Image, Link, Loading, Mode, Session};
use anyhow::{Context, Result, ensure};
use ivshmem::channel::COMMAND_RESPONSE;
use std::collections::BTreeMap;

/// What a killed end had done in its one session.
#[derive(Debug)]
struct Round {
    moment: Moment,
    /// What the memory says, at some time after its death.
    left: Left,
    /// Answers that it had counted: it may have taken one more.
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
    for (number, moment) in (0..).zip(Moment::all(rounds)) {
        let load = Loading { round: number, ..Loading::default() }.start(session, &link)?;
        match moment {
            Moment::Early => load.process().log().wait_line(0, "load: attached").map(drop)?,
            Moment::Up => load.wait("up", |counts| counts.get(Word::Session) != 0)?,
            Moment::Loaded => {
                let answers = rng.u64(1..=2000);
                load.wait("up and answered", |counts| counts.get(Word::Answered) >= answers)?;
            }
        }
        let counts = load.kill()?;
        // Every other one finds its successor while the image is still at work.
        let left = if number % 2 == 0 { watcher.settled()? } else { watcher.look()? };
        let (sent, sending) = (counts.get(Word::Sent), counts.get(Word::Sending));
        let published = left.commands.published;
        ensure!(
            (sent..=sending).contains(&published),
            "round {number}: {left:?}, but between {sent} and {sending} by its own count"
        );
        let round = Round { moment, left, answered: counts.get(Word::Answered) };
        ensure!(killed.insert(left.session, round).is_none(), "session {:016x} came twice", left.session);
    }
    // An honest end lives to the end, and ends the image.
    let last = Loading { round: u64::MAX, messages: Some(200), quit: true, ..Loading::default() };
    let last = last.start(session, &link)?.join()?;
    ensure!(last.number("answered")? == 200 && last.number("lost")? == 0, "{}", last.line());
    let lines = image.process().log().clone();
    let end = image.finish()?;
    ensure!(end.number("violations")? == 0, "{}", end.line());
    let sessions = sessions(&lines.all("echo: "), &end)?;
    ensure!(end.number("restarts")? + 1 == sessions.len() as u64, "lines of sessions are missing: {}", end.line());
    let mut account = Account::default();
    let mut before = [0; 3];
    let mut unreported = None;
    for (session, totals) in sessions {
        let [received, sent, lost] = core::array::from_fn(|index| totals[index] - before[index]);
        before = totals;
        let round = killed.remove(&session);
        let told = || {
            format!("session {session:016x}: {round:?}, the image received {received}, sent {sent}, reported {lost}")
        };
        // The answer in the image's hand when the session ended, if there was one, is reported at once, ...
        let dropped = received.checked_sub(sent).filter(|dropped| *dropped <= 1).with_context(told)?;
        let reported = lost.checked_sub(dropped).with_context(told)?;
        if sent > 0 {
            // ... and those under way with the first answer in a later session.
            account.add(unreported.take().map_or(Ok(Account::default()), |answers: Answers| answers.settle(reported))?);
        } else {
            ensure!(reported == 0, "{}", told());
        }
        let Some(round) = &round else {
            // The last one, and the message `quit`.
            ensure!((received, sent) == (201, 201), "the last session: {}", told());
            continue;
        };
        account.add(round.moment.round());
        account.add(commands(round, received).balance().with_context(told)?);
        if sent > 0 {
            unreported = Some(Answers { sent, left: round.left, answered: round.answered });
        }
    }
    ensure!(unreported.is_none(), "lost answers that the image never reported: {unreported:?}");
    // Those that were killed and replaced before the image saw them up: all that they had sent is lost.
    for (session, round) in killed {
        account.add(round.moment.round());
        let lost = commands(&round, 0).balance();
        account.add(lost.with_context(|| format!("session {session:016x}, which the image never saw up: {round:?}"))?);
    }
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

/// The commands of one session: by the memory that its sender left, by the image's count, and by what the memory says must be lost.
///
/// What a settled image has not answered there was no room to answer; what one still at work had answered when its peer was dead it had
/// received. In either case it may have received one more. Its receiver reports a ring full.
fn commands(round: &Round, received: u64) -> Direction {
    let Left { commands, answers, .. } = round.left;
    let sent = commands.published;
    let (answered, answerable) = (answers.published, round.left.room());
    let least = sent.saturating_sub(answerable + 1);
    Direction { sent, received, lost: least..=(sent - answered.min(sent)).min(slots()) }
}

/// The answers of one session, which the image has yet to report.
#[derive(Debug)]
struct Answers {
    /// By the image's count.
    sent: u64,
    left: Left,
    answered: u64,
}

impl Answers {
    /// The image has reported that at most so many are lost: those that it did not know to be acknowledged.
    fn settle(self, reported: u64) -> Result<Account> {
        let unacknowledged = self.sent.checked_sub(self.left.answers.acknowledged);
        let unacknowledged = unacknowledged.with_context(|| format!("more is acknowledged than was sent: {self:?}"))?;
        // It looks whenever it sends, and so perhaps not at the last acknowledgement; and it has never more under way than a ring full.
        ensure!(
            (unacknowledged..=slots()).contains(&reported),
            "{reported} answers reported lost and {unacknowledged} not acknowledged: {self:?}"
        );
        // Of a quarter of the ring all but one answer may be taken and not acknowledged; and one may be, and not counted.
        let lost = (unacknowledged + 1).saturating_sub(slots() / 4)..=unacknowledged + 1;
        let Self { sent, answered: received, .. } = self;
        Direction { sent, received, lost }.balance()
    }
}

fn slots() -> u64 {
    COMMAND_RESPONSE[0].slots().into()
}
