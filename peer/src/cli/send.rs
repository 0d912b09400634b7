//! `ivshmem-peer send`.

use super::mailbox::{self, MailboxArguments, Opened, Role};
use super::progress::Patience;
use super::{Failure, say};
use ivshmem_peer::{Exchange, MAX_MESSAGE};

/// Send messages, and wait until the other side has begun to receive them.
///
/// The session ends with this command, and responses to it are lost with it: `operator` shows responses.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ivshmem-peer send 'set-speed 1500'
  ivshmem-peer send --device socket:/run/ivshmem.sock 'set-speed 1500' stop
  ivshmem-peer send --device file:/dev/shm/ivshmem --end first 'ok stop'")]
pub(super) struct Send {
    #[command(flatten)]
    mailbox: MailboxArguments,
    /// Which end of the mailbox to be: the second sends commands, the first responses.
    #[arg(long, value_name = "END", default_value = "second")]
    end: Role,
    /// The messages, each at most 248 bytes.
    #[arg(required = true, value_name = "MESSAGE", value_parser = message)]
    messages: Vec<String>,
}

fn message(text: &str) -> Result<String, String> {
    match text.len() {
        length if length > MAX_MESSAGE => Err(format!("{length} bytes, a message has at most {MAX_MESSAGE}")),
        _ => Ok(text.to_owned()),
    }
}

impl Send {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let end = self.end.end();
        let Opened { name, backend, mut mailbox } = self.mailbox.open(end)?;
        let mut exchange = Exchange::attach(&mut mailbox, &*backend, end);
        let outcome = self.send(&mut exchange);
        exchange.close();
        let stats = exchange.stats();
        outcome?;
        say(format_args!("send: {name} sent={} doorbells={}", stats.sent, stats.doorbells))
    }

    fn send(&self, exchange: &mut Exchange<'_>) -> Result<(), Failure> {
        let mut patience = Patience::new("send", self.mailbox.timeout());
        for message in &self.messages {
            loop {
                if !mailbox::poll_up(exchange, &mut patience)? {
                    continue;
                }
                if mailbox::send(exchange, message.as_bytes())? {
                    break;
                }
                patience.check(|| "room for more messages: the other side does not receive".into())?;
                exchange.rest();
            }
            patience.renew();
        }
        while !exchange.peer_receives() {
            mailbox::poll_up(exchange, &mut patience)?;
            patience.check(|| "sign that the other side receives; the messages are in its queue".into())?;
            exchange.rest();
        }
        match exchange.stats().restarts {
            0 => Ok(()),
            _ => Err(Failure::Failed("the other side restarted; it may have missed messages".into())),
        }
    }
}
