//! Devices that come and go while the machine runs: found, placed, talked to, let go, and torn out.

use super::found::Found;
use super::talk::receive;
use super::{Case, Shown};
use crate::vm::{Attachment, Fields, Image, Link, Machine, Mode, RealTime, Session};
use anyhow::{Context, Result, bail, ensure};
use ivshmem::channel::{End, RecvError, SendError};
use ivshmem_peer::{DeviceName, Exchange, Purpose, Sysfs};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

const GROUP: &str = "hot-plug";
const SIZE: u64 = 1 << 20;
/// Times the device comes and is let go.
const ROUNDS: u64 = 3;
/// Messages while it is there, and those that nobody takes any more because it is torn out.
const MESSAGES: u64 = 20;
const LOST: u64 = 7;
/// When a silent QEMU is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the machine plugs and ejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    /// The slot of a root port: Slot Control of the port in slot 4 of bus 0, in ECAM as SeaBIOS places it.
    Native,
    /// QEMU's ACPI registers, and the first selector's slot.
    Acpi { base: u16, slot: u32 },
}

/// A machine with one place for a device.
#[derive(Debug, Clone, Copy)]
struct Place {
    machine: Machine,
    name: &'static str,
    mechanism: Mechanism,
    /// QEMU's arguments and the image's options.
    args: &'static [&'static str],
    options: &'static str,
    /// Where `device_add` puts it.
    bus: &'static str,
    slot: &'static str,
}

const PORT: &str = "pcie-root-port,id=rp,addr=4,chassis=1,slot=1";
/// The port's PCI Express capability, and Slot Control in it.
const SLOT_CONTROL: u64 = 0xB000_0000 + (4 << 15) + 0x54 + 0x18;
const POWER_OFF: u16 = 0x07C0;

const PLACES: [Place; 3] = [
    Place {
        machine: Machine::Q35,
        name: "a root port's own slot",
        mechanism: Mechanism::Native,
        args: &["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off", "-device", PORT],
        options: "",
        bus: "rp",
        slot: "0",
    },
    Place {
        machine: Machine::Q35,
        name: "a root port by ACPI",
        mechanism: Mechanism::Acpi { base: 0x0CC0, slot: 0 },
        args: &["-device", PORT],
        options: "",
        bus: "rp",
        slot: "0",
    },
    Place {
        machine: Machine::Pc,
        name: "the root bus by ACPI",
        mechanism: Mechanism::Acpi { base: 0xAE00, slot: 6 },
        args: &[],
        options: "mem32=c0000000-dfffffff",
        bus: "pci.0",
        slot: "6",
    },
];

pub fn cases() -> Vec<Case> {
    let each = |place: Place| {
        [Mode::Doorbell, Mode::Plain].map(|mode| {
            Case::new(GROUP, format!("{}, {mode}", place.name), place.machine.name(), move |bench, session| {
                let image = Image::new("hotplug", bench.accelerator).options(place.options);
                comes_and_goes(session, &image, place, mode)
            })
        })
    };
    PLACES.into_iter().flat_map(each).collect()
}

/// The device's comings and goings, all of them with one peer, and what was counted of them.
fn comes_and_goes(session: &mut Session, image: &Image, place: Place, mode: Mode) -> Result<Shown> {
    let link = match mode {
        Mode::Doorbell => Link::doorbell(session, SIZE, 2, 0)?,
        Mode::Plain => Link::plain(SIZE)?,
    };
    let socket = session.dir().join("qtest");
    let listener = UnixListener::bind(&socket)?;
    let mut image = image.clone();
    (image.machine, image.monitor) = (place.machine, true);
    image.extra = place.args.iter().map(|arg| (*arg).to_owned()).collect();
    image.extra.extend(["-qtest".to_owned(), format!("unix:{}", socket.display()), "-qtest-log".into(), "none".into()]);
    let attachment = link.attach(0)?;
    // Its memory is open in QEMU from the beginning, and the device comes later.
    let device = attachment.device.clone();
    let image = image.start(session, vec![Attachment { args: Vec::new(), ..attachment }])?;
    let qtest = Qtest::accept(&listener)?;
    let mut site = Site { image, qtest, place, link: &link, device, plugged: 0 };
    let ready = site.image.event("ready ")?;
    let mechanism = if place.mechanism == Mechanism::Native { "native" } else { "acpi" };
    ensure!(ready.text("mechanism")? == mechanism && ready.number("slots")? == 1, "{}", ready.line());

    // The peer stays: QEMU 7.2 crashes when a doorbell device is ejected of which a peer has left.
    let ours = link.attach(1)?;
    let name: DeviceName = ours.device.parse()?;
    let backend = ivshmem_peer::open(Some(&name), Purpose::Exchange, &Sysfs::default())?;
    let mut mailbox = ivshmem_peer::mailbox(&*backend, End::Second)?;
    let mut exchange = Exchange::attach(&mut mailbox, &*backend, End::Second);

    let mut ids = Vec::new();
    for round in 0..ROUNDS {
        ids.push(site.plug(&mut exchange)?);
        talk(&mut exchange, round)?;
        if mode == Mode::Doorbell {
            // The image may have found all messages by looking; this one is no message.
            backend.ring(exchange.peer_id().context("the image published no id")?, 0)?;
            site.handled()?;
        }
        if round == 1 {
            site.tear_out(&mut exchange)?;
        } else {
            site.ask_back()?;
        }
    }
    ids.push(site.plug(&mut exchange)?);
    talk(&mut exchange, ROUNDS)?;
    send(&mut exchange, b"quit")?;
    ensure!(receive(&mut exchange)? == b"quit", "another answer");
    exchange.close();

    ids.dedup();
    ensure!(mode == Mode::Plain || ids.len() as u64 == ROUNDS + 1, "an id came twice: {ids:?}");
    let stats = exchange.stats();
    let answered = (ROUNDS + 1) * MESSAGES + 1;
    ensure!((stats.sent, stats.received) == (answered + LOST, answered), "{stats:?}");
    ensure!(stats.restarts == ROUNDS as u32, "{stats:?}");
    let end = site.image.finish()?;
    let counts = ["devices", "removed", "lost", "received", "sent"].map(|key| end.number(key));
    let [devices, removed, lost, received, sent] = counts;
    ensure!((devices?, removed?, lost?) == (ROUNDS + 1, ROUNDS - 1, 1), "{}", end.line());
    ensure!((received?, sent?) == (answered, answered), "{}", end.line());
    Ok(Shown::new(&["let go", "torn out", "came back"]))
}

struct Site<'a> {
    image: RealTime,
    qtest: Qtest,
    place: Place,
    link: &'a Link,
    /// The memory's or the server's name for QEMU, as [`Attachment::device`].
    device: String,
    plugged: u64,
}

impl Site<'_> {
    /// `device_add`, and all that follows until the link is up. Returns the device's id.
    fn plug(&mut self, exchange: &mut Exchange<'_>) -> Result<Option<u64>> {
        self.plugged += 1;
        let (number, Place { bus, slot, .. }) = (self.plugged, self.place);
        let (_, path) = self.device.split_once(':').context("a device without a path")?;
        let monitor = self.image.monitor()?;
        // QEMU 7.2 ends with an assertion when memory is given to a second device: each gets a backend of its own.
        let own = format!("{}{number}", self.link.mode());
        let mut add = json!({ "id": "device", "bus": bus, "addr": slot });
        match self.link.mode() {
            Mode::Doorbell => {
                let address = json!({ "type": "unix", "data": { "path": path } });
                let backend = json!({ "type": "socket", "data": { "addr": address, "server": false } });
                monitor.ask("chardev-add", json!({ "id": own, "backend": backend }))?;
                add["driver"] = json!("ivshmem-doorbell");
                (add["chardev"], add["vectors"]) = (json!(own), json!(2));
            }
            Mode::Plain => {
                let memory = json!({ "qom-type": "memory-backend-file", "id": own, "mem-path": path, "size": SIZE, "share": true });
                monitor.ask("object-add", memory)?;
                add["driver"] = json!("ivshmem-plain");
                add["memdev"] = json!(own);
            }
        }
        monitor.ask("device_add", add)?;
        self.image.event("added ")?;
        let open = self.image.event("open ")?;
        let found = Found::all(self.image.monitor()?)?;
        let [found] = found.as_slice() else { bail!("not one device: {found:?}") };
        check_open(&open, found)?;
        meet(exchange, number)?;
        self.image.event("up ")?;
        Ok(open.number("id").ok())
    }

    /// Returns when QEMU has handled what was there for it before, as [`talk`](super::talk) waits for it.
    fn handled(&mut self) -> Result<()> {
        for _ in 0..2 {
            self.image.monitor()?.ask("query-status", json!({}))?;
        }
        Ok(())
    }

    /// `device_del`, and all that follows until QEMU says that it is gone.
    fn ask_back(&mut self) -> Result<()> {
        self.image.monitor()?.ask("device_del", json!({ "id": "device" }))?;
        self.image.event("requested ")?;
        let served = self.image.event("served ")?;
        check_served(&served, self.link.mode())?;
        self.image.event("removed ")?;
        self.deleted()
    }

    /// Takes the device out without asking the image, which stands still meanwhile, as the host would that forces it: by the very register.
    /// Messages that come at that moment are lost.
    fn tear_out(&mut self, exchange: &mut Exchange<'_>) -> Result<()> {
        self.image.monitor()?.ask("stop", json!({}))?;
        for number in 0..LOST {
            send(exchange, format!("lost {number}").as_bytes())?;
        }
        match self.place.mechanism {
            Mechanism::Native => self.qtest.ask(&format!("writew {SLOT_CONTROL:#x} {POWER_OFF:#x}"))?,
            Mechanism::Acpi { base, slot } => {
                let (eject, select) = (base + 0x08, base + 0x10);
                let before = self.qtest.ask(&format!("inl {select:#x}"))?;
                self.qtest.ask(&format!("outl {select:#x} 0"))?;
                self.qtest.ask(&format!("outl {eject:#x} {:#x}", 1_u32 << slot))?;
                // The image may be in the midst of it.
                self.qtest.ask(&format!("outl {select:#x} {before}"))?
            }
        };
        self.image.monitor()?.ask("cont", json!({}))?;
        self.image.event("lost ")?;
        let gone = self.image.event("error ")?;
        ensure!(gone.line().starts_with("hotplug: error DeviceGone "), "{}", gone.line());
        let served = self.image.event("served ")?;
        check_served(&served, self.link.mode())?;
        self.deleted()
    }

    /// QEMU itself says that the device is no more.
    fn deleted(&mut self) -> Result<()> {
        let (mode, number) = (self.link.mode(), self.plugged);
        let monitor = self.image.monitor()?;
        monitor.event("DEVICE_DELETED", |data| data["device"] == "device")?;
        ensure!(Found::all(monitor)?.is_empty(), "the device is there still");
        let command = match mode {
            Mode::Doorbell => "chardev-remove",
            Mode::Plain => "object-del",
        };
        monitor.ask(command, json!({ "id": format!("{mode}{number}") }))?;
        Ok(())
    }
}

/// Whether the image opened what QEMU says is there, where QEMU says it is.
fn check_open(open: &Fields, found: &Found) -> Result<()> {
    let Found { address, size, .. } = found;
    let (bar0, bar2) = found.bar0.zip(found.bar2).context("a BAR that is not assigned")?;
    let (id, mode) = match found.vectors {
        Some(_) => (open.number("id")?.to_string(), "interrupt"),
        None => ("-".to_owned(), "polled"),
    };
    let expected = format!(
        "hotplug: open device={address} kind={} id={id} bar0={bar0:#x} bar2={bar2:#x} size={size} mode={mode}",
        found.kind()
    );
    ensure!(open.line() == expected, "`{}` instead of `{expected}`", open.line());
    Ok(())
}

/// Whether all of a round's messages were answered, and by what they came.
fn check_served(served: &Fields, mode: Mode) -> Result<()> {
    let counts = (served.number("received")?, served.number("sent")?, served.number("lost")?);
    ensure!(counts == (MESSAGES, MESSAGES, 0), "{}", served.line());
    let interrupts = served.number("interrupts")?;
    ensure!((interrupts > 0) == (mode == Mode::Doorbell), "{}", served.line());
    Ok(())
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

/// Sends; that the other end is another one now is told once.
fn send(exchange: &mut Exchange<'_>, message: &[u8]) -> Result<()> {
    match exchange.try_send(message) {
        Err(SendError::PeerRestarted { .. }) => exchange.try_send(message)?,
        sent => sent?,
    }
    Ok(())
}

/// QEMU's test protocol: bus cycles of our own beside the running machine's.
struct Qtest(BufReader<UnixStream>);

impl Qtest {
    /// QEMU's connection.
    fn accept(listener: &UnixListener) -> Result<Self> {
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&patience))?;
        ensure!(ready == 1, "QEMU opens no qtest connection");
        let (socket, _) = listener.accept()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(socket)))
    }

    /// Gives a command and waits for the value that it answers, if any.
    fn ask(&mut self, command: &str) -> Result<String> {
        writeln!(self.0.get_mut(), "{command}")?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).with_context(|| format!("qtest {command}"))?;
        let value = answer.trim().strip_prefix("OK").with_context(|| format!("qtest {command}: {answer}"))?;
        Ok(value.trim().to_owned())
    }
}
