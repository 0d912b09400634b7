//! The image is killed, with its whole QEMU; the general-purpose end stays.

use super::Moment;
use super::account::{Account, Direction};
use super::watcher::{Left, Watcher};
use crate::load::Word;
use crate::vm::{Accelerator, Fields, Image, Link, Loading, Mode, Session};
use anyhow::{Context, Result, ensure};
use ivshmem::channel::COMMAND_RESPONSE;
use std::collections::BTreeMap;

pub fn killed(session: &mut Session, accelerator: Accelerator, mode: Mode, rounds: u64, seed: u64) -> Result<Account> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (link, reception) = match mode {
        Mode::Doorbell => (Link::doorbell(session, 1 << 20, 2, 0)?, "mode=interrupt"),
        Mode::Plain => (Link::plain(1 << 20)?, "mode=polled"),
    };
    let image = Image::new("echo", accelerator).options(reception);
    let attachment = link.attach(0)?;
    let watcher = Watcher::new(&attachment.device)?;
    let load = Loading::default().start(session, &link)?;
    // What the image had left in each session that a kill ended.
    let mut killed = BTreeMap::new();
    let mut account = Account::default();
    for moment in Moment::all(rounds) {
        account.add(moment.round());
        let mut running = image.start(session, vec![link.attach(0)?])?;
        running.event("ready ")?;
        if moment == Moment::Early {
            running.kill()?;
            continue;
        }
        let up = u64::from_str_radix(running.event("up ")?.text("session")?, 16)?;
        let answers = if moment == Moment::Up { 0 } else { rng.u64(1..=3000) };
        load.wait("answered", |counts| {
            counts.get(Word::Session) == up && counts.get(Word::SessionAnswered) >= answers
        })?;
        running.kill()?;
        let left = watcher.look()?;
        ensure!(left.session == up, "the session was {up:016x}, and the memory says {left:?}");
        // What it had answered is still there to be had, and there is room for a ring full that it did not take: all of either,
        // and nothing else.
        let sent = left.commands.acknowledged + slots();
        load.wait("every answer taken and the ring full", |counts| {
            counts.get(Word::SessionAnswered) == left.answers.published && counts.get(Word::SessionSent) == sent
        })?;
        killed.insert(up, left);
    }
    let mut last = image.start(session, vec![link.attach(0)?])?;
    last.event("up ")?;
    load.wait("up again", |counts| counts.get(Word::SessionAnswered) > 0)?;
    let lines = load.process().log().clone();
    let end = load.finish()?;
    Loading { round: 1, messages: Some(10), quit: true, ..Loading::default() }.start(session, &link)?.join()?;
    let image_end = last.finish()?;
    ensure!(image_end.number("violations")? == 0, "{}", image_end.line());

    let mut lost = 0;
    for told in lines.all("load: restarted ") {
        let session = u64::from_str_radix(told.text("session")?, 16)?;
        let left = killed.remove(&session);
        let [messages, answers] = directions(&told, left).with_context(|| format!("{}, {left:?}", told.line()))?;
        let [messages, answers] =
            [messages.balance(), answers.balance()].map(|one| one.context(told.line().to_owned()));
        let messages = messages?;
        lost += messages.lost;
        account.add(messages);
        account.add(answers?);
    }
    ensure!(killed.is_empty(), "sessions that the load never accounted for: {killed:?}");
    ensure!(end.number("lost")? == lost, "{} / {account:?}", end.line());
    Ok(account)
}

fn slots() -> u64 {
    COMMAND_RESPONSE[0].slots().into()
}

/// The messages and the answers of one session: by the count of the end that stayed, by the memory that the image left, and
/// by what the halves that stayed reported.
///
/// The messages that the image received it tells by its answers, and it may have died before the last of them. `left` is not known of
/// an image that was killed before it had said that it was up: of such a session the end that stayed tells alone.
fn directions(told: &Fields, left: Option<Left>) -> Result<[Direction; 2]> {
    let (sent, answered) = (told.number("sent")?, told.number("answered")?);
    let (unacknowledged, unseen) = (told.number("messages_lost_at_most")?, told.number("answers_lost_at_most")?);
    ensure!(unacknowledged <= slots() && unseen == slots(), "reports of more than a channel holds, or none");
    let Some(left) = left else {
        let lost = 0..=unacknowledged + unseen + 1;
        return Ok([
            Direction { sent, received: answered, lost },
            Direction { sent: answered, received: answered, lost: 0..=0 },
        ]);
    };
    // The sender that stayed found no room any more: its count, the dead one's last acknowledgement, and the report.
    Direction { sent, received: left.commands.acknowledged, lost: unacknowledged..=unacknowledged }.balance()?;
    // Of a quarter of the ring all but one message may be taken and not acknowledged; and one may be, and not answered.
    let lost = (unacknowledged + 1).saturating_sub(slots() / 4)..=unacknowledged + 1;
    let published = left.answers.published;
    // It took every answer that the dead one had published, whatever its receiver had to fear.
    Ok([Direction { sent, received: published, lost }, Direction { sent: published, received: answered, lost: 0..=0 }])
}
