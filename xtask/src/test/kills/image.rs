//! The image is killed, with its whole QEMU; the general-purpose end stays.

use super::{Account, Watcher};
use crate::load::Word;
use crate::vm::{Accelerator, Fields, Image, Link, Loading, Mode, Session};
use anyhow::{Context, Result, ensure};
use ivshmem::channel::End;
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
    // How many answers the image had sent in each session that a kill ended.
    let mut published = BTreeMap::new();
    let mut early = 0;
    for number in 0..rounds {
        let mut running = image.start(session, vec![link.attach(0)?])?;
        running.event("ready ")?;
        if number % 20 == 9 {
            // At once, before it attaches or while it does.
            running.kill()?;
            early += 1;
            continue;
        }
        let up = u64::from_str_radix(running.event("up ")?.text("session")?, 16)?;
        // Some as soon as they are up.
        let answers = if number % 20 == 19 { 0 } else { rng.u64(1..=3000) };
        load.wait("answered", |counts| {
            counts.get(Word::Session) == up && counts.get(Word::SessionAnswered) >= answers
        })?;
        running.kill()?;
        // What it had answered is still there to be had: all of it, and nothing else.
        let left = watcher.published(End::First)?;
        ensure!(left.session == up, "the session was {up:016x}, and the memory says {left:?}");
        load.wait("every answer taken", |counts| counts.get(Word::SessionAnswered) == left.messages)?;
        published.insert(up, left.messages);
    }
    let mut last = image.start(session, vec![link.attach(0)?])?;
    last.event("up ")?;
    load.wait("up again", |counts| counts.get(Word::SessionAnswered) > 0)?;
    let lines = load.process().log().clone();
    let end = load.finish()?;
    Loading { round: 1, messages: Some(10), quit: true, ..Loading::default() }.start(session, &link)?.join()?;
    let image_end = last.finish()?;
    ensure!(image_end.number("violations")? == 0, "{}", image_end.line());

    let mut account = Account { early, ..Account::default() };
    for told in lines.all("load: restarted ") {
        let session = u64::from_str_radix(told.text("session")?, 16)?;
        account.add(settle(&told, published.remove(&session)).with_context(|| told.line().to_owned())?);
    }
    ensure!(published.is_empty(), "sessions that the load never accounted for: {published:?}");
    ensure!(account.rounds + early >= rounds && account.sent == account.received + account.lost, "{account:?}");
    ensure!(end.number("lost")? == account.lost, "{} / {account:?}", end.line());
    Ok(account)
}

/// One session, as the end that stayed accounts for it; `published`: the answers that the other one had sent, if that is known.
fn settle(told: &Fields, published: Option<u64>) -> Result<Account> {
    let (sent, answered, lost) = (told.number("sent")?, told.number("answered")?, told.number("lost")?);
    ensure!(sent == answered + lost, "what was sent is neither answered nor lost");
    ensure!(published.is_none_or(|published| published == answered), "{published:?} answers were sent");
    // The image may have taken one message, acknowledged it, and died before it answered.
    ensure!(lost <= told.number("reported")? + 1, "more is lost than was reported");
    Ok(Account { rounds: 1, early: 0, sent, received: answered, lost })
}
