//! A channel's half in the hands of a hostile end, and what it does with it honestly.

use super::hostile::Hostile;
use core::ops::ControlFlow;
use ivshmem::channel::request::{Incoming, Polled, Requester, Responder, Status};
use ivshmem::channel::{Channel, Channels, End, Kind, Notice, Reader, Receiver, Sender, Writer};
use ivshmem::memory::Memory;

/// Messages taken from a channel in one look at it.
const BATCH: u32 = 4;
/// Requests open at once.
const OPEN: usize = 4;
/// Steps after which a request is given up, so that there is always room for another.
const BUDGET: u32 = 16;
/// What every request asks for.
const OPERATION: u32 = 0;

type Shared<'l, M> = &'l Hostile<'l, M>;

pub(super) enum Half<'l, M> {
    Sender(Sender<'l, Shared<'l, M>>),
    Receiver(Receiver<'l, Shared<'l, M>>),
    Writer(Writer<'l, Shared<'l, M>>),
    Reader(Reader<'l, Shared<'l, M>>),
    Requester(Requester<'l, Shared<'l, M>, OPEN>),
    Responder(Responder<'l, Shared<'l, M>, OPEN>),
}

/// All that `end` can take of the channels. The n-th request channel of an end belongs to the n-th response channel of the
/// other; protected channels are left alone, whose sources only their users know.
pub(super) fn take<'l, M: Memory>(
    plan: &[Channel],
    end: End,
    channels: &mut Channels<'l, Shared<'l, M>>,
) -> Vec<Half<'l, M>> {
    let of = |kind, from| {
        let fits = move |channel: &Channel| channel.kind() == kind && channel.from() == from;
        plan.iter().enumerate().filter(move |(_, channel)| fits(channel)).map(|(index, _)| index)
    };
    let other = end.other();
    let mut halves = Vec::new();
    halves.extend(of(Kind::Queuing, end).filter_map(|index| channels.sender(index).ok().map(Half::Sender)));
    halves.extend(of(Kind::Sampling, end).filter_map(|index| channels.writer(index).ok().map(Half::Writer)));
    let pairs = of(Kind::Request, end).zip(of(Kind::Response, other));
    halves.extend(
        pairs.filter_map(|(request, response)| channels.requester(request, response, 1).ok().map(Half::Requester)),
    );
    let pairs = of(Kind::Request, other).zip(of(Kind::Response, end));
    halves.extend(
        pairs.filter_map(|(request, response)| channels.responder(request, response, 1).ok().map(Half::Responder)),
    );
    halves.extend(of(Kind::Queuing, other).filter_map(|index| channels.receiver(index).ok().map(Half::Receiver)));
    halves.extend(of(Kind::Sampling, other).filter_map(|index| channels.reader(index).ok().map(Half::Reader)));
    halves
}

impl<M: Memory> Half<'_, M> {
    /// Sends `text`, cut to what fits, if this half sends of itself and there is room.
    ///
    /// Whatever is in the way, a full channel or the other end's answer to what this one did, is no news here.
    pub(super) fn send(&mut self, text: &str, now: u64) -> Option<Notice> {
        let cut = |max: u16| text.as_bytes().get(..max.into()).unwrap_or(text.as_bytes());
        match self {
            Self::Sender(sender) => sender.try_send(cut(sender.max_len())).ok(),
            Self::Writer(writer) => writer.write(cut(writer.max_len())).ok(),
            Self::Requester(requester) => {
                let (_, notice) = requester.start(now, OPERATION, cut(requester.max_args()), BUDGET).ok()?;
                Some(notice)
            }
            Self::Receiver(_) | Self::Reader(_) | Self::Responder(_) => None,
        }
    }

    /// Takes what there is, and says how many messages that were. `answered` is told of each that was sent in answer.
    pub(super) fn take(&mut self, buffer: &mut [u8], now: u64, mut answered: impl FnMut(Notice)) -> u64 {
        let mut taken = 0;
        for _ in 0..BATCH {
            match self.take_one(buffer, now, &mut answered) {
                ControlFlow::Continue(is_message) => taken += u64::from(is_message),
                ControlFlow::Break(()) => break,
            }
        }
        taken
    }

    /// `Continue`: there may be more, and this was a message or was not; `Break`: there is none.
    fn take_one(&mut self, buffer: &mut [u8], now: u64, answered: &mut impl FnMut(Notice)) -> ControlFlow<(), bool> {
        match self {
            Self::Sender(_) | Self::Writer(_) => ControlFlow::Break(()),
            Self::Receiver(receiver) => match receiver.try_recv(buffer) {
                Ok(Some(_)) => ControlFlow::Continue(true),
                _ => ControlFlow::Break(()),
            },
            Self::Reader(reader) => match reader.read(buffer, now) {
                Ok(sample) if sample.fresh => ControlFlow::Continue(true),
                _ => ControlFlow::Break(()),
            },
            Self::Requester(requester) => match requester.poll(now, buffer) {
                Ok(Some(Polled::Ended(end))) => ControlFlow::Continue(end.outcome.is_ok()),
                Ok(Some(_)) => ControlFlow::Continue(false),
                _ => ControlFlow::Break(()),
            },
            Self::Responder(responder) => match responder.next(now, buffer) {
                Ok(Some(Incoming::Request(request))) => {
                    let result = buffer.get(..request.len.min(responder.max_result().into())).unwrap_or_default();
                    if let Ok(notice) = responder.respond(request.token, Status::Done, result) {
                        answered(notice);
                    }
                    ControlFlow::Continue(true)
                }
                Ok(Some(_)) => ControlFlow::Continue(false),
                _ => ControlFlow::Break(()),
            },
        }
    }
}
