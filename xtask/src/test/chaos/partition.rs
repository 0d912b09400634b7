//! A real-time image with two mailboxes, an honest peer under load on the second, and whoever comes on the first.

use super::super::kills::Account;
use super::Phase;
use crate::tool::Tool;
use crate::vm::{Accelerator, Fields, Image, Launch, Link, Load, Loading, Process, RealTime, Session};
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};

/// Where the second mailbox begins.
const SECOND: usize = 0x1_0000;
/// Vectors of each end; the images use the first.
const VECTORS: u16 = 4;
/// Messages that an honest peer sends to the first mailbox after it was attacked.
const AFTER: u64 = 300;

/// The image, and its honest peer.
#[derive(Debug)]
pub struct Partition {
    name: &'static str,
    link: Link,
    image: RealTime,
    honest: Option<Load>,
    round: u64,
}

/// The last lines of an image.
#[derive(Debug)]
pub struct Ended {
    pub first: Fields,
    pub second: Fields,
    /// How often it found its peers stale.
    pub stale: usize,
    /// What the honest peer was delivered.
    pub account: Account,
}

impl Partition {
    /// The echo image, on two processors.
    pub fn echo(session: &mut Session, accelerator: Accelerator) -> Result<Self> {
        let image = Image::new("echo", accelerator).options("mode=interrupt windows=2 storm=1");
        Self::start(session, "echo", image)
    }

    /// The control loop, on one processor that counts instructions: a nanosecond each, and none while it sleeps.
    pub fn control_loop(session: &mut Session) -> Result<Self> {
        // Its time passes at once while it sleeps, so that a peer would be stale whenever the host is busy.
        let image = Image::new("control-loop", Accelerator::Tcg).options("mode=interrupt windows=2 storm=1 stale_ms=0");
        let extra = ["-icount", "shift=0,sleep=off"].map(str::to_owned).into();
        Self::start(session, "control-loop", Image { processors: 1, extra, ..image })
    }

    fn start(session: &mut Session, name: &'static str, image: Image) -> Result<Self> {
        let link = Link::doorbell_at(session, &format!("{name}.sock"), 1 << 20, VECTORS, 0)?;
        let mut image = image.start(session, vec![link.attach(0)?])?;
        image.event("ready ")?;
        let honest = Loading { offset: SECOND, ..Loading::default() }.start(session, &link)?;
        honest.progress(10)?;
        Ok(Self { name, link, image, honest: Some(honest), round: 0 })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn honest(&self) -> Result<&Load> {
        self.honest.as_ref().context("the honest peer has ended")
    }

    /// Lets a hostile peer at the first mailbox.
    pub fn attack(&self, session: &mut Session, phase: Phase, seed: u64) -> Result<Attack> {
        let tool = Tool::new(workspace::peer()).args(["chaos", "--device", &self.link.attach(0)?.device]);
        let tool = tool.args(["--seed", &seed.to_string(), "--vectors", &VECTORS.to_string()]).args(phase.words());
        Ok(Attack(session.start(Launch::new(&format!("chaos-{}", self.name), tool))?))
    }

    /// An honest peer at the first mailbox is served, without the image being told anything.
    pub fn serves_again(&mut self, session: &mut Session) -> Result<Account> {
        self.round += 1;
        let loading = Loading { round: self.round, messages: Some(AFTER), ..Loading::default() };
        let told = loading.start(session, &self.link)?.join()?;
        ensure!(told.number("answered")? == AFTER && told.number("restarts")? == 0, "{}", told.line());
        Ok(Account { rounds: 1, sent: AFTER, received: AFTER, ..Account::default() })
    }

    /// The honest peer has got everything, and the image ends as it should.
    pub fn finish(mut self, session: &mut Session) -> Result<Ended> {
        let told = self.honest.take().context("the honest peer has ended")?.finish()?;
        ensure!(told.number("lost")? == 0 && told.number("restarts")? == 0, "the honest peer: {}", told.line());
        // On the second mailbox, which works whatever was done to the first.
        let quit = Loading { offset: SECOND, round: 1, messages: Some(1), quit: true };
        quit.start(session, &self.link)?.join()?;
        let log = self.image.process().log().clone();
        let first = self.image.finish()?;
        let (_, second) = log.wait_line(0, &format!("{}: second ", self.name))?;
        let (received, sent) = if self.name == "echo" { ("received", "sent") } else { ("commands", "responses") };
        // One message more, and `quit`.
        for key in [received, sent] {
            ensure!(second.number(key)? == told.number("sent")? + 2, "{} / {}", second.line(), told.line());
        }
        if self.name == "control-loop" {
            ensure!(first.number("missed")? == 0, "cycles were missed: {}", first.line());
            ensure!((1..=256).contains(&first.number("busiest")?), "{}", first.line());
        }
        let (sent, received) = (told.number("sent")?, told.number("answered")?);
        let account = Account { rounds: 1, sent, received, ..Account::default() };
        Ok(Ended { account, first, second, stale: log.all(&format!("{}: stale ", self.name)).len() })
    }
}

/// A hostile peer at work.
#[derive(Debug)]
pub struct Attack(Process);

impl Attack {
    /// Waits until it has done its worst, and gives its counts.
    pub fn finish(self) -> Result<Fields> {
        let status = self.0.wait()?;
        let (_, end) = self.0.log().wait_line(0, "chaos: end ")?;
        if !status.success() {
            bail!("the hostile peer ended with {status} after `{}`", end.line());
        }
        Ok(end)
    }
}
