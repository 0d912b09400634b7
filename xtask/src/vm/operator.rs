//! The general-purpose end of an exchange: `ivshmem-peer operator`, in the Linux VM or as a host process.

use super::link::Link;
use super::log::Fields;
use super::process::{Input, Launch, Process};
use super::qmp::Qmp;
use super::{Accelerator, Echo, Session, linux};
use crate::setup::Linux;
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result, bail};

/// Where the general-purpose end runs.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a VM with Debian's kernel.
    Linux { files: Linux, accelerator: Accelerator },
    /// Beside QEMU, as a process of this machine.
    Host,
}

/// Who gives the commands, and who sees what comes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// The operator by itself, and nobody looks on.
    Quiet,
    /// The operator by itself, and its lines are shown.
    Shown,
    /// We do, line by line.
    Typed,
    /// The user at the terminal.
    Terminal,
}

impl Talk {
    /// With a VM in between, which has a console of its own.
    pub fn with_vm(self) -> (Echo, Input) {
        match self {
            Self::Quiet => (Echo::Nothing, Input::Nothing),
            Self::Shown => (Echo::Lines, Input::Nothing),
            Self::Typed => (Echo::Nothing, Input::Piped),
            Self::Terminal => (Echo::Bytes, Input::Piped),
        }
    }

    /// With a process of this machine, which can have the terminal itself.
    fn with_process(self) -> (Echo, Input) {
        let (echo, input) = self.with_vm();
        (echo, if self == Self::Terminal { Input::Inherited } else { input })
    }
}

/// A running operator.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    /// Of the VM, if it is in one.
    monitor: Option<Qmp>,
    next: usize,
    amid: usize,
}

impl Operator {
    /// Starts `ivshmem-peer operator` with these further arguments.
    pub fn start(session: &mut Session, place: &Place, link: &Link, further: &[&str], talk: Talk) -> Result<Self> {
        Self::after(session, place, link, &[], further, talk)
    }

    /// The same, in the VM after `ivshmem-peer` with the arguments `first`, in which `@` stands for the function's address.
    pub fn after(
        session: &mut Session,
        place: &Place,
        link: &Link,
        first: &[&str],
        further: &[&str],
        talk: Talk,
    ) -> Result<Self> {
        let attachment = link.attach(0)?;
        match place {
            Place::Linux { files, accelerator } => {
                let device = match link {
                    Link::Doorbell { .. } => "vfio:@",
                    Link::Plain(_) => "sysfs:@",
                };
                let mut words = first.to_vec();
                if !first.is_empty() {
                    words.push("+");
                }
                words.extend(["operator", "--device", device]);
                words.extend(further);
                let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
                let (process, monitor) =
                    linux::start(session, files, *accelerator, link.mode(), vec![attachment], &words, talk)?;
                Ok(Self { process, monitor: Some(monitor), next: 0, amid: 0 })
            }
            Place::Host if !first.is_empty() => bail!("processes of this machine are started one by one"),
            Place::Host => {
                let tool =
                    Tool::new(workspace::peer()).args(["operator", "--device"]).arg(&attachment.device).args(further);
                let mut launch = Launch::new("operator", tool);
                launch.inherit.extend(attachment.inherit);
                (launch.echo, launch.input) = talk.with_process();
                Ok(Self { process: session.start(launch)?, monitor: None, next: 0, amid: 0 })
            }
        }
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub fn monitor(&mut self) -> Result<&mut Qmp> {
        self.monitor.as_mut().context("a process of this machine has no monitor")
    }

    /// Waits for the operator's next line of that kind, such as `up`.
    pub fn event(&mut self, kind: &str) -> Result<Fields> {
        self.line(&format!("operator: {kind}"))
    }

    /// Waits for the next line that begins so.
    pub fn line(&mut self, start: &str) -> Result<Fields> {
        let (next, fields) = self.process.log().wait_line(self.next, start)?;
        self.next = next;
        Ok(fields)
    }

    /// Waits until the operator says once more, as it does every second, that it is amid its commands.
    pub fn amid(&mut self) -> Result<()> {
        // In the VM both its streams are the console; as a process of this machine it has a log for each.
        let logs = &self.process.story().logs;
        let log = if self.monitor.is_some() { logs.first() } else { logs.last() }.context("an operator has logs")?;
        let (next, _) = log.wait_part(self.amid, " commands")?;
        self.amid = next;
        Ok(())
    }

    /// Types a command and waits for its response.
    pub fn say(&mut self, command: &str, response: &str) -> Result<Fields> {
        self.process.type_line(command)?;
        self.line(response)
    }

    /// Waits until the operator has ended well, and gives its last line.
    pub fn finish(mut self) -> Result<Fields> {
        let end = self.event("end ")?;
        if self.monitor.is_some() {
            linux::finish(self.process)?;
        } else {
            let status = self.process.wait()?;
            if !status.success() {
                bail!("the operator ended with {status} after `{}`", end.line());
            }
        }
        Ok(end)
    }

    /// Ends it, and the VM it may be in, at once, as a crash would.
    pub fn kill(self) -> Result<()> {
        self.process.kill().context("cannot kill the operator")
    }
}
