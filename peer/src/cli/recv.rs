//! `ivshmem-peer recv`.

use super::mailbox::{printable, quoted, unlinked};
use super::progress::Patience;
use super::queue::{QueueArguments, Receiving};
use super::window::Opened;
use super::{Failure, protection, say, stop, warn};
use core::time::Duration;
use ivshmem::channel::RecvError;
use ivshmem_peer::Attachment;

/// Receive messages and print each on a line of its own
///
/// Goes on when the other side closes, restarts, or begins the channel anew; says on standard error when messages may have been lost.
///
/// Of a protected channel only messages that can be used are printed and counted: those whose status is ok or some-lost. Every other
/// status than ok is told on standard error, with the message if it cannot be used, and at the end how often each was:
///
///   recv: status=some-lost lost=<n>
///   recv: unusable status=<repeated|wrong-sequence|wrong-source|bad-crc|stale> <values> "<message>"
///   recv: end ok=<n> some_lost=<n> repeated=<n> wrong_sequence=<n> wrong_source=<n> bad_crc=<n> stale=<n> lost=<n>
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  ivshmem-peer recv --device file:/dev/shm/ivshmem --count 2
  ivshmem-peer recv --device socket:/run/ivshmem.sock --end first
  ivshmem-peer recv --channels queuing:second:8x120:protected=0x51 --end first --source 7 --validity 100"
)]
pub(super) struct Recv {
    #[command(flatten)]
    queue: QueueArguments,
    /// On a protected channel: a message that may have been under way for more milliseconds is stale; 0 for never.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    validity: u64,
    /// End after so many messages.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,
}

impl Recv {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let picked = self.queue.incoming()?;
        let Opened { name, backend, mut mailbox } = self.queue.window.mailbox(self.queue.end.end())?;
        let (mut attachment, mut channels) = Attachment::attach(&mut mailbox, &*backend, picked.channel.rings());
        let expected = protection::expected(self.queue.source, Duration::from_millis(self.validity));
        let outcome = Receiving::take(&mut channels, picked, expected, attachment.now())
            .map_err(|error| Failure::Failed(format!("{name}: {error}")))
            .and_then(|mut receiving| {
                let outcome = self.receive(&mut attachment, &mut receiving, picked.channel.max_len());
                if let Some(counts) = receiving.counts() {
                    warn(format_args!("recv: end {}", protection::counts(&counts)));
                }
                outcome
            });
        attachment.close();
        outcome
    }

    fn receive(
        &self,
        attachment: &mut Attachment<'_>,
        receiving: &mut Receiving<'_>,
        max_len: u16,
    ) -> Result<(), Failure> {
        let mut patience = Patience::new("recv", self.queue.timeout());
        let mut buffer = vec![0; usize::from(max_len)];
        let mut received = 0;
        while received < self.count {
            stop::check()?;
            let state = attachment.poll();
            match receiving.try_recv(&mut buffer, attachment.now()) {
                Ok(Some(message)) => {
                    attachment.received();
                    match (protection::is_usable(message.status), message.remark()) {
                        (true, remark) => {
                            remark.iter().for_each(|status| warn(format_args!("recv: {status}")));
                            say(format_args!("{}", printable(message.bytes)))?;
                            received += 1;
                            patience.renew();
                        }
                        (false, remark) => {
                            let (status, text) = (remark.unwrap_or_default(), quoted(message.bytes));
                            warn(format_args!("recv: unusable {status} {text}"));
                            patience.check(|| "usable message".into())?;
                        }
                    }
                }
                Err(RecvError::PeerRestarted { lost_at_most }) => {
                    warn(format_args!("recv: restarted, at most {lost_at_most} messages were lost"));
                    patience.check(|| "message".into())?;
                }
                Err(RecvError::PeerResynced { lost_at_most }) => {
                    warn(format_args!("recv: channel begun anew, at most {lost_at_most} messages were lost"));
                    patience.check(|| "message".into())?;
                }
                Ok(None) | Err(RecvError::NotUp | RecvError::Closed) if state.is_up() => {
                    patience.check(|| "message".into())?;
                    receiving.wait(attachment);
                }
                Ok(None) | Err(RecvError::NotUp | RecvError::Closed) => {
                    patience.check(|| unlinked(state))?;
                    attachment.rest();
                }
                Err(error) => return Err(Failure::Failed(format!("cannot receive: {error}"))),
            }
        }
        Ok(())
    }
}
