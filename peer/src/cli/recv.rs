//! `ivshmem-peer recv`.

use super::mailbox::{self, Incoming, MailboxArguments, Opened, Role};
use super::progress::Patience;
use super::{Failure, say, stop};
use ivshmem_peer::{Exchange, MAX_MESSAGE};
use std::io::Write;

/// Receive messages and print each on a line of its own.
///
/// Goes on when the other side closes or restarts; says on standard error when messages may have been lost.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ivshmem-peer recv --device file:/dev/shm/ivshmem --count 2
  ivshmem-peer recv --device socket:/run/ivshmem.sock --end first")]
pub(super) struct Recv {
    #[command(flatten)]
    mailbox: MailboxArguments,
    /// Which end of the mailbox to be: the second receives responses, the first commands.
    #[arg(long, value_name = "END", default_value = "second")]
    end: Role,
    /// End after so many messages.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,
}

impl Recv {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let end = self.end.end();
        let Opened { backend, mut mailbox, .. } = self.mailbox.open(end)?;
        let mut exchange = Exchange::attach(&mut mailbox, &*backend, end);
        let outcome = self.receive(&mut exchange);
        exchange.close();
        outcome
    }

    fn receive(&self, exchange: &mut Exchange<'_>) -> Result<(), Failure> {
        let mut patience = Patience::new("recv", self.mailbox.timeout());
        let mut buffer = [0; MAX_MESSAGE];
        let mut received = 0;
        while received < self.count {
            stop::check()?;
            let state = exchange.poll();
            match mailbox::recv(exchange, &mut buffer)? {
                Incoming::Message(message) => {
                    say(format_args!("{}", mailbox::printable(message)))?;
                    received += 1;
                    patience.renew();
                }
                Incoming::Restarted { lost_at_most } => {
                    // A warning that nobody reads is no failure.
                    let _ = writeln!(std::io::stderr(), "recv: restarted, at most {lost_at_most} messages were lost");
                }
                Incoming::Nothing if state.is_up() => patience.check(|| "message".into())?,
                Incoming::Nothing => {
                    patience.check(|| mailbox::unlinked(state))?;
                    exchange.rest();
                }
            }
        }
        Ok(())
    }
}
