//! A running image with a place for a device, and what a host does with it.

use super::places::{Mechanism, POWER_OFF, Place, SLOT_CONTROL};
use super::qtest::{Listener, Qtest};
use super::{LOST, MESSAGES, SIZE, meet, send};
use crate::matrix::found::Found;
use crate::matrix::talk::{handled, receive};
use crate::vm::{Attachment, Fields, Image, Link, Mode, RealTime, Session};
use anyhow::{Context, Result, bail, ensure};
use ivshmem_peer::Exchange;
use serde_json::json;

#[derive(Debug)]
pub struct Site<'a> {
    /// How it was started.
    image: Image,
    running: RealTime,
    qtest: Qtest,
    place: &'a Place,
    link: &'a Link,
    /// What QEMU calls the memory or the server, as in [`Attachment::device`].
    device: String,
    plugged: u64,
    /// QEMUs that the machine has run in.
    machines: u32,
}

impl<'a> Site<'a> {
    /// Boots the image in this place, where no device is yet.
    pub fn start(session: &mut Session, image: &Image, place: &'a Place, link: &'a Link) -> Result<Self> {
        let mut image = Image { machine: place.machine, monitor: true, ..image.clone() };
        image.extra.extend(place.args.iter().map(|arg| (*arg).to_owned()));
        let (mut running, qtest, device) = boot(session, &image, link, 1)?;
        let ready = running.event("ready ")?;
        let mechanism = if place.mechanism == Mechanism::Native { "native" } else { "acpi" };
        ensure!(ready.text("mechanism")? == mechanism && ready.number("slots")? == 1, "{}", ready.line());
        Ok(Self { image, running, qtest, place, link, device, plugged: 0, machines: 1 })
    }

    /// Waits until the image has ended well.
    pub fn finish(self) -> Result<Fields> {
        self.running.finish()
    }

    /// Saves the machine, without a device, and goes on with it in another QEMU.
    pub fn move_to_another(&mut self, session: &mut Session) -> Result<()> {
        let file = session.dir().join("machine").display().to_string();
        let monitor = self.running.monitor()?;
        monitor.ask("migrate", json!({ "uri": format!("exec:cat > {file}") }))?;
        monitor.migrated()?;
        self.machines += 1;
        let mut image = self.image.clone();
        image.extra.extend(["-incoming", "defer"].map(str::to_owned));
        let (running, qtest, device) = boot(session, &image, self.link, self.machines)?;
        let before = std::mem::replace(&mut self.running, running);
        (self.qtest, self.device) = (qtest, device);
        before.kill()?;
        let monitor = self.running.monitor()?;
        monitor.ask("migrate-incoming", json!({ "uri": format!("exec:cat {file}") }))?;
        monitor.migrated()
    }

    /// `device_add`, and all that follows until the link is up. Returns the device's id.
    pub fn plug(&mut self, exchange: &mut Exchange<'_>) -> Result<Option<u64>> {
        self.plugged += 1;
        let (number, &Place { bus, slot, .. }) = (self.plugged, self.place);
        let (_, path) = self.device.split_once(':').context("a device without a path")?;
        let monitor = self.running.monitor()?;
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
        self.running.event("added ")?;
        let open = self.running.event("open ")?;
        let found = Found::all(self.running.monitor()?)?;
        let [found] = found.as_slice() else { bail!("not one device: {found:?}") };
        check_open(&open, found)?;
        meet(exchange, number)?;
        self.running.event("up ")?;
        Ok(open.number("id").ok())
    }

    /// As [`handled`].
    pub fn handled(&mut self) -> Result<()> {
        handled(&mut self.running)
    }

    /// `device_del`, and all that follows until QEMU says that it is gone.
    pub fn ask_back(&mut self) -> Result<()> {
        self.running.monitor()?.ask("device_del", json!({ "id": "device" }))?;
        self.running.event("requested ")?;
        let served = self.running.event("served ")?;
        check_served(&served, self.link.mode(), 0)?;
        self.running.event("removed ")?;
        self.deleted()
    }

    /// The same while messages come for it, of which the image may take some. Returns how many are lost.
    pub fn ask_back_amid(&mut self, exchange: &mut Exchange<'_>) -> Result<u64> {
        self.stop_amid(exchange)?;
        self.running.monitor()?.ask("device_del", json!({ "id": "device" }))?;
        self.running.monitor()?.ask("cont", json!({}))?;
        self.running.event("requested ")?;
        let served = self.running.event("served ")?;
        let late = served.number("received")?.saturating_sub(MESSAGES);
        check_served(&served, self.link.mode(), late)?;
        for number in 0..late {
            let answer = receive(exchange)?;
            ensure!(answer == format!("late {number}").as_bytes(), "{:?}", String::from_utf8_lossy(&answer));
        }
        self.running.event("removed ")?;
        self.deleted()?;
        LOST.checked_sub(late).with_context(|| served.line().to_owned())
    }

    /// Has the machine stand still, and messages come for it.
    fn stop_amid(&mut self, exchange: &mut Exchange<'_>) -> Result<()> {
        self.running.monitor()?.ask("stop", json!({}))?;
        (0..LOST).try_for_each(|number| send(exchange, format!("late {number}").as_bytes()))
    }

    /// Takes the device out without asking the image, which stands still meanwhile, as the host would that forces it: by the very register.
    /// Messages that come at that moment are lost.
    pub fn tear_out(&mut self, exchange: &mut Exchange<'_>) -> Result<()> {
        self.stop_amid(exchange)?;
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
        self.running.monitor()?.ask("cont", json!({}))?;
        self.running.event("lost ")?;
        let gone = self.running.event("error ")?;
        ensure!(gone.line().starts_with("hotplug: error DeviceGone "), "{}", gone.line());
        let served = self.running.event("served ")?;
        check_served(&served, self.link.mode(), 0)?;
        self.deleted()
    }

    /// QEMU itself says that the device is no more.
    fn deleted(&mut self) -> Result<()> {
        let (mode, number) = (self.link.mode(), self.plugged);
        let monitor = self.running.monitor()?;
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

/// A QEMU with the image, whose monitor and test protocol answer, and the name of the device that can be plugged into it.
fn boot(session: &mut Session, image: &Image, link: &Link, number: u32) -> Result<(RealTime, Qtest, String)> {
    let listener = Listener::new(session.dir().join(format!("qtest{number}")))?;
    let mut image = image.clone();
    image.extra.extend(listener.args());
    // Its memory is open in QEMU from the beginning, and the device comes later.
    let attachment = link.attach(0)?;
    let device = attachment.device.clone();
    let running = image.start(session, vec![Attachment { args: Vec::new(), ..attachment }])?;
    Ok((running, listener.accept()?, device))
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

/// Whether all of a round's messages were answered, and of the late ones so many, and by what they came.
fn check_served(served: &Fields, mode: Mode, late: u64) -> Result<()> {
    let counts = (served.number("received")?, served.number("sent")?, served.number("lost")?);
    ensure!(counts.0 == MESSAGES + late && counts.1 == counts.0, "{}", served.line());
    // An answer that the peer had yet to acknowledge counts, at most.
    ensure!(counts.2 <= late, "{}", served.line());
    let interrupts = served.number("interrupts")?;
    ensure!((interrupts > 0) == (mode == Mode::Doorbell), "{}", served.line());
    Ok(())
}
