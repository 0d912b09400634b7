//! What `send`, `recv` and `operator` share: their arguments, and a wait for the link.

use super::progress::Patience;
use super::window::WindowArguments;
use super::{Failure, stop};
use core::time::Duration;
use ivshmem::channel::{End, LinkState, Mailbox, RecvError, SendError, wire};
use ivshmem_peer::{Backend, DeviceName, Exchange, Mapping, Purpose};

/// The mailbox of commands and responses, and where it lies.
#[derive(Debug, clap::Args)]
pub(super) struct MailboxArguments {
    #[command(flatten)]
    window: WindowArguments,
    /// How long to wait for the other side, in seconds, each time it is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400 * 365))]
    timeout: u64,
}

impl MailboxArguments {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Opens the device and a mailbox on it; nothing in shared memory changes before the mailbox is attached.
    pub(super) fn open(&self, end: End) -> Result<Opened, Failure> {
        let (name, backend) = self.window.open(Purpose::Exchange)?;
        let mailbox =
            ivshmem_peer::mailbox(&*backend, end).map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        stop::catch()?;
        Ok(Opened { name, backend, mailbox })
    }
}

/// A device, and one end's mailbox on it.
pub(super) struct Opened {
    pub(super) name: DeviceName,
    pub(super) backend: Box<dyn Backend>,
    pub(super) mailbox: Mailbox<'static, Mapping>,
}

/// Which end of the mailbox this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Role {
    /// The real-time side: receives commands, sends responses.
    First,
    /// The general-purpose side: sends commands, receives responses.
    Second,
}

impl Role {
    pub(super) fn end(self) -> End {
        match self {
            Self::First => End::First,
            Self::Second => End::Second,
        }
    }
}

/// Polls once and rests if the link is not up. `patience` covers the whole wait.
pub(super) fn poll_up(exchange: &mut Exchange<'_>, patience: &mut Patience) -> Result<bool, Failure> {
    stop::check()?;
    let state = exchange.poll();
    if state.is_up() {
        return Ok(true);
    }
    patience.check(|| unlinked(state))?;
    exchange.rest();
    Ok(false)
}

/// What is waited for while the link is in this state, none of which is final: the peer may attach anew.
pub(super) fn unlinked(state: LinkState) -> String {
    match state {
        LinkState::Closed => "new session, the other side has closed".into(),
        LinkState::OtherVersion { found } => {
            format!(
                "compatible other side: it speaks version {found} of the wire format, this program {}",
                wire::VERSION
            )
        }
        LinkState::Incompatible { ours, theirs } => {
            format!("compatible other side: its channels have digest {theirs:#018x}, ours {ours:#018x}")
        }
        LinkState::Stale { .. } => "sign of life from the other side, which stands still".into(),
        LinkState::Violated(violation) => format!("honest other side: {violation}"),
        _ => "answer from the other side".into(),
    }
}

/// Sends if the link allows it now. `false`: not yet, poll and try again.
pub(super) fn send(exchange: &mut Exchange<'_>, message: &[u8]) -> Result<bool, Failure> {
    match exchange.try_send(message) {
        Ok(()) => Ok(true),
        // Every session is joined by one refused call.
        Err(SendError::NotUp | SendError::Full | SendError::Closed | SendError::PeerRestarted { .. }) => Ok(false),
        Err(error) => Err(Failure::Failed(format!("cannot send: {error}"))),
    }
}

/// What a call of `recv` means for those who go on through restarts.
pub(super) enum Incoming<'b> {
    Message(&'b [u8]),
    /// Not yet; poll and try again.
    Nothing,
    /// A new session began; so many messages of the earlier one may be lost.
    Restarted {
        lost_at_most: u32,
    },
}

pub(super) fn recv<'b>(
    exchange: &mut Exchange<'_>,
    buffer: &'b mut [u8; ivshmem_peer::MAX_MESSAGE],
) -> Result<Incoming<'b>, Failure> {
    match exchange.recv(buffer) {
        Ok(Some(message)) => Ok(Incoming::Message(message)),
        Ok(None) | Err(RecvError::NotUp | RecvError::Closed) => Ok(Incoming::Nothing),
        Err(RecvError::PeerRestarted { lost_at_most }) => Ok(Incoming::Restarted { lost_at_most }),
        Err(error) => Err(Failure::Failed(format!("cannot receive: {error}"))),
    }
}

/// A message as one line of text: what is not text, and what would break the line, as escapes.
pub(super) fn printable(message: &[u8]) -> String {
    match core::str::from_utf8(message) {
        Ok(text) => {
            text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
        }
        Err(_) => message.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_shown_on_one_line() {
        assert_eq!(printable("ok é".as_bytes()), "ok é");
        assert_eq!(printable(b"two\nlines\x1b[2J"), "two\\nlines\\u{1b}[2J");
        assert_eq!(printable(b"\xff\x00a"), "\\xff\\x00a");
    }
}
