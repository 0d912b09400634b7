//! `ivshmem-peer call`.

use super::mailbox::{Role, printable, unlinked};
use super::progress::Patience;
use super::window::{ChannelArguments, Opened};
use super::{Failure, say, stop};
use core::time::Duration;
use ivshmem::channel::Kind;
use ivshmem::channel::request::{self, Polled, RequestError, Requester};
use ivshmem_peer::{Attachment, Mapping};

/// Make a request and print the result.
///
/// Exit code 1: the other side refused, and said why, or a restart ended the request; 4: no answer within the budget.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ivshmem-peer call --channels request:second:8x120,response:first:8x120 1 'arguments'
  ivshmem-peer call --device socket:/run/ivshmem.sock --channels request:second:8x56,response:first:8x56 --budget 5 7")]
pub(super) struct Call {
    #[command(flatten)]
    window: ChannelArguments,
    /// Which end of the mailbox to be.
    #[arg(long, value_name = "END", default_value = "second")]
    end: Role,
    /// Which channel carries the requests, counted from 0; without it, the first that does so for this end.
    #[arg(long, value_name = "N")]
    request: Option<usize>,
    /// Which channel carries the responses, likewise.
    #[arg(long, value_name = "N")]
    response: Option<usize>,
    /// The request's budget in milliseconds, 0 for any time.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=4_294_967))]
    budget: u32,
    /// How long to wait for the other side, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400 * 365))]
    timeout: u64,
    /// What is asked for: the number that both sides know it by.
    operation: u32,
    /// Its arguments.
    #[arg(default_value = "")]
    arguments: String,
}

/// Nanoseconds in a microsecond: the attachment's ticks are nanoseconds.
const TICKS_PER_MICROSECOND: u64 = 1000;

impl Call {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let own = self.end.end();
        let request = self.window.pick(self.request, Kind::Request, own)?;
        request.check_length(&self.arguments)?;
        let response = self.window.pick(self.response, Kind::Response, own.other())?;
        let Opened { name, backend, mut mailbox } = self.window.mailbox(own)?;
        let (mut attachment, mut channels) = Attachment::attach(&mut mailbox, &*backend, response.channel.rings());
        let outcome = channels
            .requester::<1>(request.index, response.index, TICKS_PER_MICROSECOND)
            .map_err(|error| Failure::Failed(format!("{name}: {error}")))
            .and_then(|mut requester| self.call(&mut attachment, &mut requester));
        attachment.close();
        say(format_args!("{}", printable(&outcome?)))
    }

    fn call(
        &self,
        attachment: &mut Attachment<'_>,
        requester: &mut Requester<'_, Mapping, 1>,
    ) -> Result<Vec<u8>, Failure> {
        let mut patience = Patience::new("call", Duration::from_secs(self.timeout));
        loop {
            stop::check()?;
            let state = attachment.poll();
            let now = attachment.now();
            match requester.start(now, self.operation, self.arguments.as_bytes(), self.budget.saturating_mul(1000)) {
                Ok((_, notice)) => {
                    attachment.ring(notice);
                    break;
                }
                Err(RequestError::NotUp | RequestError::Full | RequestError::Closed) => {
                    patience.check(|| unlinked(state))?;
                    attachment.rest();
                }
                Err(error) => return Err(Failure::Failed(format!("cannot call: {error}"))),
            }
        }
        patience.renew();
        let mut buffer = vec![0; usize::from(requester.max_result())];
        loop {
            stop::check()?;
            attachment.poll();
            let now = attachment.now();
            match requester.poll(now, &mut buffer) {
                Ok(Some(Polled::Ended(completion))) => return ended(completion.outcome, &buffer),
                Ok(Some(Polled::Late)) => {}
                Ok(None) | Err(RequestError::NotUp) => {
                    patience.check(|| "answer".into())?;
                    if !requester.arm() {
                        attachment.rest();
                    }
                }
                // The request's own end comes with the next look.
                Err(RequestError::PeerRestarted { .. } | RequestError::PeerResynced { .. }) => {}
                Err(error) => return Err(Failure::Failed(format!("no answer: {error}"))),
            }
        }
    }
}

fn ended(outcome: Result<usize, request::Failure>, buffer: &[u8]) -> Result<Vec<u8>, Failure> {
    match outcome {
        Ok(len) => Ok(buffer[..len].to_vec()),
        Err(request::Failure::Refused { len }) => {
            Err(Failure::Failed(format!("refused: {}", printable(&buffer[..len]))))
        }
        Err(request::Failure::TimedOut) => {
            Err(Failure::Late("no answer within the budget; it may be done all the same".into()))
        }
        Err(request::Failure::Expired) => {
            Err(Failure::Late("the other side came to it too late, and did not do it".into()))
        }
        Err(failure) => Err(Failure::Failed(format!("no answer: {failure}"))),
    }
}
