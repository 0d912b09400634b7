//! A scene played: booted, compared with what QEMU says of it, and talked to.

use super::{Claim, Device, Scene, Share};
use crate::matrix::found::{self, Found};
use crate::matrix::talk::{Reception, talk};
use crate::matrix::{Bench, Shown};
use crate::vm::{Attachment, Fields, Image, Link, RealTime, Session};
use anyhow::{Context, Result, bail, ensure};

/// What devices are called: this and their number.
const NAME: &str = "ivshmem";

/// Less memory than this is refused.
const PAGE: u64 = 4096;

impl Scene {
    /// Boots the machine once for each exchange, and for `probe`, whose lines have to be what QEMU said.
    pub(super) fn play(&self, bench: &Bench, session: &mut Session) -> Result<Shown> {
        let links = self.links(session)?;
        if self.until.zip(bench.major()).is_some_and(|(until, release)| release >= until) {
            let refused = self.image("echo", bench, "").start(session, self.attachments(&links)?)?;
            let status = refused.process().wait()?;
            ensure!(status.code() == Some(1), "QEMU takes it: {status}");
            return Ok(Shown::new(&["refused by QEMU"]));
        }
        let mut shown = Shown::default();
        let mut talk = |selector: &str, reception: Option<Reception>, session: &mut Session| {
            let (qemu, device, reception) = self.exchange(bench, session, &links, selector, reception)?;
            shown.add(reception.name());
            anyhow::Ok((qemu, (device, reception)))
        };
        // Which is the first one only QEMU can tell, and how it learns of messages is its own choice.
        let (first, _) = self.talks.first().context("nobody to talk to, so that QEMU cannot be asked")?;
        let (mut qemu, done) = talk(&first.to_string(), None, session)?;
        for (device, reception) in self.talks.iter().filter(|asked| **asked != done) {
            let address = qemu.found(*device)?.address.to_string();
            (qemu, _) = talk(&address, Some(*reception), session)?;
        }
        self.probe(bench, session, &links, &qemu)?;
        if self.pair {
            self.ring(bench, session, &links)?;
            shown.add("each other");
        }
        if qemu.found.iter().any(|found| found.size < PAGE) {
            shown.add("refused");
        }
        Ok(shown)
    }

    /// Boots `echo`, which opens the device that the selector means, and talks to it; without a reception it is the image's choice.
    fn exchange(
        &self,
        bench: &Bench,
        session: &mut Session,
        links: &[Link],
        selector: &str,
        reception: Option<Reception>,
    ) -> Result<(Said, usize, Reception)> {
        let mode = reception.map_or_else(String::new, |reception| format!("mode={reception}"));
        let image = self.image("echo", bench, &format!("{mode} device={selector}"));
        let image = Image { monitor: true, ..image };
        let (mut image, ids) = self.start(&image, session, links)?;
        let ready = image.event("ready ")?;
        let qemu = self.ask(&mut image)?;
        let found = match selector.parse::<usize>() {
            Ok(number) => qemu.found.get(number),
            Err(_) => qemu.found.iter().find(|found| found.address.to_string() == selector),
        };
        let found = found.with_context(|| format!("QEMU has no device {selector}"))?;
        let device = number(found)?;
        let by_itself = if found.vectors.is_some() { Reception::Interrupt } else { Reception::Polled };
        let reception = reception.unwrap_or(by_itself);
        check_ready(&ready, found, ids[device], reception)?;
        let link = &links[self.devices[device].share];
        // Its number tells nothing here; it is another device than any of the image's.
        talk(image, &link.attach(self.devices.len())?, reception)?;
        Ok((qemu, device, reception))
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
        let config = self.config.map_or_else(String::new, |config| format!("config={config}"));
        let words = [config.as_str(), options, &self.options].map(str::trim);
        let line: Vec<&str> = words.into_iter().filter(|words| !words.is_empty()).collect();
        let mut image = bench.image(name).options(line.join(" "));
        (image.machine, image.mebibytes, image.extra) = (self.machine, self.mebibytes, self.qemu.clone());
        image
    }

    fn attachments(&self, links: &[Link]) -> Result<Vec<Attachment>> {
        let place = |(number, device): (usize, &Device)| {
            Ok(links[device.share].attach(number)?.at(&format!("id={NAME}{number},{}", device.place)))
        };
        self.devices.iter().enumerate().map(place).collect()
    }

    /// Boots an image, and gives the id that each device got from its server.
    fn start(&self, image: &Image, session: &mut Session, links: &[Link]) -> Result<(RealTime, Vec<Option<u16>>)> {
        let before: Vec<usize> = links.iter().map(|link| link.joined().len()).collect();
        let mut image = image.start(session, self.attachments(links)?)?;
        // QEMU connects in the order of its command line, and a server gives ids in the order in which it is asked.
        image.event("begin ")?;
        let mut next: Vec<_> =
            links.iter().zip(before).map(|(link, skip)| link.joined().into_iter().skip(skip)).collect();
        Ok((image, self.devices.iter().map(|device| next[device.share].next()).collect()))
    }

    /// What QEMU says is there: the devices that were asked for, and no others.
    fn ask(&self, image: &mut RealTime) -> Result<Said> {
        let monitor = image.monitor()?;
        let ecam = found::range(monitor, self.machine.ecam())?.map(|range| *range.start());
        let said = Said { found: Found::all(monitor)?, ecam };
        ensure!(said.found.len() == self.devices.len(), "QEMU has other devices: {:?}", said.found);
        for (device, claim) in &self.claims {
            let bar2 = said.found(*device)?.bar2;
            let (first, last) = match *claim {
                Claim::Above4GiB => (1 << 32, u64::MAX),
                Claim::AboveRam => {
                    (found::range(monitor, "ram-above-4g")?.context("no RAM above 4 GiB")?.end() + 1, u64::MAX)
                }
                Claim::At(address) => (address, address),
            };
            let holds = bar2.is_some_and(|at| (first..=last).contains(&at));
            ensure!(holds, "device {device} is not {claim:?}: {:?}", said.found);
        }
        Ok(said)
    }

    fn ring(&self, bench: &Bench, session: &mut Session, links: &[Link]) -> Result<()> {
        let (image, _) = self.start(&self.image("selftest", bench, ""), session, links)?;
        let log = image.process().log().clone();
        image.finish()?;
        let rang = log.all("selftest: ok interrupt::peers_ring_each_other_on_every_vector");
        ensure!(rang.len() == 1, "selftest found no two peers");
        Ok(())
    }

    fn probe(&self, bench: &Bench, session: &mut Session, links: &[Link], qemu: &Said) -> Result<()> {
        let (image, ids) = self.start(&self.image("probe", bench, ""), session, links)?;
        let lines = finish(image)?;
        let [begin, lines @ .., end] = lines.as_slice() else { bail!("too few lines: {lines:#?}") };
        let expected = match qemu.ecam.filter(|_| self.config != Some("port-io")) {
            Some(base) => format!("probe: begin config=ecam base={base:#x}"),
            None => "probe: begin config=port-io base=-".to_owned(),
        };
        ensure!(*begin == expected, "`{begin}` instead of `{expected}`");
        let expected: Vec<String> =
            qemu.found.iter().map(|found| line(found, ids[number(found)?])).collect::<Result<_>>()?;
        ensure!(lines == expected, "probe found\n{lines:#?}\nQEMU says\n{expected:#?}");
        let errors = expected.iter().filter(|line| line.starts_with("probe: error ")).count();
        let expected = format!("probe: end devices={} errors={errors}", expected.len() - errors);
        ensure!(*end == expected, "`{end}` instead of `{expected}`");
        Ok(())
    }
}

/// What QEMU said of a machine.
#[derive(Debug)]
struct Said {
    /// In ascending order of addresses.
    found: Vec<Found>,
    ecam: Option<u64>,
}

impl Said {
    /// The device of this number.
    fn found(&self, device: usize) -> Result<&Found> {
        let found = self.found.iter().find(|found| number(found).is_ok_and(|number| number == device));
        found.with_context(|| format!("QEMU has no device {device}: {:?}", self.found))
    }
}

/// A device's number, which its name ends with.
fn number(found: &Found) -> Result<usize> {
    let number = found.name.strip_prefix(NAME).and_then(|number| number.parse().ok());
    number.with_context(|| format!("a device that is not of this machine: {found:?}"))
}

/// Waits for an image's success and gives its lines.
pub fn finish(image: RealTime) -> Result<Vec<String>> {
    let (log, start) = (image.process().log().clone(), format!("{}: ", image.name()));
    image.finish()?;
    Ok(log.all(&start).iter().map(|line| line.line().to_owned()).collect())
}

/// The line that `probe` has to print. QEMU does not tell a function's id, but the server that gave it does.
fn line(found: &Found, id: Option<u16>) -> Result<String> {
    let Found { address, size, subsystem: (vendor, subsystem), vectors, .. } = found;
    let kind = found.kind();
    if *size < PAGE {
        return Ok(format!("probe: error {address} SubPage {size} bytes of memory are less than a page of {PAGE}"));
    }
    let (bar0, bar2) = found.bar0.zip(found.bar2).context("a BAR without an address")?;
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
