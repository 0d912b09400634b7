//! Devices that come and go while the machine runs: found, placed, talked to, let go, torn out, and out while the machine moves.

mod places;
mod qtest;
mod site;

use super::talk::receive;
use super::{Case, Shown};
use crate::progress::note;
use crate::vm::{Image, Link, Mode, Session};
use anyhow::{Context, Result, bail, ensure};
use ivshmem::channel::{COMMAND_RESPONSE, End, RecvError, SendError};
use ivshmem_peer::{DeviceName, Exchange, Purpose, Sysfs};
use places::{PLACES, Place};
use site::Site;
use std::time::{Duration, Instant};

const GROUP: &str = "hot-plug";
const SIZE: u64 = 1 << 20;
/// Messages while it is there, and those that come as it goes: nobody takes them any more if it is torn out.
const MESSAGES: u64 = 20;
const LOST: u64 = 7;
/// QEMU 7.2 itself dies of a fault now and then, in about 1 of 50 runs, after an ivshmem-doorbell has gone. So often that is put up with.
const CRASHES: u32 = 2;
/// When a silent machine is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a life of the device ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    AskedBack,
    TornOut,
    /// Asked back, and then the machine goes on in another QEMU.
    Moved,
}

impl Going {
    fn name(self) -> &'static str {
        match self {
            Self::AskedBack => "let go",
            Self::TornOut => "torn out",
            Self::Moved => "moved without it",
        }
    }
}

pub fn cases() -> Vec<Case> {
    const GOINGS: [Going; 3] = [Going::AskedBack, Going::TornOut, Going::AskedBack];
    let mut cases: Vec<Case> = PLACES
        .iter()
        .flat_map(|place| [Mode::Doorbell, Mode::Plain].map(|mode| case(place, mode, &GOINGS, "")))
        .collect();
    let moved =
        |place| case(place, Mode::Doorbell, &[Going::Moved], ", and out while the machine moves with `master=off`");
    cases.extend(PLACES.iter().map(moved));
    cases
}

fn case(place: &'static Place, mode: Mode, goings: &'static [Going], how: &str) -> Case {
    Case::new(GROUP, format!("{}, {mode}{how}", place.name), place.machine.name(), move |bench, session| {
        let image = bench.image("hotplug").options(place.options);
        for _ in 0..CRASHES {
            let mut tried = Session::new(false)?;
            match lives(&mut tried, &image, place, mode, goings) {
                Err(_) if tried.has_crashed() => note("QEMU crashed as a device went; the case begins anew"),
                Err(error) => bail!("{error:#}\n{}", tried.account()),
                shown => return shown,
            }
        }
        lives(session, &image, place, mode, goings)
    })
}

/// The device's lives, all of them with one peer, and what was counted of them.
fn lives(session: &mut Session, image: &Image, place: &Place, mode: Mode, goings: &[Going]) -> Result<Shown> {
    let link = match mode {
        Mode::Doorbell => Link::doorbell(session, SIZE, 2, 0)?,
        Mode::Plain => Link::plain(SIZE)?,
    };
    let mut site = Site::start(session, image, place, &link)?;
    // The peer stays: QEMU 7.2 crashes when a doorbell device is ejected of which a peer has left.
    let ours = link.attach(1)?;
    let name: DeviceName = ours.device.parse()?;
    let backend = ivshmem_peer::open(Some(&name), Purpose::Exchange, &Sysfs::default())?;
    let mut mailbox = ivshmem_peer::mailbox(&*backend, End::Second)?;
    let mut exchange = Exchange::attach(&mut mailbox, &*backend, End::Second);

    let (mut ids, mut lost_now, mut lost_in_all) = (Vec::new(), None, 0);
    for (round, going) in (0..).zip(goings) {
        ids.push(site.plug(&mut exchange)?);
        lost_now.iter().try_for_each(|lost| tells_loss(&mut exchange, *lost))?;
        talk(&mut exchange, round)?;
        if mode == Mode::Doorbell {
            // The image may have found all messages by looking; this one is no message.
            backend.ring(exchange.peer_id().context("the image published no id")?, 0)?;
            site.handled()?;
        }
        let lost = match going {
            Going::AskedBack => site.ask_back().map(|()| 0)?,
            Going::TornOut => site.tear_out(&mut exchange).map(|()| LOST)?,
            Going::Moved => {
                let lost = site.ask_back_amid(&mut exchange)?;
                site.move_to_another(session)?;
                lost
            }
        };
        lost_in_all += lost;
        lost_now = Some(lost);
    }
    let rounds = goings.len() as u64;
    ids.push(site.plug(&mut exchange)?);
    lost_now.iter().try_for_each(|lost| tells_loss(&mut exchange, *lost))?;
    talk(&mut exchange, rounds)?;
    send(&mut exchange, b"quit")?;
    ensure!(receive(&mut exchange)? == b"quit", "another answer");
    exchange.close();

    ids.dedup();
    ensure!(mode == Mode::Plain || ids.len() as u64 == rounds + 1, "an id came twice: {ids:?}");
    let torn = goings.iter().filter(|going| **going == Going::TornOut).count() as u64;
    let late = goings.iter().filter(|going| **going != Going::AskedBack).count() as u64 * LOST;
    let (stats, answered) = (exchange.stats(), (rounds + 1) * MESSAGES + late - lost_in_all + 1);
    ensure!((stats.sent, stats.received) == (answered + lost_in_all, answered), "{stats:?}");
    ensure!(u64::from(stats.restarts) == rounds, "{stats:?}");
    let end = site.finish()?;
    let [devices, removed, lost] = ["devices", "removed", "lost"].map(|key| end.number(key));
    ensure!((devices?, removed?, lost?) == (rounds + 1, rounds - torn, torn), "{}", end.line());
    let [received, sent] = ["received", "sent"].map(|key| end.number(key));
    ensure!((received?, sent?) == (answered, answered), "{}", end.line());
    let mut shown = Shown::new(&["came back"]);
    goings.iter().for_each(|going| shown.add(going.name()));
    Ok(shown)
}

/// Waits until so many ends have been met. One that was torn out is up for the peer until the next one comes.
fn meet(exchange: &mut Exchange<'_>, sessions: u64) -> Result<()> {
    let begin = Instant::now();
    while !exchange.poll().is_up() || u64::from(exchange.stats().restarts) + 1 < sessions {
        ensure!(begin.elapsed() < PATIENCE, "the link does not come up");
        exchange.rest();
    }
    Ok(())
}

/// The peer is told once, in the new session, of what was lost: a bound, since the image acknowledges a quarter of the ring at once.
fn tells_loss(exchange: &mut Exchange<'_>, lost: u64) -> Result<()> {
    let told = exchange.try_send(b"not sent");
    let Err(SendError::PeerRestarted { lost_at_most }) = told else { bail!("no restart: {told:?}") };
    let most = lost + u64::from(COMMAND_RESPONSE[0].slots() / 4);
    ensure!((lost..=most).contains(&lost_at_most.into()), "{lost_at_most} told, {lost} lost");
    Ok(())
}

/// A round's messages, each answered before the next.
fn talk(exchange: &mut Exchange<'_>, round: u64) -> Result<()> {
    for number in 0..MESSAGES {
        let message = format!("round {round} message {number}");
        send(exchange, message.as_bytes())?;
        let answer = answer(exchange)?;
        ensure!(answer == message.as_bytes(), "`{message}` came back as {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// The next answer; that the other end is another one now is told once.
fn answer(exchange: &mut Exchange<'_>) -> Result<Vec<u8>> {
    match receive(exchange) {
        Err(error) if matches!(error.downcast_ref(), Some(RecvError::PeerRestarted { .. })) => receive(exchange),
        answer => answer,
    }
}

fn send(exchange: &mut Exchange<'_>, message: &[u8]) -> Result<()> {
    Ok(exchange.try_send(message)?)
}
