//! The axis's state, for whoever wants to see it: a value a cycle, written whether anybody reads it or not.

use crate::axis::Axis;
use crate::command::{Cycles, Status};
use core::fmt::Write;
use ivshmem::channel::{Attach, Channel, Channels, End, Link, Mailbox, Writer};
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::options::{OptionError, Options, YesNo};
use ivshmem_examples::response::Response;

/// Where the state's window begins: bytes from the start of the memory, behind two mailboxes.
const WINDOW: usize = 0x2_0000;
/// The channels in it. No value is longer than 112 bytes, whatever the numbers.
const CHANNELS: [Channel; 1] = [Channel::sampling(End::First, 120)];

/// The window, if the option `broadcast=yes` asks for it.
pub fn window(
    machine: &Machine,
    known: &'static [&'static str],
    memory: &SharedMemory,
) -> Result<Option<Mailbox<'static, SharedMemory>>, Failed> {
    if !wanted(machine.command_line, known).map_err(|error| machine.failed(&error))? {
        return Ok(None);
    }
    let length = memory.len().saturating_sub(WINDOW);
    let window = memory.window(WINDOW, length).map_err(|error| machine.failed(&error))?;
    Mailbox::new(window, End::First, &CHANNELS).map(Some).map_err(|error| machine.failed(&error))
}

fn wanted<'a>(command_line: &'a str, known: &'static [&'static str]) -> Result<bool, OptionError<'a>> {
    Ok(Options::parse(command_line, known)?.get("broadcast", YesNo::EXPECTED)?.is_some_and(|YesNo(yes)| yes))
}

/// The writing end; nobody is the other.
#[derive(Debug)]
pub struct Broadcast<'a> {
    link: Link<'a, SharedMemory>,
    state: Writer<'a, SharedMemory>,
}

impl<'a> Broadcast<'a> {
    pub fn attach(
        machine: &Machine,
        mailbox: &'a mut Mailbox<'static, SharedMemory>,
        seed: u64,
    ) -> Result<Self, Failed> {
        let (link, mut channels): (_, Channels<'_, _>) = mailbox.attach(Attach { seed, ..Attach::polled() });
        let state = channels.writer(0).map_err(|error| machine.failed(&error))?;
        Ok(Self { link, state })
    }

    /// Writes how the axis stands. The poll moves the heartbeat, by which readers see that this end lives.
    pub fn write(&mut self, now: u64, axis: &Axis, cycles: Cycles) {
        self.link.poll(now);
        let mut text = Response::new();
        // Shorter than a response, and than the channel's values.
        let _ = write!(text, "{}", Status(axis, cycles));
        // Nobody is rung: this end has no peer.
        if let Ok(notice) = self.state.write(text.bytes()) {
            notice.ignore();
        }
    }

    /// Values written.
    pub fn close(mut self) -> u64 {
        self.link.close();
        self.state.stats().written
    }
}
