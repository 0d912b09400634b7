//! The real-time VM: one of our images, its text on COM1 and its defmt log on COM2.

use super::defmt::Frames;
use super::link::Attachment;
use super::log::Fields;
use super::process::Process;
use super::qmp::Qmp;
use super::{Accelerator, Echo, Machine, Session, qemu};
use crate::setup::Hypervisor;
use crate::workspace;
use anyhow::{Context, Result, bail};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::os::fd::AsRawFd;

/// The exit status of QEMU when the image ended with success: 0x10 through isa-debug-exit.
const SUCCESS: i32 = 33;

/// How an image is started.
#[derive(Debug, Clone)]
pub struct Image {
    /// The first word of its lines.
    pub name: &'static str,
    /// The file under `target/images`, without `.elf`.
    pub file: &'static str,
    /// `key=value` words for its command line, in place of the machine's own or beside them.
    pub options: String,
    pub hypervisor: Hypervisor,
    pub machine: Machine,
    pub accelerator: Accelerator,
    pub processors: u32,
    pub mebibytes: u32,
    pub echo: Echo,
    /// Further arguments of QEMU's, before the ivshmem devices.
    pub extra: Vec<String>,
    /// Whether QEMU shall answer questions.
    pub monitor: bool,
}

impl Image {
    pub fn new(name: &'static str, accelerator: Accelerator) -> Self {
        let (machine, options, extra) = (Machine::default(), String::new(), Vec::new());
        Self {
            name,
            file: name,
            options,
            hypervisor: Hypervisor::default(),
            machine,
            accelerator,
            processors: 2,
            mebibytes: 128,
            echo: Echo::Nothing,
            extra,
            monitor: false,
        }
    }

    pub fn options(mut self, options: impl Into<String>) -> Self {
        self.options = options.into();
        self
    }

    /// The options, and what of the machine's they leave open.
    fn command_line(&self) -> String {
        let mut line = self.options.clone();
        for (key, value) in self.machine.options() {
            if !self.options.split_whitespace().any(|word| word.split_once('=').is_some_and(|(given, _)| given == *key))
            {
                line += &format!(" {key}={value}");
            }
        }
        line.trim_start().to_owned()
    }

    /// Boots it with these ivshmem devices.
    pub fn start(&self, session: &mut Session, attachments: Vec<Attachment>) -> Result<RealTime> {
        let path = workspace::image(self.file);
        let mut launch =
            qemu::machine(self.name, &self.hypervisor, self.machine, self.accelerator, self.processors, self.mebibytes);
        if let Some(frames) = Frames::of(&path)? {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
            let number = write.as_raw_fd();
            launch.tool = launch.tool.arg("-add-fd").arg(format!("fd={number},set=2"));
            // To append rather than to truncate, which a pipe refuses.
            let chardev = "file,id=com2,path=/dev/fdset/2,append=on";
            launch.tool = launch.tool.args(["-chardev", chardev]).args(self.machine.second_serial_port("com2"));
            launch.inherit.push((write, format!("{number}>com2.defmt")));
            launch.streams.push((format!("{}.defmt", self.name), File::from(read), Box::new(frames)));
        }
        launch.tool = launch.tool.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
        launch.tool = launch.tool.arg("-kernel").arg(&path);
        let options = self.command_line();
        if !options.is_empty() {
            launch.tool = launch.tool.args(["-append", &options]);
        }
        launch.tool = launch.tool.args(&self.extra);
        launch.echo = self.echo;
        let mut monitor = None;
        if self.monitor {
            let (ours, theirs, args) = Qmp::pair()?;
            launch.tool = launch.tool.args(args);
            launch.inherit.push((theirs, String::new()));
            monitor = Some(ours);
        }
        let process = session.start(qemu::attach(launch, attachments))?;
        let monitor = monitor.map(Qmp::open).transpose()?;
        Ok(RealTime { name: self.name, process, next: 0, monitor })
    }
}

/// A running image.
#[derive(Debug)]
pub struct RealTime {
    name: &'static str,
    process: Process,
    next: usize,
    monitor: Option<Qmp>,
}

impl RealTime {
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn monitor(&mut self) -> Result<&mut Qmp> {
        self.monitor.as_mut().context("this QEMU was started without a monitor")
    }

    /// Waits for the image's next line of that kind, such as `up`.
    pub fn event(&mut self, kind: &str) -> Result<Fields> {
        let (next, fields) = self.process.log().wait_line(self.next, &format!("{}: {kind}", self.name))?;
        self.next = next;
        Ok(fields)
    }

    /// Waits until the image has ended well, of which there are two proofs: its last line, and the exit status.
    pub fn finish(mut self) -> Result<Fields> {
        let end = self.event("end ");
        let status = self.process.wait()?;
        if status.code() != Some(SUCCESS) {
            bail!("{} ended with {status} instead of {SUCCESS}", self.name);
        }
        end
    }

    /// Ends it at once, as a crash would.
    pub fn kill(self) -> Result<()> {
        self.process.kill()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_of_its_machine_unless_it_is_told_otherwise() {
        let line = |machine, options: &str| {
            Image { machine, ..Image::new("echo", Accelerator::Tcg).options(options) }.command_line()
        };
        assert_eq!(line(Machine::Q35, "mode=polled"), "mode=polled");
        assert_eq!(
            line(Machine::Microvm, "mem64=1-2 mode=polled"),
            "mem64=1-2 mode=polled config=ecam:0xe0000000 mem32=0xc0000000-0xdfffffff"
        );
        assert!(line(Machine::Q35Qboot, "").starts_with("mem32="));
    }
}
