//! `ivshmem-peer send`.

use super::mailbox::unlinked;
use super::progress::Patience;
use super::queue::{QueueArguments, Sending};
use super::window::{Opened, Picked};
use super::{Failure, say, stop};
use ivshmem::channel::SendError;
use ivshmem_peer::Attachment;

/// Send messages, and wait until the other side has begun to receive them.
///
/// The session ends with this command, and responses to it are lost with it: `operator` shows responses.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ivshmem-peer send 'set-speed 1500'
  ivshmem-peer send --device socket:/run/ivshmem.sock 'set-speed 1500' stop
  ivshmem-peer send --device file:/dev/shm/ivshmem --end first 'ok stop'
  ivshmem-peer send --channels queuing:second:8x120:protected=0x51 --source 7 'set-speed 1500'")]
pub(super) struct Send {
    #[command(flatten)]
    queue: QueueArguments,
    /// The messages, each at most as long as the channel's: 248 bytes by default, and 24 less than it says if it is protected.
    #[arg(required = true, value_name = "MESSAGE")]
    messages: Vec<String>,
}

impl Send {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let picked = self.queue.outgoing()?;
        self.messages.iter().try_for_each(|message| picked.check_length(message))?;
        let Opened { name, backend, mut mailbox } = self.queue.window.mailbox(self.queue.end.end())?;
        let (mut attachment, mut channels) = Attachment::attach(&mut mailbox, &*backend, 0);
        let outcome = Sending::take(&mut channels, picked, self.queue.source)
            .map_err(|error| Failure::Failed(format!("{name}: {error}")))
            .and_then(|mut sending| self.send(&mut attachment, &mut sending, picked));
        attachment.close();
        outcome?;
        say(format_args!("send: {name} sent={} doorbells={}", self.messages.len(), attachment.rings()))
    }

    fn send(
        &self,
        attachment: &mut Attachment<'_>,
        sending: &mut Sending<'_>,
        picked: Picked<'_>,
    ) -> Result<(), Failure> {
        let mut patience = Patience::new("send", self.queue.timeout());
        let mut lost = false;
        for message in &self.messages {
            loop {
                stop::check()?;
                let state = attachment.poll();
                match sending.try_send(message.as_bytes()) {
                    Ok(notice) => {
                        attachment.ring(notice);
                        break;
                    }
                    // The next call sends, unless that happens over and over.
                    Err(SendError::PeerRestarted { lost_at_most } | SendError::PeerResynced { lost_at_most }) => {
                        lost |= lost_at_most > 0;
                        patience.check(|| "session that lasts".into())?;
                    }
                    Err(SendError::Full) if state.is_up() => {
                        patience.check(|| "room for more messages: the other side does not receive".into())?;
                        attachment.rest();
                    }
                    Err(SendError::NotUp | SendError::Full | SendError::Closed) => {
                        patience.check(|| unlinked(state))?;
                        attachment.rest();
                    }
                    Err(error) => return Err(Failure::Failed(format!("cannot send: {error}"))),
                }
            }
            patience.renew();
        }
        while !attachment.peer_receives(self.queue.window.channels().channels(), picked.index) {
            stop::check()?;
            let state = attachment.poll();
            patience.check(|| match state.is_up() {
                true => "sign that the other side receives; the messages are in its queue".into(),
                false => unlinked(state),
            })?;
            attachment.rest();
        }
        match attachment.link_stats().sessions {
            0 | 1 if !lost => Ok(()),
            _ => Err(Failure::Failed("the other side restarted; it may have missed messages".into())),
        }
    }
}
