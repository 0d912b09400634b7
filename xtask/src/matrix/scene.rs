//! A machine with ivshmem devices in it, as data: booted, compared with what QEMU says of it, and talked to.

use super::found::{self, Found};
use super::talk::{Reception, talk};
use super::{Bench, Case, Shown};
use crate::vm::{Attachment, Fields, Image, Link, Machine, RealTime, Session};
use anyhow::{Context, Result, bail, ensure};

/// Less memory than this is refused.
const PAGE: u64 = 4096;

/// What one or more devices share.
#[derive(Debug, Clone, Copy)]
pub enum Share {
    Plain {
        size: u64,
    },
    /// A server.
    Doorbell {
        size: u64,
        vectors: u16,
    },
}

/// Where a device's memory has to be for a case to be what its name says.
#[derive(Debug, Clone, Copy)]
pub enum Claim {
    Above4GiB,
    AboveRam,
    At(u64),
}

#[derive(Debug, Clone)]
struct Device {
    /// Which of the shares.
    share: usize,
    /// In QEMU's words.
    place: String,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Scene {
    pub machine: Machine,
    /// The value of the images' option `config`; without one they have to find a way.
    pub config: Option<&'static str>,
    pub mebibytes: u32,
    /// Further options of the images.
    options: String,
    /// What QEMU is given before the ivshmem devices.
    qemu: Vec<String>,
    shares: Vec<Share>,
    /// In ascending order of their addresses.
    devices: Vec<Device>,
    talks: Vec<(usize, Reception)>,
    /// Whether two of the devices share a server, and ring each other.
    pair: bool,
    claims: Vec<(usize, Claim)>,
}

impl Scene {
    pub fn new(machine: Machine, config: Option<&'static str>) -> Self {
        let (options, qemu, shares, devices, talks, claims) = Default::default();
        Self { machine, config, mebibytes: 128, options, qemu, shares, devices, talks, pair: false, claims }
    }

    /// Adds a bridge, or another device that is not ours.
    pub fn with(mut self, device: &str) -> Self {
        self.qemu.extend(["-device".to_owned(), device.to_owned()]);
        self
    }

    /// Gives the images a further option.
    pub fn option(mut self, option: &str) -> Self {
        self.options += &format!(" {option}");
        self
    }

    /// Adds an ivshmem device with memory of its own. Devices are added in ascending order of their addresses.
    pub fn device(mut self, share: Share, place: &str) -> Self {
        self.shares.push(share);
        let share = self.shares.len() - 1;
        self.devices.push(Device { share, place: place.to_owned() });
        self
    }

    /// Adds an ivshmem device that shares what the device of this number has.
    pub fn partner(mut self, of: usize, place: &str) -> Self {
        let share = self.devices[of].share;
        self.devices.push(Device { share, place: place.to_owned() });
        self
    }

    /// Has messages exchanged with the device of this number.
    pub fn talk(mut self, device: usize, reception: Reception) -> Self {
        self.talks.push((device, reception));
        self
    }

    /// Has the case fail unless QEMU says that the device of this number has its memory there.
    pub fn claim(mut self, device: usize, claim: Claim) -> Self {
        self.claims.push((device, claim));
        self
    }

    /// Has the two devices that share a server ring each other on every vector.
    pub fn ring_each_other(mut self) -> Self {
        self.pair = true;
        self
    }

    /// The case that plays this.
    pub fn case(self, group: &'static str, place: &str) -> Case {
        let how = match self.config {
            Some("ecam") => "ECAM",
            Some("port-io") => "port I/O",
            Some(told) if told.starts_with("ecam:") => "ECAM that it is told of",
            _ => "what it finds",
        };
        let machine = format!("{} by {how}", self.machine.name());
        Case::new(group, place, machine, move |bench, session| self.play(bench, session))
    }

    /// Boots the machine once for each exchange, and for `probe`, whose lines have to be what QEMU said.
    pub fn play(&self, bench: &Bench, session: &mut Session) -> Result<Shown> {
        let links = self.links(session)?;
        let mut shown = Shown::default();
        let mut known: Option<(Vec<Found>, Option<u64>)> = None;
        for (number, reception) in &self.talks {
            let selector = match &known {
                None => number.to_string(),
                Some((found, _)) => found.get(*number).context("a device of this number")?.address.to_string(),
            };
            let image = self.image("echo", bench, &format!("mode={reception} device={selector}"));
            let image = Image { monitor: true, ..image };
            let (mut image, ids) = self.start(&image, session, &links)?;
            let ready = image.event("ready ")?;
            let (found, ecam) = self.ask(&mut image)?;
            let this = found.get(*number).context("a device of this number")?;
            check_ready(&ready, this, ids[*number], *reception)?;
            let link = &links[self.devices[*number].share];
            // Its number tells nothing here; it is another device than any of the image's.
            talk(image, &link.attach(self.devices.len())?, *reception)?;
            shown.add(reception.name());
            known = Some((found, ecam));
        }
        let (found, ecam) = known.context("nobody to talk to, so that QEMU cannot be asked")?;
        self.probe(bench, session, &links, &found, ecam)?;
        if self.pair {
            self.ring(bench, session, &links)?;
            shown.add("each other");
        }
        if found.iter().any(|found| found.size < PAGE) {
            shown.add("refused");
        }
        Ok(shown)
    }

    fn links(&self, session: &Session) -> Result<Vec<Link>> {
        let open = |(number, share): (usize, &Share)| match *share {
            Share::Plain { size } => Link::plain(size),
            Share::Doorbell { size, vectors } => {
                // An id that neither another server gives nor anything else has for a number.
                let first_id = 100 * (number as u16 + 1);
                Link::doorbell_at(session, &format!("server{number}.sock"), size, vectors, first_id)
            }
        };
        self.shares.iter().enumerate().map(open).collect()
    }

    fn image(&self, name: &'static str, bench: &Bench, options: &str) -> Image {
        let config = self.config.map_or_else(String::new, |config| format!("config={config} "));
        let mut image = Image::new(name, bench.accelerator).options(format!("{config}{options}{}", self.options));
        (image.machine, image.mebibytes, image.extra) = (self.machine, self.mebibytes, self.qemu.clone());
        image
    }

    /// Boots an image, and gives the id that each device got from its server.
    fn start(&self, image: &Image, session: &mut Session, links: &[Link]) -> Result<(RealTime, Vec<Option<u16>>)> {
        let before: Vec<usize> = links.iter().map(|link| link.joined().len()).collect();
        let place = |(number, device): (usize, &Device)| {
            Ok(links[device.share].attach(number)?.at(&format!("id=ivshmem{number},{}", device.place)))
        };
        let attachments: Result<Vec<Attachment>> = self.devices.iter().enumerate().map(place).collect();
        let mut image = image.start(session, attachments?)?;
        // QEMU connects in the order of its command line, and a server gives ids in the order in which it is asked.
        image.event("begin ")?;
        let mut next: Vec<_> =
            links.iter().zip(before).map(|(link, skip)| link.joined().into_iter().skip(skip)).collect();
        Ok((image, self.devices.iter().map(|device| next[device.share].next()).collect()))
    }

    /// What QEMU says: the devices, which are those that were asked for, in this order; and where ECAM is.
    fn ask(&self, image: &mut RealTime) -> Result<(Vec<Found>, Option<u64>)> {
        let monitor = image.monitor()?;
        let found = Found::all(monitor)?;
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
        let asked: Vec<String> = (0..self.devices.len()).map(|number| format!("ivshmem{number}")).collect();
        ensure!(names == asked, "QEMU has {names:?} in this order of addresses: {found:?}");
        for (number, claim) in &self.claims {
            let (first, last) = match *claim {
                Claim::Above4GiB => (1 << 32, u64::MAX),
                Claim::AboveRam => {
                    (found::range(monitor, "ram-above-4g")?.context("no RAM above 4 GiB")?.end() + 1, u64::MAX)
                }
                Claim::At(address) => (address, address),
            };
            let bar2 = found.get(*number).context("a device of this number")?.bar2;
            ensure!(bar2.is_some_and(|at| (first..=last).contains(&at)), "{claim:?}: {found:?}");
        }
        Ok((found, found::range(monitor, self.machine.ecam())?.map(|range| *range.start())))
    }

    fn ring(&self, bench: &Bench, session: &mut Session, links: &[Link]) -> Result<()> {
        let (image, _) = self.start(&self.image("selftest", bench, ""), session, links)?;
        let log = image.process().log().clone();
        image.finish()?;
        let rang = log.all("selftest: ok interrupt::peers_ring_each_other_on_every_vector");
        ensure!(rang.len() == 1, "selftest found no two peers");
        Ok(())
    }

    fn probe(
        &self,
        bench: &Bench,
        session: &mut Session,
        links: &[Link],
        found: &[Found],
        ecam: Option<u64>,
    ) -> Result<()> {
        let (image, ids) = self.start(&self.image("probe", bench, ""), session, links)?;
        let lines = finish(image)?;
        let [begin, lines @ .., end] = lines.as_slice() else { bail!("too few lines: {lines:#?}") };
        let expected = match ecam.filter(|_| self.config != Some("port-io")) {
            Some(base) => format!("probe: begin config=ecam base={base:#x}"),
            None => "probe: begin config=port-io base=-".to_owned(),
        };
        ensure!(*begin == expected, "`{begin}` instead of `{expected}`");
        let expected: Vec<String> = found.iter().zip(ids).map(|(found, id)| line(found, id)).collect::<Result<_>>()?;
        ensure!(lines == expected, "probe found\n{lines:#?}\nQEMU says\n{expected:#?}");
        let errors = expected.iter().filter(|line| line.starts_with("probe: error ")).count();
        let expected = format!("probe: end devices={} errors={errors}", found.len() - errors);
        ensure!(*end == expected, "`{end}` instead of `{expected}`");
        Ok(())
    }
}

/// Waits for `probe`'s success and gives its lines.
pub fn finish(probe: RealTime) -> Result<Vec<String>> {
    let log = probe.process().log().clone();
    probe.finish()?;
    Ok(log.all("probe: ").iter().map(|line| line.line().to_owned()).collect())
}

/// The line that `probe` has to print. QEMU does not tell a function's id, but the server that gave it does.
fn line(found: &Found, id: Option<u16>) -> Result<String> {
    let Found { address, size, subsystem: (vendor, subsystem), vectors, .. } = found;
    let kind = found.kind();
    if *size < PAGE {
        return Ok(format!("probe: error {address} SubPage {size} bytes of memory are less than a page of {PAGE}"));
    }
    let (bar0, bar2) = found.bar0.zip(found.bar2).context("firmware left a BAR unassigned")?;
    let (id, vectors) = (id_text(found, id)?, vectors.unwrap_or(0));
    Ok(format!(
        "probe: ivshmem {address} rev=1 kind={kind} id={id} vectors={vectors} \
         bar0={bar0:#x} bar2={bar2:#x} size={size} subsystem={vendor:04x}:{subsystem:04x}"
    ))
}

/// An id as images show it.
fn id_text(found: &Found, id: Option<u16>) -> Result<String> {
    match (found.vectors, id) {
        (None, None) => Ok("-".to_owned()),
        (Some(_), Some(id)) => Ok(id.to_string()),
        (vectors, id) => bail!("a device with vectors {vectors:?} and an id {id:?}: {found:?}"),
    }
}

/// Whether `echo` opened what QEMU says is there.
fn check_ready(ready: &Fields, found: &Found, id: Option<u16>, reception: Reception) -> Result<()> {
    let Found { address, size, .. } = found;
    let expected = format!(
        "echo: ready device={address} kind={} id={} size={size} mode={reception}",
        found.kind(),
        id_text(found, id)?
    );
    ensure!(ready.line() == expected, "`{}` instead of `{expected}`", ready.line());
    Ok(())
}
