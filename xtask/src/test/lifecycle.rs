//! What virtual machines go through, and their mailboxes with them: saved and restored, reset, moved.

use super::liveness::continued;
use super::suite::Suite;
use crate::vm::{Accelerator, Image, Link, Loading, Session};
use anyhow::{Context, Result};
use serde_json::json;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Answers that show that it goes on.
const ANSWERS: u64 = 500;
const SIZE: u64 = 1 << 20;

pub fn add(suite: &mut Suite) {
    suite.case("lifecycle: the image's VM is saved with its memory and restored, no loss, no restart", |rig| {
        let accelerator = rig.images()?;
        rig.session(|session| saved(session, accelerator))
    });
}

/// The image, ready for questions, in the machine of the one device.
fn echo(accelerator: Accelerator, options: &str) -> Image {
    Image { monitor: true, ..Image::new("echo", accelerator).options(options) }
}

/// `master=on`: QEMU saves the shared memory with the machine. Meanwhile the peer stands still.
fn saved(session: &mut Session, accelerator: Accelerator) -> Result<()> {
    let link = Link::plain(SIZE)?;
    let file = session.dir().join("machine");
    let mut image = echo(accelerator, "mode=polled").start(session, vec![link.attach(0)?.at("master=on")])?;
    let load = Loading { quit: true, ..Loading::default() }.start(session, &link)?;
    let up = image.event("up ")?;
    load.progress(ANSWERS)?;
    load.process().freeze()?;
    let monitor = image.monitor()?;
    monitor.ask("migrate", json!({ "uri": format!("exec:cat > {}", file.display()) }))?;
    monitor.migrated()?;
    image.kill()?;

    // What comes back comes out of the file.
    erase(&link)?;
    let mut image = waiting(accelerator, "mode=polled").start(session, vec![link.attach(0)?.at("master=on")])?;
    let monitor = image.monitor()?;
    monitor.ask("migrate-incoming", json!({ "uri": format!("exec:cat {}", file.display()) }))?;
    monitor.migrated()?;
    load.process().thaw()?;
    load.progress(ANSWERS)?;
    continued(image, load, &up).map(drop)
}

/// A machine that waits for another's state.
fn waiting(accelerator: Accelerator, options: &str) -> Image {
    let extra = ["-incoming", "defer"].map(str::to_owned).into();
    Image { extra, ..echo(accelerator, options) }
}

fn erase(link: &Link) -> Result<()> {
    let attachment = link.attach(0)?;
    let path = attachment.device.strip_prefix("file:").context("memory without a path")?;
    let memory = File::options().write(true).open(path)?;
    Ok(memory.write_all_at(&vec![0; usize::try_from(SIZE)?], 0)?)
}
