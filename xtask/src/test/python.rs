//! An end written in Python from `docs/wire-format.md` alone, against the image that has one channel of every kind.

use super::suite::Suite;
use crate::setup;
use crate::tool::Tool;
use crate::vm::{Accelerator, Attachment, Image, Launch, Session};
use crate::workspace;
use anyhow::{Result, ensure};
use std::fs::File;

/// What the mailbox of the image takes, rounded up to what a memory backend may have.
const SIZE: u64 = 1 << 20;

pub fn add(suite: &mut Suite) {
    for (image, python) in [("first", "second"), ("second", "first")] {
        let name = format!("interoperation: a Python end, {python}, does every kind of channel with the real image");
        suite.case(&name, move |rig| {
            let accelerator = rig.images()?;
            rig.session(|session| meet(session, accelerator, image, python))
        });
    }
}

fn meet(session: &mut Session, accelerator: Accelerator, image: &str, python: &str) -> Result<()> {
    let path = session.dir().join("memory");
    File::create_new(&path)?.set_len(SIZE)?;
    let memory = path.display().to_string();
    let backend = format!("memory-backend-file,id=memory,mem-path={memory},size={SIZE},share=on");
    let device = "ivshmem-plain,memdev=memory";
    let args = ["-object", &backend, "-device", device].map(str::to_owned).into();
    let attachment = Attachment { args, inherit: None, device: format!("file:{memory}") };
    let options = format!("mode=polled end={image}");
    let mut image = Image::new("kinds", accelerator).options(options).start(session, vec![attachment])?;
    image.event("ready ")?;

    let script = workspace::root().join("tests/python/peer.py");
    let tool = Tool::new(setup::python()?).arg("-B").arg(script).args([memory.as_str(), python]);
    let peer = session.start(Launch::new("python", tool))?;
    let (_, end) = peer.log().wait_line(0, "python: end ")?;
    let status = peer.wait()?;
    ensure!(status.success(), "the Python end: {status}");
    let counted = image.finish()?;
    // Each side counts for itself what the other one sent.
    for key in ["messages", "samples", "requests", "cancelled", "calls", "protected", "violations"] {
        ensure!(end.number(key)? > 0, "the Python end did not try {key}: {}", end.line());
        ensure!(end.number(key)? == counted.number(key)?, "{key} differ: {}\n{}", end.line(), counted.line());
    }
    ensure!(counted.number("bad")? == end.number("bad")? && end.number("bad")? > 0, "{}", counted.line());
    println!("{}\n{}", end.line(), counted.line());
    Ok(())
}
