//! One real-time VM and one operator exchange commands and responses over one link, and both ends' counts are compared.

use crate::progress::note;
use crate::vm::{
    Accelerator, Echo, Fields, HugePages, Image, Link, Machine, Mode, Operator, Place, RealTime, Session, Talk,
    huge_pages,
};
use anyhow::{Result, bail, ensure};
use std::io::Write;
use std::time::{Duration, Instant};

/// Which end is started first. Whoever comes second comes when the first one waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Together,
    RealTimeFirst,
    OperatorFirst,
}

/// What the real-time VM runs.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guest {
    /// This project's bare-metal image
    #[default]
    ControlLoop,
    /// An ArceOS unikernel, into which the driver is linked
    Arceos,
}

impl Guest {
    /// The image's name, which is also the first word of its lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlLoop => "control-loop",
            Self::Arceos => "arceos",
        }
    }
}

/// What is to run.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub guest: Guest,
    pub mode: Mode,
    pub machine: Machine,
    pub accelerator: Accelerator,
    pub place: Place,
    pub size: u64,
    pub vectors: u16,
    pub first_id: u16,
    pub processors: u32,
    pub commands: u64,
    pub order: Order,
    pub interactive: bool,
    pub show: bool,
    /// Memory in the host's huge pages.
    pub huge_pages: bool,
}

impl Exchange {
    /// Commands that the operator makes up by itself, with defaults that suit most runs.
    pub fn new(mode: Mode, accelerator: Accelerator, place: Place) -> Self {
        let (guest, machine, order) = (Guest::default(), Machine::default(), Order::Together);
        let (size, vectors, first_id, processors, commands) = (1 << 20, 4, 0, 2, 100);
        let (interactive, show, huge_pages) = (false, false, false);
        Self {
            guest,
            mode,
            machine,
            accelerator,
            place,
            size,
            vectors,
            first_id,
            processors,
            commands,
            order,
            interactive,
            show,
            huge_pages,
        }
    }

    /// The link that this exchange goes over.
    pub fn link(&self, session: &Session) -> Result<Link> {
        match self.mode {
            Mode::Doorbell => Link::doorbell(session, self.size, self.vectors, self.first_id),
            Mode::Plain => Link::plain(self.size),
        }
    }

    /// The host's huge pages that this exchange's memory takes.
    pub fn reserve(&self, session: &Session) -> Result<HugePages> {
        ensure!(self.size >= huge_pages::PAGE, "huge pages have {} bytes each: --size 2M or more", huge_pages::PAGE);
        HugePages::reserve(self.size, &session.dir().join("hugetlbfs"))
    }

    /// The same link with its memory in them.
    fn huge_link(&self, session: &Session, pages: &HugePages) -> Result<Link> {
        match self.mode {
            Mode::Doorbell => Link::huge_doorbell(session, self.size, self.vectors, self.first_id, pages),
            Mode::Plain => Link::huge_plain(self.size, pages),
        }
    }

    /// The real-time end's image.
    pub fn image(&self) -> Image {
        let options = match (self.guest, self.mode) {
            (Guest::ControlLoop, Mode::Doorbell) => "mode=interrupt",
            (Guest::ControlLoop, Mode::Plain) => "mode=polled",
            // Takes none: it sleeps for doorbells where there are any.
            (Guest::Arceos, _) => "",
        };
        let mut image = Image::new(self.guest.name(), self.accelerator).options(options);
        (image.machine, image.processors) = (self.machine, self.processors);
        // With a prompt on the terminal the image's lines would only be in the way.
        image.echo = if self.show && !self.interactive { Echo::Lines } else { Echo::Nothing };
        image
    }

    /// Starts the operator.
    pub fn operator(&self, session: &mut Session, link: &Link) -> Result<Operator> {
        if self.interactive {
            return Operator::start(session, &self.place, link, &["--quit"], Talk::Terminal);
        }
        let talk = if self.show { Talk::Shown } else { Talk::Quiet };
        let count = self.commands.to_string();
        Operator::start(session, &self.place, link, &["--commands", &count, "--quit"], talk)
    }

    /// Runs it from nothing to a report.
    pub fn run(&self, session: &mut Session) -> Result<Report> {
        let begin = Instant::now();
        let pages = self.huge_pages.then(|| self.reserve(session)).transpose()?;
        let link = match &pages {
            Some(pages) => self.huge_link(session, pages)?,
            None => self.link(session)?,
        };
        let (mut image, mut operator) = self.start(session, &link)?;
        let ready = image.event("ready ")?;
        let device = operator.event("device ")?;
        // The operator first: it gives up by itself if the image is gone, the image waits for ever.
        let met = operator.event("up ")?;
        let up = [image.event("up ")?, met];
        if self.huge_pages {
            let mapped = huge_pages::mapped(&image.process().smaps()?);
            ensure!(mapped == self.size, "QEMU has {mapped} bytes by huge pages, not {}", self.size);
            note(format!("QEMU has all {mapped} bytes of the memory by huge pages of {} bytes", huge_pages::PAGE));
        }
        if self.interactive {
            // Not earlier: what is typed before Linux has opened its console is lost.
            forward_terminal(&mut operator);
            operator.process().story().join();
        }
        let operator_end = operator.finish()?;
        let image_end = image.finish()?;
        let report =
            Report { exchange: self.clone(), ready, device, up, operator_end, image_end, took: begin.elapsed() };
        report.check()?;
        Ok(report)
    }

    fn start(&self, session: &mut Session, link: &Link) -> Result<(RealTime, Operator)> {
        if self.order == Order::OperatorFirst {
            let mut operator = self.operator(session, link)?;
            let (_, opened) = operator.process().log().wait_line(0, "operator: device ")?;
            note(format!("the operator waits: {}", opened.line()));
            return Ok((self.image().start(session, vec![link.attach(0)?])?, operator));
        }
        let image = self.image().start(session, vec![link.attach(0)?])?;
        if self.order == Order::RealTimeFirst {
            let (_, ready) = image.process().log().wait_line(0, &format!("{}: ready ", self.guest.name()))?;
            note(format!("the image waits: {}", ready.line()));
        }
        let operator = self.operator(session, link)?;
        Ok((image, operator))
    }
}

/// Lets the user type to the operator until the input ends.
fn forward_terminal(operator: &mut Operator) {
    let Some(mut input) = operator.process().take_input() else { return };
    // Ends with the input or with xtask; nothing waits for it.
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin().lock(), &mut input)?;
        // The guest's console takes this for the end of its input.
        input.write_all(b"\x04")
    });
}

/// What both ends said at last.
#[derive(Debug)]
pub struct Report {
    exchange: Exchange,
    ready: Fields,
    device: Fields,
    up: [Fields; 2],
    operator_end: Fields,
    image_end: Fields,
    took: Duration,
}

impl Report {
    /// Whether all of it worked: the processes' exit statuses have been looked at, here the counts are.
    fn check(&self) -> Result<()> {
        let (operator, image) = (&self.operator_end, &self.image_end);
        let (kind, reception) = match self.exchange.mode {
            Mode::Doorbell => ("doorbell", "interrupt"),
            Mode::Plain => ("plain", "polled"),
        };
        ensure!(self.ready.text("kind")? == kind && self.ready.text("mode")? == reception, "{}", self.ready.line());
        ensure!(self.device.text("kind")? == kind, "{}", self.device.line());
        for line in [&self.ready, &self.device] {
            ensure!(line.number("size")? == self.exchange.size, "not {} bytes: {}", self.exchange.size, line.line());
        }
        let sent = operator.number("commands")?;
        ensure!(operator.number("wrong")? == 0, "wrong responses: {}", operator.line());
        ensure!(sent == operator.number("responses")?, "unanswered commands: {}", operator.line());
        ensure!(sent == image.number("commands")?, "the ends disagree: {} / {}", operator.line(), image.line());
        ensure!(sent == image.number("responses")?, "the ends disagree: {} / {}", operator.line(), image.line());
        if !self.exchange.interactive && sent < self.exchange.commands {
            bail!("only {sent} of {} commands: {}", self.exchange.commands, operator.line());
        }
        let sum = |key: &str| Ok::<u64, anyhow::Error>(operator.number(key)? + image.number(key)?);
        match self.exchange.mode {
            Mode::Doorbell => {
                // How many doorbells are due depends on who waits for whom, but not that they arrive. The last ones of
                // a run may meet an end that has gone.
                for (from, to) in [(operator, image), (image, operator)] {
                    let lost = from.number("doorbells")? > 2 && to.number("interrupts")? == 0;
                    ensure!(!lost, "doorbells but no interrupts: {} / {}", from.line(), to.line());
                }
                ensure!(sum("doorbells")? > 0, "no doorbell was ever due: {} / {}", operator.line(), image.line());
            }
            Mode::Plain => ensure!(sum("doorbells")? == 0, "doorbells over ivshmem-plain: {}", image.line()),
        }
        Ok(())
    }

    pub fn up(&self) -> &[Fields; 2] {
        &self.up
    }

    /// A few lines for the end of a run.
    pub fn text(&self) -> Result<String> {
        let (operator, image, exchange) = (&self.operator_end, &self.image_end, &self.exchange);
        let counts = |key: &str| Ok::<_, anyhow::Error>(format!("{} / {}", image.number(key)?, operator.number(key)?));
        let microseconds = |key: &str| Ok::<_, anyhow::Error>(operator.number(key)? as f64 / 1000.0);
        let mut text = format!(
            "ivshmem-{}, {} on {}, {} ({:.1} s)\n",
            exchange.mode,
            exchange.guest.name(),
            exchange.machine.name(),
            exchange.accelerator,
            self.took.as_secs_f64()
        );
        let mut row = |name: &str, value: String| text += &format!("  {name:<22} {value}\n");
        row("real-time device", after(&self.ready, "ready "));
        row("general-purpose device", after(&self.device, "device "));
        row(
            "link up",
            format!(
                "session={}, {} us after the operator began",
                self.up[1].text("session")?,
                operator.number("link_us")?
            ),
        );
        row(
            "commands, responses",
            format!("{} sent, {} right", operator.number("commands")?, operator.number("responses")?),
        );
        row("interrupts", format!("{} (image / operator)", counts("interrupts")?));
        row("doorbells", format!("{} (image / operator)", counts("doorbells")?));
        row("recovered by polling", format!("{} (image / operator)", counts("recovered_by_poll")?));
        let emulated = if exchange.accelerator == Accelerator::Tcg { " (emulated: keeps no time)" } else { "" };
        row("cycles missed", format!("{} of {}{emulated}", image.number("missed")?, image.number("cycles")?));
        row(
            "round trip",
            format!(
                "min {:.1} us, median {:.1} us, max {:.1} us",
                microseconds("rtt_ns_min")?,
                microseconds("rtt_ns_median")?,
                microseconds("rtt_ns_max")?
            ),
        );
        Ok(text)
    }
}

fn after(fields: &Fields, word: &str) -> String {
    fields.line().split_once(word).map_or(fields.line(), |(_, rest)| rest).to_owned()
}
